"""Each setting of a comparison against the reference, in pairs: on the same held-out units, over the seeds that both have."""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np

from experiments.command import failures
from experiments.comparisons import judges
from experiments.comparisons import paired_difference
from experiments.comparisons import runs
from experiments.results import heldout_units
from experiments.results import quality as quality_lib

_REFERENCE = 'reference'
_TOLERANCE = 1e-3  # Of means: what the order of additions changes is a thousandth of that.


class Paired(NamedTuple):
  """A setting against the reference.

  Attributes:
    difference: How much the quality differs, as it is written: see `columns`.
    deviation: Its sample standard deviation between seeds; None for a single seed, or where one is not finite.
  """

  difference: paired_difference.Difference
  deviation: float | None


class Comparison(NamedTuple):
  """All settings against the reference.

  Attributes:
    reference: The index of its group.
    paired: By group; None for the reference and for what `notes` are about.
    notes: Sentences: what is compared with what, and why some settings are not.
  """

  reference: int
  paired: Sequence[Paired | None]
  notes: Sequence[str]


class _NotPaired(Exception):
  """Why runs cannot be paired: a sentence."""


def columns(measure: quality_lib.Quality) -> list[str]:
  """Returns the names of the columns of `cells`: perplexities are compared by their ratio, accuracies by their difference."""
  unit = '%' if measure is quality_lib.PERPLEXITY else 'points'
  return [f'{measure.name} against {_REFERENCE}, {unit}', f'{100 * paired_difference.LEVEL:.0f} % interval', 'p-value']


def cells(comparison: Comparison) -> list[list[str]]:
  """Returns the cells of `columns` for each group, empty where groups are not paired."""
  rows = [_cells(paired) if paired else [''] * 3 for paired in comparison.paired]
  rows[comparison.reference] = [_REFERENCE, '', '']
  return rows


def values(comparison: Comparison) -> list[list[float | None]]:
  """Returns the numbers by which the cells of `columns` sort: the difference, the low end, the p-value."""
  differences = [paired.difference if paired else None for paired in comparison.paired]
  rows = [[each.mean, each.low, each.p_value] if each else [None] * 3 for each in differences]
  rows[comparison.reference] = [0.0, None, None]
  return rows


def _cells(paired: Paired) -> list[str]:
  found = paired.difference
  return [
    f'{found.mean:+,.2f}' + ('' if paired.deviation is None else f' ± {paired.deviation:,.2f}'),
    f'{found.low:+,.2f} to {found.high:+,.2f}',
    '< 0.001' if found.p_value < 0.001 else f'{found.p_value:.3f}',
  ]


def compare(groups: Sequence[runs.Group]) -> Comparison:
  """Compares each group with the reference, which is that of `runs.reference`.

  Args:
    groups: At least one, of one quality.

  Returns:
    The comparison. Groups are not paired unless the runs of all seeds that both have were judged by the same units.

  Raises:
    UsageError: If a run's `heldout.csv` is damaged.
  """
  reference = runs.reference(groups)
  first = groups[reference].runs[0]
  try:
    units = _read(first)
  except _NotPaired as reason:
    return Comparison(reference, [None] * len(groups), [f'Not paired: {reason}.'])
  extra, notes = {}, []
  for index, group in enumerate(groups):
    if index == reference:
      continue
    try:
      extra[index] = _extra(groups[reference], group, lambda run: _sums_on(units, first, run))
    except _NotPaired as reason:
      notes.append(f'Not paired: {reason}.')
  notes = list(dict.fromkeys(notes))
  if not extra:
    return Comparison(reference, [None] * len(groups), notes)
  means = np.column_stack([each.mean(axis=0) for each in extra.values()])
  found = paired_difference.differences(means, units.num_predicted)
  paired = {
    index: _paired(difference, extra[index].sum(axis=1) / units.num_predicted.sum(), first.quality)
    for index, difference in zip(extra, found, strict=True)
  }
  explanation = _explanation(groups, reference, units)
  return Comparison(reference, [paired.get(index) for index in range(len(groups))], [explanation, *notes])


