"""Texts beside the points of a picture, none on another, so that no legend is needed."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import math
from typing import Any
from typing import NamedTuple

_DIRECTIONS = 16
_DISTANCES = (6, 12, 20, 30, 42, 56, 72, 90, 110)  # Typographic points.
_WITHOUT_LINE = 8  # A text that is nearer needs no line to its point.
_MARKER = 4.0  # Half the side of a point's own room.


_Place = tuple[float, float]


class _Box(NamedTuple):
  """A rectangle, in typographic points."""

  left: float
  low: float
  right: float
  high: float

  def overlap(self, other: '_Box') -> float:
    width = min(self.right, other.right) - max(self.left, other.left)
    height = min(self.high, other.high) - max(self.low, other.low)
    return width * height if width > 0 and height > 0 else 0.0

  def outside(self, other: '_Box') -> float:
    """Returns the part of the area that lies outside of another."""
    return (self.right - self.left) * (self.high - self.low) - self.overlap(other)


def write(
  axes: Any,
  points: Sequence[_Place],
  texts: Sequence[str],
  colours: Sequence[str],
  avoided: Sequence[Sequence[_Place]] = (),
  size: float = 8.0,
) -> None:
  """Writes a text beside each point, with a thin line to it where there is no room near by.

  Args:
    axes: A `matplotlib.axes.Axes` whose scales and limits are final.
    points: Where the points are.
    texts: One a point, written in this order: the first has the best place.
    colours: The colour of each text.
    avoided: The corners of lines that are drawn, on which no text should lie.
    size: Height of the letters, in typographic points.
  """
  figure = axes.figure
  figure.draw_without_rendering()  # The layout decides where the points are.
  to_points = 72.0 / figure.dpi
  frame = _Box(*(to_points * axes.bbox.extents))
  places = [tuple(to_points * axes.transData.transform(point)) for point in points]
  taken = [_around(x, y) for x, y in places]
  for line in avoided:
    for start, end in itertools.pairwise(tuple(to_points * axes.transData.transform(point)) for point in line):
      taken += [_around(*place, 1.0) for place in _between(start, end)]
  for point, (x, y), text, colour in zip(points, places, texts, colours, strict=True):
    written = axes.annotate(text, point, xytext=(0, 0), textcoords='offset points', fontsize=size, color=colour)
    extent = written.get_window_extent()
    width, height = to_points * extent.width, to_points * extent.height
    distance, box = _best(_candidates(x, y, width, height), (x, y), taken, frame)
    written.set_position((box.left - x, box.low - y))
    taken.append(box)
    if distance > _WITHOUT_LINE:
      end = _nearest(box, x, y)
      taken += [_around(*place, 1.0) for place in _between((x, y), end)]
      arrow = dict(arrowstyle='-', color='gray', linewidth=0.6)
      axes.annotate(
        '', point, xytext=(end[0] - x, end[1] - y), textcoords='offset points', arrowprops=arrow, zorder=1,
      )  # fmt: skip


def _around(x: float, y: float, half: float = _MARKER) -> _Box:
  return _Box(x - half, y - half, x + half, y + half)


def _candidates(x: float, y: float, width: float, height: float) -> Iterator[tuple[float, _Box]]:
  """Yields distances from a point and boxes of a size that touch the circle of that distance."""
  for distance in _DISTANCES:
    for index in range(_DIRECTIONS):
      cosine, sine = (function(2 * math.pi * index / _DIRECTIONS) for function in (math.cos, math.sin))
      left = x + distance * cosine + width * (cosine - 1) / 2
      low = y + distance * sine + height * (sine - 1) / 2
      yield distance, _Box(left, low, left + width, low + height)


def _best(
  candidates: Iterable[tuple[float, _Box]], point: _Place, taken: Sequence[_Box], frame: _Box
) -> tuple[float, _Box]:
  """Returns the first candidate that lies on nothing, or else the one with the least cost."""
  found = []
  for distance, box in candidates:
    cost = _cost(distance, box, point, taken, frame)
    if cost <= distance:
      return distance, box
    found.append((cost, distance, box))
  return min(found)[1:]


def _cost(distance: float, box: _Box, point: _Place, taken: Sequence[_Box], frame: _Box) -> float:
  """Returns how bad a place is: above all what lies on other things, then how far it is."""
  covered = sum(box.overlap(other) for other in taken) + max(0.0, box.outside(frame) - 1e-6)
  crossed = 0.0
  if distance > _WITHOUT_LINE:
    steps = [_around(*place, 1.0) for place in _between(point, _nearest(box, *point))]
    crossed = sum(step.overlap(other) for step in steps for other in taken)
  return 1e3 * covered + 300.0 * crossed + distance


def _nearest(box: _Box, x: float, y: float) -> _Place:
  """Returns the place of a box that is nearest to a point."""
  return min(max(x, box.left), box.right), min(max(y, box.low), box.high)


def _between(start: _Place, end: _Place) -> list[_Place]:
  """Returns places on a line, one every two typographic points, without those on the marker at its start."""
  length = math.dist(start, end)
  parts = [step / length for step in range(int(_MARKER) + 2, int(length), 2)]
  return [(start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])) for part in parts]
