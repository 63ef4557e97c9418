"""Checkpoints of a run: the state after a round in a file with a checksum, so that a damaged one is never continued from."""

from collections.abc import Mapping
import hashlib
import json
import pathlib
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from data import cache
from experiments.command import failures
from models import checkpoint

_KEPT = 3
_PREFIX, _SUFFIX = 'round_', '.safetensors'
_CHECKSUM = 'sha256'


class Checkpoints:
  """The newest states of a run in a folder, by round: their leaves, which come back with the same bits and types.

  `FileProgramStateManager` of TFF would trace a graph for each state: half a second for fifty small arrays, not three milliseconds.
  """

  def __init__(self, folder: pathlib.Path):
    """Takes the folder, which is created if need be; raises `OSError` if it cannot."""
    self._folder = folder
    folder.mkdir(parents=True, exist_ok=True)

  def save(self, state: Any, round_number: int) -> None:
    """Writes the state after a round, whole or not at all, and removes all but the newest ones.

    Args:
      state: Nested containers of tensors, arrays and numbers, as `tf.nest` sees them.
      round_number: The round.
    """
    leaves = {str(index): np.asarray(leaf) for index, leaf in enumerate(tf.nest.flatten(state))}
    checkpoint.save_arrays(self._of(round_number), leaves, {_CHECKSUM: _checksum(leaves)})
    for old in self._rounds()[:-_KEPT]:
      self._of(old).unlink()

  def load_latest(self, structure: Any) -> tuple[Any, int] | None:
    """Returns the newest sound state and its round, None if there is none; deletes whatever is newer or unfinished.

    Args:
      structure: Any state of the same structure.

    Raises:
      UsageError: If another version of the suite wrote them.
    """
    for left_over in self._folder.glob(f'*{cache.PART}'):
      left_over.unlink()
    for round_number in reversed(self._rounds()):
      leaves = self._sound_leaves(round_number)
      if leaves is not None:
        self._check(len(leaves) == len(tf.nest.flatten(structure)))
        return tf.nest.pack_sequence_as(structure, [leaves[str(index)] for index in range(len(leaves))]), round_number
      self._of(round_number).unlink()
    self._check(not any(self._folder.glob(f'{_PREFIX}*')))
    return None

  def newest_round(self) -> int | None:
    """Returns the round of the newest state, None if there is none."""
    return max(self._rounds(), default=None)

  def _rounds(self) -> list[int]:
    names = (
      path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX) for path in self._folder.glob(f'{_PREFIX}*{_SUFFIX}')
    )
    return sorted(int(name) for name in names)

  def _sound_leaves(self, round_number: int) -> dict[str, np.ndarray] | None:
    """Returns what a file holds; None, and a line on stderr, if it is damaged."""
    try:
      leaves, metadata = checkpoint.load_arrays(self._of(round_number))
    except ValueError:
      leaves, metadata = {}, {}
    if metadata.get(_CHECKSUM) == _checksum(leaves):
      return leaves
    print(
      f'the checkpoint of round {round_number} in {self._folder} is damaged: looking for the one before',
      file=sys.stderr,
    )
    return None

  def _check(self, is_ours: bool) -> None:
    if not is_ours:
      raise failures.UsageError(
        f'another version of this suite wrote the checkpoints in {self._folder}: go on with that one, or choose a new --output_dir'
      )

  def _of(self, round_number: int) -> pathlib.Path:
    return self._folder / f'{_PREFIX}{round_number}{_SUFFIX}'


def _checksum(leaves: Mapping[str, np.ndarray]) -> str:
  """Returns a SHA-256 in hexadecimal over names, types, shapes and bytes."""
  total = hashlib.sha256()
  for name, leaf in sorted(leaves.items()):
    total.update(json.dumps([name, str(leaf.dtype), leaf.shape]).encode())
    total.update(np.ascontiguousarray(leaf).view(np.uint8) if leaf.size else b'')
  return total.hexdigest()
