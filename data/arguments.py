"""Checks on arguments, made before anything is read or built; each refuses in one line that names the argument.

    arguments.check_whole(1, 16, bits=bits);  arguments.check_within('(0, 1]', fraction=fraction)

Those that begin with `require` are for data sets and partitions, and raise `DataError`.
"""

from collections.abc import Iterable
import os
import pathlib
import re

from data import errors

_INFINITY = float('inf')


def check_whole(low: int, high: int | None = None, /, **values: object) -> None:
  """Raises `ValueError` unless every value is a whole number of at least `low`, and at most `high` if that is given."""
  for name, value in values.items():
    if not _is_whole(value, low, high):
      wanted = f'of at least {low}' if high is None else f'from {low:,} to {high:,}'
      raise ValueError(f'{name} must be a whole number {wanted}, not {value!r}')


def check_within(interval: str, /, **values: object) -> None:
  """Raises `ValueError` unless every value is a number within an interval, written as in mathematics: '[0, 1)'."""
  low, high = (float(bound) for bound in interval[1:-1].split(','))
  for name, value in values.items():
    is_within = _is_number(value) and low <= value <= high
    is_excluded = (value == low and interval[0] == '(') or (value == high and interval[-1] == ')')
    if not is_within or is_excluded:
      raise ValueError(f'{name} must lie in {interval}, not {value!r}')


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


def check_bool(**values: object) -> None:
  """Raises `ValueError` unless every value is True or False."""
  for name, value in values.items():
    if not isinstance(value, bool):
      raise ValueError(f'{name} must be True or False, not {value!r}')


def check_expression(**values: object) -> None:
  """Raises `ValueError` unless every value is a regular expression."""
  for name, value in values.items():
    try:
      re.compile(value)
    except (TypeError, re.error) as error:
      raise ValueError(f'{name} must be a regular expression, not {value!r}') from error


def check_one_of(choices: Iterable[str | bool], /, **values: object) -> None:
  """Raises `ValueError` unless every value is one of the choices."""
  choices = tuple(choices)
  for name, value in values.items():
    if value not in choices:
      raise ValueError(f'{name} must be one of {", ".join(map(str, choices))}, not {value!r}')


def require_integer(name: str, value: object, minimum: int, maximum: int) -> int:
  """Returns `value` if it is an integer in [minimum, maximum]; raises DataError otherwise."""
  if not _is_whole(value, minimum, maximum):
    raise errors.DataError(f'{name}={value!r} must be an integer from {minimum} to {maximum}')
  return value


def require_path(dataset: str, value: object) -> pathlib.Path:
  """Returns `value` as an absolute path to something that exists and can be read; raises DataError otherwise."""
  if not isinstance(value, (str, os.PathLike)) or not str(value):
    raise errors.DataError(f"{dataset} needs a path: write {dataset}(path='...')")
  if '\0' in str(value):
    raise errors.DataError(f'path={str(value)!r} holds a null character: name an existing file or folder')
  try:
    path = pathlib.Path(value).expanduser().absolute()
  except RuntimeError:  # The ~ is of nobody on this machine.
    raise errors.DataError(f'path={str(value)!r} is of an unknown user: give {dataset} an existing path') from None
  try:
    found = path.exists()
  except OSError:
    found = False
  if not found:
    raise errors.DataError(f'no such file or folder: {str(path)!r}; give {dataset} an existing path')
  if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
    raise errors.DataError(f'cannot read {str(path)!r}: change its permissions')
  return path


def describe_files(root: pathlib.Path, files: list[pathlib.Path]) -> list[str]:
  """Returns one `name size mtime` line per file, relative to `root`: changes when a file changes."""
  lines = [repr(str(root))]
  for path in files:
    status = path.stat()
    lines.append(f'{str(path.relative_to(root))!r} {status.st_size} {status.st_mtime_ns}')
  return lines


def _is_number(value: object) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_whole(value: object, low: int, high: int | None) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and low <= value and (high is None or value <= high)
