"""What a central training is after some steps, and how it is kept on disk."""

import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from experiments.command import failures
from models import checkpoint
from models import model as model_lib

FILE = 'training.safetensors'


class State(NamedTuple):
  """What a training is after `step` steps; the sums are those since the last row of metrics."""

  step: int
  weights: model_lib.Weights
  optimizer_state: Any
  loss_sum: float
  weight_sum: float
  seconds: float


def save(folder: pathlib.Path, state: State) -> None:
  """Writes a state into a folder: whole, or not at all."""
  leaves = {str(index): np.array(leaf) for index, leaf in enumerate(tf.nest.flatten(state))}
  checkpoint.save_arrays(folder / FILE, leaves, {})


def load(folder: pathlib.Path, like: State) -> State | None:
  """Reads the state in a folder, which has the structure of `like`; None without one, `UsageError` for a damaged one."""
  if not (folder / FILE).exists():
    return None
  try:
    arrays, _ = checkpoint.load_arrays(folder / FILE)
  except ValueError as error:
    raise failures.UsageError(f'{error}, or choose a new --output_dir') from error
  leaves = [
    tf.constant(arrays[str(index)]) if tf.is_tensor(leaf) else type(leaf)(arrays[str(index)])
    for index, leaf in enumerate(tf.nest.flatten(like))
  ]
  return tf.nest.pack_sequence_as(like, leaves)
