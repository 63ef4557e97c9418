"""Checks on the arguments of data-set and partition specs, made before any data is read."""

import os
import pathlib

from data import errors


def require_integer(name: str, value: object, minimum: int, maximum: int) -> int:
  """Returns `value` if it is an integer in [minimum, maximum]; raises DataError otherwise."""
  if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
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
