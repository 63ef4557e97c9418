"""Where prepared data sets live, and how a file comes to be there whole or not at all."""

from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import sys

from data import errors

_LOCK = 'prepare.lock'
PART = '.part'  # Ends the name of a file that is being written.


def default_dir() -> pathlib.Path:
  """Returns $LEANFED_CACHE, else $XDG_CACHE_HOME/leanfed, else ~/.cache/leanfed."""
  if os.environ.get('LEANFED_CACHE'):
    return pathlib.Path(os.environ['LEANFED_CACHE']).expanduser().absolute()
  if os.environ.get('XDG_CACHE_HOME'):
    return pathlib.Path(os.environ['XDG_CACHE_HOME']).absolute() / 'leanfed'
  return pathlib.Path.home() / '.cache' / 'leanfed'


@contextlib.contextmanager
def exclusive(cache_dir: pathlib.Path) -> Iterator[None]:
  """Holds the folder's lock, which a killed process releases, and sweeps what such a process left unfinished.

  Raises DataError if the folder cannot be written.
  """
  try:
    cache_dir.mkdir(parents=True, exist_ok=True)
    lock = open(cache_dir / _LOCK, 'w')  # noqa: SIM115 - closed by the `with` below
  except OSError as error:
    raise errors.DataError(
      f'cannot write to the cache folder {str(cache_dir)!r} ({error.strerror}): set LEANFED_CACHE to another folder'
    ) from None
  with lock:
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      print(f'waiting for another program that prepares data in {cache_dir}', file=sys.stderr, flush=True)
      fcntl.flock(lock, fcntl.LOCK_EX)
    for left_over in cache_dir.glob(f'*{PART}'):
      left_over.unlink()
    yield


@contextlib.contextmanager
def temporary(final: pathlib.Path) -> Iterator[pathlib.Path]:
  """Yields an unused path beside `final` that is deleted when the block ends, unless it was published."""
  path = final.with_name(final.name + PART)
  try:
    yield path
  finally:
    path.unlink(missing_ok=True)


def publish(path: pathlib.Path, final: pathlib.Path) -> None:
  """Writes a finished file through to the disk, then gives it its final name in one step."""
  _sync(path)
  os.replace(path, final)
  _sync(final.parent)


def _sync(path: pathlib.Path) -> None:
  descriptor = os.open(path, os.O_RDONLY)
  try:
    os.fsync(descriptor)
  finally:
    os.close(descriptor)
