"""Checks on the arguments of algorithms and schedules; each refuses in one line that names the argument."""

from collections.abc import Iterable

_INFINITY = float('inf')


def check_positive(**values: object) -> None:
  """Raises `ValueError` unless every value is a positive number."""
  for name, value in values.items():
    if not _is_number(value) or not 0.0 < value < _INFINITY:
      raise ValueError(f'{name} must be a positive number, not {value!r}')


def check_not_negative(**values: object) -> None:
  """Raises `ValueError` unless every value is 0 or a positive number."""
  for name, value in values.items():
    if not _is_number(value) or not 0.0 <= value < _INFINITY:
      raise ValueError(f'{name} must be 0 or a positive number, not {value!r}')


def check_within(interval: str, /, **values: object) -> None:
  """Raises `ValueError` unless every value is a number within an interval, written as in mathematics: '[0, 1)'."""
  low, high = (float(bound) for bound in interval[1:-1].split(','))
  for name, value in values.items():
    is_within = _is_number(value) and low <= value <= high
    is_excluded = (value == low and interval[0] == '(') or (value == high and interval[-1] == ')')
    if not is_within or is_excluded:
      raise ValueError(f'{name} must lie in {interval}, not {value!r}')


def check_one_of(choices: Iterable[str], /, **values: object) -> None:
  """Raises `ValueError` unless every value is one of the choices."""
  choices = tuple(choices)
  for name, value in values.items():
    if value not in choices:
      raise ValueError(f'{name} must be one of {", ".join(choices)}, not {value!r}')


def check_whole(least: int, **values: object) -> None:
  """Raises `ValueError` unless every value is a whole number of at least `least`."""
  for name, value in values.items():
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
      raise ValueError(f'{name} must be a whole number of at least {least}, not {value!r}')


def clip_norm_or_infinity(clip_norm: object) -> float:
  """Returns the norm to clip at: infinity for 0, which stands for no clipping; raises `ValueError` for what is none."""
  if not _is_number(clip_norm) or not 0.0 <= clip_norm < _INFINITY:
    raise ValueError(f'clip_norm must be a positive number, or 0 for no clipping, not {clip_norm!r}')
  return float(clip_norm) or _INFINITY


def _is_number(value: object) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)
