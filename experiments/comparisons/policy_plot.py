"""The picture behind `--what=policies`: what an update costs against what it gains, and quality against the part trained."""

from collections.abc import Sequence
import pathlib
import statistics
from typing import Any

from experiments.comparisons import pareto
from experiments.comparisons import policies
from experiments.comparisons import policy_updates
from experiments.comparisons import runs
from experiments.results import picture
from experiments.results import point_labels

_WIDTH, _HEIGHT = 8.0, 5.0  # Inches of a panel.
_FRONT, _BEATEN = '#0072B2', '#777777'


def plot(measured: Sequence[policy_updates.MeasuredPolicy], groups: Sequence[runs.Group], path: pathlib.Path) -> None:
  """Draws both comparisons side by side as a PNG; a comparison without data is left out.

  Args:
    measured: Policies, of which those without a gain are not shown.
    groups: As `policies.read_runs` returns them.
    path: The PNG.
  """
  draw_on = [lambda axes: _draw(axes, [each for each in measured if each.has_gains])] if measured else []
  draw_on += [lambda axes: policies.draw(axes, groups)] if groups else []
  figure = picture.blank(_WIDTH * len(draw_on), _HEIGHT)
  for draw, axes in zip(draw_on, figure.subplots(1, len(draw_on), squeeze=False)[0], strict=True):
    draw(axes)
  figure.savefig(path)


def _draw(axes: Any, measured: Sequence[policy_updates.MeasuredPolicy]) -> None:
  """Draws a point for each policy, with a bar from the client that gains least to the one that gains most."""
  costs = [each.mean('upload_bytes') / 1e6 for each in measured]
  gains = [each.gains(each.best_length) for each in measured]
  means = [statistics.mean(each) for each in gains]
  best = pareto.front([(cost, -mean) for cost, mean in zip(costs, means, strict=True)])
  colours = [_FRONT if index in best else _BEATEN for index in range(len(measured))]
  for each, cost, mean, colour in zip(gains, costs, means, colours, strict=True):
    bars = [[mean - min(each)], [max(each) - mean]]
    axes.errorbar([cost], [mean], yerr=bars, marker='o', markersize=5, capsize=3, linewidth=1, color=colour)
  axes.axhline(0.0, color='black', linewidth=0.6)
  axes.set(
    xlabel='megabytes that a client uploads',
    ylabel='gain of held-out loss at the best length, nats',
  )
  axes.set_title(
    'One round of one client (bars: from the one that gains least to the one that gains most)\nHigher and further left is better; blue ones are beaten by no other',
    fontsize=10,
  )
  if measured:
    axes.set_xscale('log')
  axes.margins(0.12, 0.1)
  axes.grid(alpha=0.2)
  picture.write_numbers(axes.xaxis)
  bars = [[(cost, min(each)), (cost, max(each))] for each, cost in zip(gains, costs, strict=True)]
  point_labels.write(axes, list(zip(costs, means, strict=True)), [each.policy for each in measured], colours, bars)
