"""The picture behind `--what=codecs`: what each codec costs against what it loses, every point with its name."""

from collections.abc import Sequence
import itertools
import pathlib
from typing import Any
from typing import NamedTuple

from experiments.comparisons import codecs
from experiments.comparisons import pareto
from experiments.comparisons import runs
from experiments.results import picture
from experiments.results import point_labels

_WIDTH, _HEIGHT = 9.0, 8.0  # Inches of a panel.
_FRONT, _BEATEN = '#0072B2', '#777777'


class Mark(NamedTuple):
  """A codec in a panel: what it costs, and what it loses: the mean, the least and the most."""

  name: str
  cost: float
  loss: float
  low: float
  high: float


def plot(points: Sequence[codecs.CodecPoint], groups: Sequence[runs.Group], path: pathlib.Path) -> None:
  """Draws both comparisons side by side as a PNG; a comparison without data is left out.

  Args:
    points: As `codecs.measure_update` returns them.
    groups: As `codecs.read_runs` returns them.
    path: The PNG.
  """
  panels = []
  if points:
    marks = [Mark(point.codec, point.bits_per_parameter, *[point.distortion] * 3) for point in points]
    title = 'One real update through each codec'
    panels.append((marks, title, 'bits a parameter that travel', 'squared error / squared norm of the update'))
  if groups:
    spreads = [group.spread(runs.quality) for group in groups]
    marks = [
      Mark(group.runs[0].settings['upload'], group.spread(runs.upload_bytes).mean / 1e6, each.mean, each.low, each.high)
      for group, each in zip(groups, spreads, strict=True)
    ]
    title = 'Whole runs with each codec (bars: from the lowest to the highest seed)'
    panels.append((marks, title, 'megabytes uploaded by all clients', 'perplexity on held-out clients'))
  figure = picture.blank(_WIDTH * len(panels), _HEIGHT, dpi=110)
  for axes, (marks, title, xlabel, ylabel) in zip(
    figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
  ):
    axes.set_title(f'{title}\nLower and further left is better; blue ones are beaten by no other', fontsize=10)
    axes.set(xlabel=xlabel, ylabel=ylabel, xscale='log', yscale='log')
    _draw(axes, marks)
  figure.savefig(path)


def _draw(axes: Any, marks: Sequence[Mark]) -> None:
  marks = sorted(marks, key=lambda mark: (mark.cost, mark.loss))
  best = front(marks)
  least = min((mark.loss for mark in marks if mark.loss > 0), default=1.0)
  lowest = least / 5.0  # A logarithmic axis has no place for a loss of nothing.
  places = [(mark.cost, mark.loss or lowest) for mark in marks]
  steps = _steps([place for place, mark in zip(places, marks, strict=True) if mark in best])
  axes.plot(*zip(*steps, strict=True), color=_FRONT, linewidth=1, alpha=0.5, zorder=0)
  for (cost, loss), mark in zip(places, marks, strict=True):
    colour = _FRONT if mark in best else _BEATEN
    bars = [[mark.loss - mark.low], [mark.high - mark.loss]] if mark.high > mark.low else None
    axes.errorbar([cost], [loss], yerr=bars, marker='o', markersize=5, capsize=3, linewidth=1, color=colour)
  axes.margins(0.12, 0.06)
  axes.grid(alpha=0.2)
  picture.write_numbers(axes.xaxis)
  picture.write_numbers(axes.yaxis)
  texts = [mark.name if mark.loss else f'{mark.name}, no error' for mark in marks]
  colours = [_FRONT if mark in best else _BEATEN for mark in marks]
  bars = [[(mark.cost, mark.low), (mark.cost, mark.high)] for mark in marks if mark.high > mark.low]
  point_labels.write(axes, places, texts, colours, [steps, *bars])


def _steps(best: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
  """Returns the corners of the line below which no codec lies, given those on it, the cheapest first."""
  corners = list(best[:1])
  for (_, before), (cost, loss) in itertools.pairwise(best):
    corners += [(cost, before), (cost, loss)]
  return corners


def front(marks: Sequence[Mark]) -> list[Mark]:
  """Returns the codecs that no other beats: that cost less and lose no more, or the reverse."""
  return [marks[index] for index in sorted(pareto.front([(mark.cost, mark.loss) for mark in marks]))]
