"""Checkpoints of a run: TFF's program states, each with a checksum, so that a damaged one is never continued from."""

import hashlib
import pathlib
import shutil
import sys
from typing import Any

import tensorflow_federated as tff

from experiments.results import awaiting
from experiments.results import output

_KEPT = 3
_PREFIX = 'round_'
_CHECKSUM = 'SHA256'


class Checkpoints:
  """The newest states of a run in a folder, by round.

  TFF's manager writes a state beside its place and renames it, which a kill survives, but it takes whatever it finds in
  that place for a state: one that lost a file while it was being removed, one that the disk damaged.
  """

  def __init__(self, folder: pathlib.Path):
    """Takes the folder, which is created if need be; raises `OSError` if it cannot."""
    self._folder = folder
    self._manager = tff.program.FileProgramStateManager(str(folder), _PREFIX, keep_total=_KEPT, keep_first=False)

  def save(self, state: Any, round_number: int) -> None:
    """Writes the state after a round and removes all but the newest ones."""
    folder = self._of(round_number)
    shutil.rmtree(folder, ignore_errors=True)  # What is there is unfinished.
    awaiting.result(self._manager.save(state, round_number))
    output.write_text(folder / _CHECKSUM, _checksum(folder))

  def load_latest(self, structure: Any) -> tuple[Any, int] | None:
    """Returns the newest sound state and its round, None if there is none; deletes whatever is newer or unfinished.

    Args:
      structure: Any state of the same structure.
    """
    for left_over in self._folder.glob(f'{_PREFIX}*_temp*'):
      shutil.rmtree(left_over)
    for round_number in sorted(awaiting.result(self._manager.get_versions()) or (), reverse=True):
      if self._is_sound(round_number):
        return awaiting.result(self._manager.load(round_number, structure)), round_number
      shutil.rmtree(self._of(round_number))
    return None

  def newest_round(self) -> int | None:
    """Returns the round of the newest state, None if there is none."""
    return max(awaiting.result(self._manager.get_versions()) or (), default=None)

  def _is_sound(self, round_number: int) -> bool:
    folder = self._of(round_number)
    try:
      recorded = (folder / _CHECKSUM).read_text()
    except FileNotFoundError:
      return False  # A kill came before the checksum.
    if recorded == _checksum(folder):
      return True
    print(
      f'the checkpoint of round {round_number} in {self._folder} is damaged: looking for the one before',
      file=sys.stderr,
    )
    return False

  def _of(self, round_number: int) -> pathlib.Path:
    return self._folder / f'{_PREFIX}{round_number}'


def _checksum(folder: pathlib.Path) -> str:
  """Returns a SHA-256 in hexadecimal over the names and the contents of a state's files."""
  total = hashlib.sha256()
  for path in sorted(path for path in folder.rglob('*') if path.is_file() and path.name != _CHECKSUM):
    with path.open('rb') as file:
      content = hashlib.file_digest(file, 'sha256').hexdigest()
    total.update(f'{path.relative_to(folder)} {content}\n'.encode())
  return total.hexdigest()
