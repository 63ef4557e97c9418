"""Checks of the arguments that model builders share."""

from collections.abc import Mapping
from typing import Any

from data import arguments

_LARGEST = 1_000_000


def chosen(sizes: Mapping[str, Mapping[str, int]], size: str, overrides: Mapping[str, int | None]) -> dict[str, Any]:
  """Returns the dimensions of a named size with the overrides that are not None put in.

  Args:
    sizes: Named sizes to dimensions by name.
    size: A key of `sizes`.
    overrides: Dimensions given by the user.

  Returns:
    Dimensions by name, each an int from 1 to 1,000,000.

  Raises:
    ValueError: For an unknown size or a dimension out of range.
  """
  arguments.check_one_of(sizes, size=size)
  dimensions = dict(sizes[size]) | {name: value for name, value in overrides.items() if value is not None}
  check_dimensions(**dimensions)
  return dimensions


def check_dimensions(**values: object) -> None:
  """Raises `ValueError` unless every dimension is an int from 1 to 1,000,000."""
  arguments.check_whole(1, _LARGEST, **values)


def head_width(width: int, num_heads: int) -> int:
  """Returns the width of one attention head; raises `ValueError` unless the heads divide the width."""
  if width % num_heads:
    raise ValueError(f'num_heads={num_heads} must divide width={width}')
  return width // num_heads
