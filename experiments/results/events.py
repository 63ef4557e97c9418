"""Rows for TensorBoard."""

from collections.abc import Mapping
import pathlib
from typing import Any

import numpy as np
from tensorboard.plugins.scalar import summary_v2
import tensorflow as tf


class Events:
  """A file of TensorBoard's in a folder.

  Numbers of a round are written together: TFF's `TensorBoardReleaseManager` makes eight tensors of each, and memory is
  lost with each tensor, see `experiments.workers.held_leaves`.
  """

  def __init__(self, folder: pathlib.Path):
    """Takes the folder."""
    self._writer = tf.summary.create_file_writer(str(folder))

  def add(self, round_number: int, row: Mapping[str, Any]) -> None:
    """Writes what are numbers in the row of a round."""
    scalars = [
      summary_v2.scalar_pb(name, value).SerializeToString()
      for name, value in row.items()
      if np.asarray(value).dtype.kind in 'biuf'
    ]
    with self._writer.as_default():
      tf.summary.experimental.write_raw_pb(b''.join(scalars), step=round_number)
