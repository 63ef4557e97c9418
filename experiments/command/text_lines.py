"""Lines of text that a binary takes from a file or standard input, and leaves in a new file or on standard output."""

import codecs
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import fcntl
import os
import pathlib
import sys
from typing import IO

from data import cache
from experiments.command import failures


@contextlib.contextmanager
def reading(path: str | None) -> Iterator[Iterator[str]]:
  """Yields the lines of the file that `--input` names, without their ends; those of standard input if it names none.

  They are UTF-8 whatever the locale, with or without a byte order mark.

  Args:
    path: The file; None without one.

  Yields:
    The lines, read when they are asked for; they raise `UsageError` at one that is no UTF-8.

  Raises:
    UsageError: If there is no such file, or it cannot be read.
  """
  if path is None:
    yield _decoded(sys.stdin.buffer, 'standard input')
    return
  with contextlib.ExitStack() as opened:
    with _refused(f'cannot read --input={path}', 'name a file with a text a line'):
      stream = opened.enter_context(open(path, 'rb'))
    yield _decoded(stream, f'--input={path}')


@contextlib.contextmanager
def writing(path: str | None) -> Iterator[Callable[[str], None]]:
  """Yields what takes lines for the file that `--output` names, or for standard output if it names none.

  The file is there once the block has ended without an exception, whole or not at all.

  Args:
    path: A file that is not there yet; None without one.

  Yields:
    A function of a line without its end.

  Raises:
    UsageError: If the file is there, or cannot be written.
  """
  if path is None:
    yield print
    return
  final = pathlib.Path(path)
  _check_new(final)
  with _locked(final), cache.temporary(final) as unfinished, contextlib.ExitStack() as opened:
    _check_new(final)  # Who held the lock may have finished.
    with _cannot_write(path):
      stream = unfinished.open('w', encoding='utf-8')
    opened.callback(_abandon, stream)

    def write(line: str) -> None:
      with _cannot_write(path):
        stream.write(f'{line}\n')

    yield write
    with _cannot_write(path):
      stream.close()
    _check_new(final)
    with _cannot_write(path):
      cache.publish(unfinished, final)


@contextlib.contextmanager
def _locked(final: pathlib.Path) -> Iterator[None]:
  """Keeps others from what is not finished; a kill ends that. Raises `UsageError` if another process does so."""
  with _cannot_write(str(final)):
    descriptor = os.open(final.with_name(final.name + cache.PART), os.O_WRONLY | os.O_CREAT, 0o666)
  with open(descriptor, 'wb'):
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      raise failures.UsageError(
        f'--output={final} is being written by another program: name another file, or wait for it'
      ) from error
    yield


def _check_new(path: pathlib.Path) -> None:
  if os.path.lexists(path):
    raise failures.UsageError(f'--output={path} is there already: name a new file, or remove that one first')


def _abandon(stream: IO[str]) -> None:
  """Closes what could not be written, perhaps, of which an error has been said already."""
  with contextlib.suppress(OSError):
    stream.close()


def _decoded(stream: Iterable[bytes], name: str) -> Iterator[str]:
  for number, line in enumerate(stream, 1):
    line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
    try:
      yield line.removesuffix(b'\n').removesuffix(b'\r').decode()
    except UnicodeDecodeError as error:
      raise failures.UsageError(f'line {number} of {name} is not UTF-8: convert it') from error


def _cannot_write(path: str) -> contextlib.AbstractContextManager[None]:
  return _refused(f'cannot write --output={path}', 'name a new file in a folder that you can write')


@contextlib.contextmanager
def _refused(what: str, remedy: str) -> Iterator[None]:
  try:
    yield
  except (OSError, ValueError) as error:  # The latter for a null character in a path.
    raise failures.UsageError(f'{what}: {getattr(error, "strerror", None) or error}; {remedy}') from error
