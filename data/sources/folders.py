"""Lists a user's own files: hidden ones are passed over, and whatever is left out is counted and said in one line."""

import collections
from collections.abc import Callable
import pathlib
import sys
from typing import NamedTuple

from data import errors


class _Kind(NamedTuple):
  """What may be left out, as one and as several are called."""

  one: str
  several: str


_HIDDEN = _Kind('hidden file or folder', 'hidden files or folders')
_BROKEN = _Kind('link that leads nowhere', 'links that lead nowhere')
_LINKED = _Kind('link to a folder', 'links to folders')


class Folders:
  """Finds the files of one suffix for a data set, and keeps count of what it leaves out.

  Attributes:
    suffix: Such as `.txt`; files may have it in capitals.
  """

  def __init__(self, dataset: str, suffix: str):
    self.suffix = suffix
    self._dataset = dataset
    self._left_out: collections.Counter[_Kind] = collections.Counter()
    self._other = _Kind(f'file that is not {suffix}', f'files that are not {suffix}')

  def scan(self, folder: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Returns the folders, and the files of the suffix, that lie in a folder, both sorted.

    Raises DataError if it cannot be read.
    """
    found: tuple[list[pathlib.Path], list[pathlib.Path]] = ([], [])
    try:
      for entry in sorted(folder.iterdir()):
        if is_hidden(entry):
          self._left_out[_HIDDEN] += 1
        elif entry.is_dir():
          found[0].append(entry)
        elif not entry.exists():
          self._left_out[_BROKEN] += 1
        elif entry.suffix.lower() == self.suffix and entry.is_file():
          found[1].append(entry)
        else:
          self._left_out[self._other] += 1
    except OSError as error:
      raise errors.DataError(f'cannot read {str(folder)!r} ({error.strerror}): change its permissions') from None
    return found

  def walk(self, folder: pathlib.Path) -> list[pathlib.Path]:
    """Returns the files of the suffix in a folder and in those below it, sorted; links to folders are not followed.

    Raises DataError if one of them cannot be read.
    """
    files, waiting = [], [folder]
    while waiting:
      below, here = self.scan(waiting.pop())
      waiting += self._keep(below, lambda child: not child.is_symlink())
      files += here
    return sorted(files)

  def without_loops(self, root: pathlib.Path, folders: list[pathlib.Path]) -> list[pathlib.Path]:
    """Returns the folders but for links to `root` itself or to a folder that it lies in."""
    whole = root.resolve()
    around = {whole, *whole.parents}
    return self._keep(folders, lambda folder: folder.resolve() not in around)

  def _keep(self, folders: list[pathlib.Path], wanted: Callable[[pathlib.Path], bool]) -> list[pathlib.Path]:
    kept = [folder for folder in folders if wanted(folder)]
    self._left_out[_LINKED] += len(folders) - len(kept)
    return kept

  def left_out(self) -> str:
    """Returns what was left out, such as `left out 12 files that are not .txt`; empty if nothing was."""
    counted = [
      f'{count:,} {kind.one if count == 1 else kind.several}' for kind, count in self._left_out.items() if count
    ]
    return f'left out {", ".join(counted)}' if counted else ''

  def say(self) -> None:
    """Prints to standard error what was left out, if anything was."""
    if said := self.left_out():
      print(f'{self._dataset}: {said}', file=sys.stderr, flush=True)


def is_hidden(path: pathlib.Path) -> bool:
  """Whether a name is hidden, as .git and the ._files and __MACOSX folders that archives of a Mac hold."""
  return path.name.startswith('.') or path.name == '__MACOSX'
