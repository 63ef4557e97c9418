"""What a run is judged by on clients that do not train: a language model by its perplexity, a classifier by its accuracy, an encoder
that has learned without labels by that of a linear classifier on its features, the probe.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math
from typing import Any
from typing import NamedTuple


class Quality(NamedTuple):
  """A measure of quality.

  Attributes:
    name: What it is called.
    column: Its column of `metrics.csv`.
    form: How a value is written, a format string.
    higher_is_better: Whether more of it is better.
  """

  name: str
  column: str
  form: str
  higher_is_better: bool

  def text(self, value: float | None) -> str:
    """Returns a value as people read it: nothing for None, which was not measured."""
    if value is None:
      return ''
    return self.form.format(value) if math.isfinite(value) else 'not finite'

  def is_as_good(self, value: float, other: float) -> bool:
    """Whether a value is as good as another or better; False for NaN."""
    return value >= other if self.higher_is_better else value <= other


PERPLEXITY = Quality('perplexity', 'eval/perplexity', '{:,.1f}', higher_is_better=False)
ACCURACY = Quality('accuracy', 'eval/accuracy', '{:.3f}', higher_is_better=True)
PROBE = Quality('probe accuracy', 'probe/accuracy', '{:.3f}', higher_is_better=True)
LOSS = Quality('loss', 'eval/loss', '{:.3f}', higher_is_better=False)

JUDGES = {'heldout': 'held-out clients', 'validation': 'validation clients'}  # By value of --eval_split.


def evaluated(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
  """Returns the rows of `metrics.csv` of rounds after which the model was evaluated."""
  return [row for row in rows if row[LOSS.column] is not None]


def probed(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
  """Returns the rows of `metrics.csv`, the last one with the probe of `summary.json`, if that has one."""
  if not rows or PROBE.column not in summary:
    return list(rows)
  return [*rows[:-1], {**rows[-1], PROBE.column: summary[PROBE.column]}]


def is_judged(rows: Sequence[Mapping[str, Any]]) -> bool:
  """Tells whether there is something to judge a run by; a training in stages is not before it is probed."""
  return bool(evaluated(rows)) and ('stage' not in rows[0] or PROBE.column in rows[-1])


def diverged_round(rows: Sequence[Mapping[str, Any]]) -> int | None:
  """Returns since which round a run has diverged, None if it has not.

  That is the first round since which no evaluation is finite, or an earlier one from which on, up to that evaluation, no
  training loss is finite either.

  Args:
    rows: Those of `metrics.csv`, of which the last was evaluated unless the run goes on.
  """
  since, nothing_is_finite = None, True
  for row in reversed(rows):
    evaluated, trained = _evaluated(row), _trained(row)
    if evaluated is not None:
      if math.isfinite(evaluated):
        break
      since, nothing_is_finite = row['round'], True
    elif trained is not None:
      nothing_is_finite = nothing_is_finite and not math.isfinite(trained)
      since = row['round'] if nothing_is_finite else since
  return since


def _evaluated(row: Mapping[str, Any]) -> float | None:
  """Returns what tells whether the model after a round is finite: its perplexity, or else its loss."""
  for column in (PERPLEXITY.column, LOSS.column):
    if row.get(column) is not None:
      return float(row[column])
  return None


def _trained(row: Mapping[str, Any]) -> float | None:
  """Returns the loss of a round's training."""
  if row.get('train/loss') is not None:
    return float(row['train/loss'])
  return math.nan if row.get('dropped_updates') else None  # No client had a finite update.


def of(row: Mapping[str, Any]) -> Quality:
  """Returns what a run is judged by, given its last evaluated row: a probe, perplexity, which classifiers do not have, or
  accuracy.
  """
  if PROBE.column in row:
    return PROBE
  return ACCURACY if row[PERPLEXITY.column] is None else PERPLEXITY


def last(rows: Sequence[Mapping[str, Any]]) -> str:
  """Says what the last evaluation of at least one measured."""
  row = evaluated(rows)[-1]
  quality = of(row)
  return f'{quality.name} {quality.text(row[quality.column])}'