def _sums_on(units: heldout_units.HeldoutUnits, first: runs.Run, run: runs.Run) -> np.ndarray:
  """Returns the sums of which the quality of a run is the mean, float64 [n]; raises `_NotPaired` for other units."""
  found = _read(run)
  same = found.names == units.names and np.array_equal(found.num_predicted, units.num_predicted)
  if not same or not judges.evaluated_alike(first, run):
    raise _NotPaired(f'{run.folder} and {first.folder} were judged by different clients or examples')
  return _sums(found, run.quality)


def _read(run: runs.Run) -> heldout_units.HeldoutUnits:
  """Returns the units of a run that have anything to predict.

  Raises:
    _NotPaired: Unless there are two at least, which agree with its last evaluation.
    UsageError: If they are damaged.
  """
  if not run.finished:
    raise _NotPaired(f'{run.folder} is unfinished')
  if run.diverged:
    raise _NotPaired(f'{run.folder} has diverged')
  try:
    units = heldout_units.read(run.folder)
  except ValueError as error:
    raise failures.UsageError(f'{error}; delete it or leave {run.folder} out of --runs') from error
  if units is None:
    raise _NotPaired(
      f'{run.folder} has no {heldout_units.FILE}: an older version made it, or examples were judged by comparison'
    )
  units = units.with_predictions()
  if len(units.names) < 2:
    raise _NotPaired(f'{run.folder} was judged by a single client, which says nothing of others')
  expected = math.log(run.last.quality) if run.quality is quality_lib.PERPLEXITY else run.last.quality
  mean = _sums(units, run.quality).sum() / units.num_predicted.sum()
  if not math.isclose(mean, expected, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
    raise _NotPaired(f'{heldout_units.FILE} of {run.folder} is not of its last evaluation')
  return units


def _sums(units: heldout_units.HeldoutUnits, measure: quality_lib.Quality) -> np.ndarray:
  if measure is not quality_lib.PERPLEXITY:
    return units.num_correct
  return np.full_like(units.num_correct, np.nan) if units.loss_sum is None else units.loss_sum


def _extra(reference: runs.Group, group: runs.Group, sums: Callable[[runs.Run], np.ndarray]) -> np.ndarray:
  """Returns what a group's sums have beyond those of the reference: float64 [seeds that both have, n]."""
  own, others = ({run.settings['seed']: run for run in each.runs} for each in (reference, group))
  seeds = [seed for seed in own if seed in others]
  if not seeds:
    raise _NotPaired(f'{group.label} and {reference.label} have no seed in common')
  return np.stack([sums(others[seed]) - sums(own[seed]) for seed in seeds])


def _paired(found: paired_difference.Difference, of_seeds: np.ndarray, measure: quality_lib.Quality) -> Paired:
  """Writes differences of losses or of accuracies, and those of single seeds, float64 [seeds], as `columns` says."""

  def written(value: float) -> float:
    with np.errstate(over='ignore'):
      return 100.0 * (float(np.expm1(value)) if measure is quality_lib.PERPLEXITY else value)

  difference = paired_difference.Difference(*map(written, found[:3]), found.p_value)
  return Paired(difference, runs.spread([written(value) for value in of_seeds]).deviation)


def _explanation(groups: Sequence[runs.Group], reference: int, units: heldout_units.HeldoutUnits) -> str:
  kind = 'examples' if units.are_examples else 'clients'
  how = (
    'Perplexities are compared by their ratio, less one, in per cent: the geometric mean'
    if groups[reference].quality is quality_lib.PERPLEXITY
    else 'Accuracies are compared by their difference, in percentage points: the mean'
  )
  which = f'first setting that is finished and finite, {groups[reference].label}' if reference else 'first setting'
  return (
    f'The {_REFERENCE} is the {which}. {how} over the seeds that both have, '
    f'± the standard deviation between them. The interval and the two-sided p-value come from a paired bootstrap: '
    f'{paired_difference.NUM_RESAMPLES:,} resamples of the {len(units.names):,} held-out {kind} that judged them. They '
    f'tell how the difference depends on these {kind}, and nothing of other seeds; p-values are not corrected for how '
    'many settings are compared.'
  )
