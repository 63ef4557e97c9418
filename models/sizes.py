"""Checks of the arguments that model builders share."""

from collections.abc import Mapping
from typing import Any

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
  if size not in sizes:
    raise ValueError(f'size must be one of {", ".join(sizes)}, not {size!r}')
  dimensions = dict(sizes[size]) | {name: value for name, value in overrides.items() if value is not None}
  for name, value in dimensions.items():
    check_dimension(name, value)
  return dimensions


def check_dimension(name: str, value: object) -> None:
  """Raises `ValueError` unless a dimension is an int from 1 to 1,000,000."""
  if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _LARGEST:
    raise ValueError(f'{name} must be a whole number from 1 to {_LARGEST:,}, not {value!r}')


def check_dropout(rate: float) -> None:
  """Raises `ValueError` unless `rate` lies in [0, 1)."""
  if not 0.0 <= rate < 1.0:
    raise ValueError(f'dropout must lie in [0, 1), not {rate!r}')


def head_width(width: int, num_heads: int) -> int:
  """Returns the width of one attention head; raises `ValueError` unless the heads divide the width."""
  if width % num_heads:
    raise ValueError(f'num_heads={num_heads} must divide width={width}')
  return width // num_heads
