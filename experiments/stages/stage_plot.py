"""The picture of a training in stages: the loss of what clients learn without labels, and what they sent for it."""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import pathlib
from typing import Any

from experiments.results import metrics
from experiments.results import picture

_MAX_NUMBERED = 24  # More stages have no room for their numbers beside each other.


def plot(metrics_csv: pathlib.Path, path: pathlib.Path) -> None:
  """Draws the loss over the rounds of all stages, and below it the megabytes of all clients so far, as a PNG.

  Args:
    metrics_csv: As `stage_metrics` writes it.
    path: The PNG.
  """
  rows = metrics.read(metrics_csv)
  stages = [list(members) for _, members in itertools.groupby(rows, lambda row: row['stage'])]
  figure = picture.blank(9, 7)
  above, below = figure.subplots(2, 1, sharex=True)
  _curves(above, stages, 'train/loss', label='training clients', color='tab:blue')
  _curves(above, stages, 'eval/loss', label='held-out clients', color='tab:orange', marker='.')
  above.set(ylabel='loss of the pretext task')
  _megabytes(below, rows)
  below.locator_params(axis='x', integer=True)
  below.set(xlabel='round', ylabel='megabytes so far, all clients', ylim=(0, None))
  for axes in (above, below):
    for stage in stages[:-1]:
      axes.axvline(stage[-1]['round'] + 0.5, color='gray', linestyle=':', linewidth=1)
    axes.grid(alpha=0.3, axis='y')
    axes.legend()
  if len(stages) <= _MAX_NUMBERED:
    numbered = above.secondary_xaxis('top')
    middles = [(stage[0]['round'] + stage[-1]['round']) / 2 for stage in stages]
    numbered.set_xticks(middles, [f'{stage[0]["stage"]}' for stage in stages])
    numbered.tick_params(length=0)
    numbered.set_xlabel('stage')
  figure.savefig(path)


def _curves(axes: Any, stages: Sequence[Sequence[Mapping[str, Any]]], column: str, label: str, **style: Any) -> None:
  """Draws a curve for each stage: what is measured on a new head does not go on from the old one."""
  for stage in stages:
    measured = [row for row in stage if row[column] is not None]
    rounds, values = [row['round'] for row in measured], [row[column] for row in measured]
    axes.plot(rounds, values, label=label if stage is stages[0] else None, **style)


def _megabytes(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
  """Draws what was sent in both directions, and as an area what of it were blocks that a stage froze."""
  rounds = [row['round'] for row in rows]
  up, down = ([row[f'{direction}_bytes_total'] / 1e6 for row in rows] for direction in ('upload', 'download'))
  frozen = list(itertools.accumulate((row['download_bytes_frozen'] or 0) / 1e6 for row in rows))
  axes.plot(rounds, down, color='tab:green', label='downloaded')
  axes.plot(rounds, up, color='tab:red', linestyle='--', label='uploaded')
  axes.fill_between(rounds, frozen, color='tab:green', alpha=0.3, linewidth=0, label='downloaded frozen blocks')
