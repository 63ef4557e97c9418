"""The table of a comparison of runs: what each group reached, and what it sent for that."""

from collections.abc import Sequence
import math
from typing import NamedTuple

from experiments.comparisons import megabytes
from experiments.comparisons import paired_comparison
from experiments.comparisons import runs
from experiments.results import markdown_table
from experiments.results import quality


class TableCell(NamedTuple):
  """What stands in the table, and the number that it is: None for what was not measured, and for words."""

  text: str
  value: float | None = None


def columns(
  measure: quality.Quality,
  target: float | None = None,
  paired: paired_comparison.Comparison | None = None,
  private: bool = False,
) -> list[str]:
  """Returns the names of the columns beside the label.

  Args:
    measure: What the runs are judged by.
    target: A quality, for the columns that tell when it was reached first.
    paired: The groups against their reference, for the columns that tell of it.
    private: Whether some runs are private, see `some_private`.
  """
  return [
    'seed numbers', 'rounds', 'parameters', measure.name, 'min to max', *(['accuracy'] if measure is quality.PERPLEXITY else []),
    *(['epsilon'] if private else []), *([] if paired is None else paired_comparison.columns(measure)),
    'MB up per client-round', 'MB down per client-round', 'MB up', 'MB down', 'upload reduced', 'Pareto front',
    *([] if target is None else [f'rounds to {target:g}', f'MB up to {target:g}']),
  ]  # fmt: skip


def some_private(found: Sequence[runs.Group]) -> bool:
  """Whether the runs of some groups are private, so that the table tells what they came to."""
  return any(math.isfinite(group.epsilon) for group in found)


def rows(
  found: Sequence[runs.Group],
  target: float | None = None,
  paired: paired_comparison.Comparison | None = None,
) -> list[list[TableCell]]:
  """Returns the cells of `columns` for each group."""
  front, private = runs.pareto_front(found), some_private(found)
  reference = found[runs.reference(found)].spread(runs.upload_bytes).mean
  return [
    [
      *_reached(group),
      *([_spent(group)] if private else []),
      *_against(paired, index),
      *_sent(group, reference),
      TableCell('yes', 1) if index in front else TableCell(''),
      *_until(group, target),
    ]
    for index, group in enumerate(found)
  ]


def cells(
  found: Sequence[runs.Group],
  target: float | None = None,
  paired: paired_comparison.Comparison | None = None,
) -> list[list[str]]:
  """Returns the texts of `rows`; what was not measured is empty."""
  return [[cell.text for cell in row] for row in rows(found, target, paired)]


def markdown(
  found: Sequence[runs.Group],
  names: Sequence[str],
  target: float | None = None,
  paired: paired_comparison.Comparison | None = None,
) -> str:
  """Renders the table as Markdown: the name of each group, and its cells."""
  lines = ([name, *row] for name, row in zip(names, cells(found, target, paired), strict=True))
  names_of_columns = columns(found[0].quality, target, paired, some_private(found))
  return markdown_table.render(['setting', *names_of_columns], lines)


def _reached(group: runs.Group) -> list[TableCell]:
  measure, spread = group.quality, group.spread(runs.quality)
  accuracy = None if group.num_diverged else group.spread(lambda point: point.accuracy).mean
  sizes = [run.config.get('num_parameters', 0) for run in group.runs]
  return [
    TableCell(', '.join(str(run.settings['seed']) for run in group.runs), len(group.runs)),
    TableCell(_rounds(group), max(run.last.round for run in group.runs)),
    TableCell(' or '.join(sorted({f'{size:,}' for size in sizes})), max(sizes)),
    *(_diverged(group) if group.num_diverged else _measured(measure, spread, len(group.runs))),
    *([TableCell(quality.ACCURACY.text(accuracy), accuracy)] if measure is quality.PERPLEXITY else []),
  ]


def _measured(measure: quality.Quality, spread: runs.Spread, num_seeds: int) -> list[TableCell]:
  deviation = '' if spread.deviation is None else f' ± {measure.form.format(spread.deviation)}'
  between = f'{measure.text(spread.low)} to {measure.text(spread.high)}'
  return [
    TableCell(measure.text(spread.mean) + deviation, spread.mean),
    TableCell(between, spread.low) if num_seeds > 1 else TableCell(''),
  ]


def _diverged(group: runs.Group) -> list[TableCell]:
  """Returns that seeds diverged, which have no mean, and what the others reached."""
  words = 'diverged' if len(group.runs) == 1 else f'{group.num_diverged} of {len(group.runs)} seeds diverged'
  others = sorted(runs.quality(run.last) for run in group.runs if not run.diverged)
  texts = [group.quality.text(value) for value in (*others[:1], *others[-1:])]
  return [TableCell(words), TableCell(' to '.join(texts), next(iter(others), None))]


def _spent(group: runs.Group) -> TableCell:
  return TableCell(f'{group.epsilon:.3g}' if math.isfinite(group.epsilon) else 'not private', group.epsilon)


def _against(paired: paired_comparison.Comparison | None, index: int) -> list[TableCell]:
  if paired is None:
    return []
  found = paired_comparison.cells(paired)[index], paired_comparison.values(paired)[index]
  return [TableCell(*each) for each in zip(*found, strict=True)]


def _rounds(group: runs.Group) -> str:
  done = sorted({run.last.round for run in group.runs})
  reached = f'{done[0]}' if len(done) == 1 else f'{done[0]} to {done[-1]}'
  return reached if group.finished else f'{reached} of {group.runs[0].settings.get("rounds")}, unfinished'


def _sent(group: runs.Group, reference: float) -> list[TableCell]:
  directions = (runs.upload_bytes, runs.download_bytes)
  trained = all(run.last.client_rounds for run in group.runs)
  per_client = [
    group.spread(lambda point, of=of: of(point) / point.client_rounds).mean if trained else None for of in directions
  ]
  up, down = (group.spread(of).mean for of in directions)
  return [
    *(TableCell(megabytes.text(value, 3), value) for value in per_client),
    TableCell(megabytes.text(up), up),
    TableCell(megabytes.text(down), down),
    TableCell(f'{reference / up:,.1f}x', reference / up) if up and not group.num_diverged else TableCell(''),
  ]


def _until(group: runs.Group, target: float | None) -> list[TableCell]:
  """Returns rounds and megabytes up to the first evaluation as good as `target`: their means, or who got there."""
  if target is None:
    return []
  firsts = [
    next((point for point in _before_divergence(run) if group.quality.is_as_good(point.quality, target)), None)
    for run in group.runs
  ]
  reached = [point for point in firsts if point]
  if len(reached) < len(firsts):
    return [TableCell(f'{len(reached)} of {len(firsts)} seeds'), TableCell('')]
  rounds, sent = (runs.spread([of(point) for point in reached]).mean for of in (_round, runs.upload_bytes))
  return [TableCell(f'{rounds:,.1f}', rounds), TableCell(megabytes.text(sent), sent)]


def _round(point: runs.Point) -> int:
  return point.round


def _before_divergence(run: runs.Run) -> list[runs.Point]:
  since = math.inf if run.diverged_round is None else run.diverged_round
  return [point for point in run.points if point.round < since]
