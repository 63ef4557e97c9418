"""The Pareto front: what costs less than anything as good."""

from collections.abc import Sequence


def front(points: Sequence[tuple[float, float]]) -> set[int]:
  """Returns which points no other beats, by index.

  Args:
    points: Cost and loss of each, of which less is better.
  """
  return {index for index, point in enumerate(points) if not any(_beats(other, point) for other in points)}


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
  """Whether one point costs and loses no more than another, and is not the same."""
  return one[0] <= other[0] and one[1] <= other[1] and one != other
