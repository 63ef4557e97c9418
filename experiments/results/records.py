"""What a run writes down as it goes: a row of `metrics.csv` and TensorBoard events for each round."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import pathlib
import sys
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import failures
from experiments.results import awaiting
from experiments.results import events
from experiments.results import metrics
from experiments.results import output
from experiments.results import quality


class Records:
  """The rows of a run so far, in memory and on disk.

  TFF's manager replaces the whole file by a longer one, so that a kill leaves the old rows or the new ones.
  """

  def __init__(self, output_dir: pathlib.Path):
    """Takes the run's folder; `begin` or `resume` comes next."""
    self._folder = output_dir
    self.rows: list[dict[str, Any]] = []

  @property
  def round_number(self) -> int:
    """The last round that has a row."""
    return self.rows[-1]['round']

  def begin(self) -> None:
    """Starts with no row; raises `UsageError` if there are rows of rounds, whose states then are gone."""
    last = max(_rounds_on_disk(self._folder), default=0)
    if last > 0:
      raise failures.UsageError(
        f'{self._csv} has rows up to round {last}, but no checkpoint is sound: put the checkpoints back, or choose a new '
        '--output_dir'
      )
    output.write_text(self._csv, metrics.HEADER)
    self._open()

  def resume(self, round_number: int) -> None:
    """Goes on after `round_number`; raises `UsageError` if the rows up to it are not there."""
    try:
      rows = metrics.read(self._csv)
      self.rows = [row for row in rows if row['round'] <= round_number]
      whole = [row['round'] for row in self.rows] == list(range(round_number + 1))
    except (OSError, KeyError, TypeError, ValueError):
      whole = False
    if not whole:
      raise failures.UsageError(
        f'{self._csv} has not all rows up to round {round_number}, from which the run would go on: put the file back as '
        'it was, or choose a new --output_dir'
      )
    self._open()

  def add(self, round_number: int, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the row of a round in place of rows of that round or later ones.

    Args:
      round_number: The round.
      columns: What was measured in it.

    Returns:
      The row: all columns, with the bytes of all rounds until now.
    """
    totals = {}
    for direction in ('upload', 'download'):
      before = self.rows[-1][f'{direction}_bytes_total'] if self.rows else 0
      totals[f'{direction}_bytes_total'] = before + columns.get(f'{direction}_bytes', 0)
    row = metrics.row({**columns, **totals})
    awaiting.result(self._rows_on_disk.release(metrics.written(row), round_number))
    self._events.add(round_number, metrics.written(row))
    self.rows.append({'round': round_number, **row})
    return self.rows[-1]

  def told(self) -> str:
    """Says the last quality, and what was sent in all rounds until now."""
    up, down = (self.rows[-1][name] / 1e6 for name in ('upload_bytes_total', 'download_bytes_total'))
    evaluated = quality.evaluated(self.rows)[-1]['round']
    since = '' if evaluated == self.round_number else f' after round {evaluated}'
    return f'{quality.last(self.rows)}{since}, {up:,.1f} MB up, {down:,.1f} MB down'

  def summary(self) -> dict[str, Any]:
    """Returns what the rows come to: the part of `summary.json` that they decide."""
    evaluated = quality.evaluated(self.rows)[-1]
    return {
      **{name: evaluated[name] for name in ('eval/loss', 'eval/accuracy', 'eval/perplexity')},
      **{name: self.rows[-1][name] for name in ('upload_bytes_total', 'download_bytes_total')},
      'dropped_updates': sum(row['dropped_updates'] for row in self.rows[1:]),
      'secure_sum': _lost_in_sums(self.rows[1:]),
      'diverged_round': quality.diverged_round(self.rows),
    }

  @property
  def _csv(self) -> pathlib.Path:
    return self._folder / 'metrics.csv'

  def _open(self) -> None:
    self._rows_on_disk = tff.program.CSVFileReleaseManager(
      str(self._csv), tff.program.CSVSaveMode.WRITE, key_fieldname='round'
    )
    self._events = events.Events(self._folder)


def check_rounds(output_dir: pathlib.Path, rounds: int) -> None:
  """Raises `UsageError` if the run in a folder, finished or not, has done more than `rounds`."""
  last = max(_rounds_on_disk(output_dir), default=0)
  if last > rounds:
    raise failures.UsageError(
      f'{output_dir} holds a run that has done {last} rounds, more than rounds={rounds}: ask for {last} at least, or '
      'choose a new --output_dir'
    )


def warn(summary: Mapping[str, Any]) -> None:
  """Says on stderr what a summary has that makes a result worth little: divergence, and secure sums that came to nothing."""
  if summary['diverged_round'] is not None:
    measure = 'loss' if summary['eval/perplexity'] is None else 'perplexity'
    print(
      f'diverged: since round {summary["diverged_round"]} no evaluation has a finite {measure}; choose a new --output_dir '
      'and lower learning rates',
      file=sys.stderr,
    )
  lost = summary['secure_sum']
  if lost and lost['aborted_rounds'] == summary['rounds']:
    print(
      'nothing was learned: in each round too few clients answered for a secure sum; raise --clients_per_round, or lower '
      'the threshold of --secure_sum',
      file=sys.stderr,
    )
  if lost and lost['wrapped_values']:
    print(f'{lost["wrapped_values"]} values of secure sums did not fit their field, and are wrong', file=sys.stderr)


def _lost_in_sums(rows: Sequence[Mapping[str, Any]]) -> dict[str, int] | None:
  """Returns what secure sums got wrong or lost in all rounds; None if nothing was summed in that way."""
  names = ('wrapped_values', 'cut_values', 'aborted_rounds')
  if not rows or rows[-1][names[0]] is None:
    return None
  return {name: sum(row[name] for row in rows) for name in names}


def _rounds_on_disk(output_dir: pathlib.Path) -> list[int]:
  try:
    return [row['round'] for row in metrics.read(output_dir / 'metrics.csv')]
  except (OSError, KeyError, TypeError, ValueError):
    return []


@contextlib.contextmanager
def saving(output_dir: pathlib.Path) -> Iterator[None]:
  """Raises `RunEnded` with a remedy if the disk refuses what the block, later in a run, writes into its folder."""
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    raise failures.RunEnded(
      f'cannot write to {output_dir} any more: {error}; mend that, and the same command goes on from the last checkpoint'
    ) from error
