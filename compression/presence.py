"""The bitmap that announces which variables of an update travel: one bit each, counted like everything else.

It is the only thing that may decide whether a payload is decoded: the size of a payload cannot, since TensorFlow may
take the size of an empty one for that of a full one.
"""

import tensorflow as tf

from compression import bitpack


def pack(present: tf.Tensor) -> tf.Tensor:
  """Packs bool [n] into uint8 [ceil(n / 8)]."""
  return bitpack.pack(tf.cast(present, tf.int32), 1)


def unpack(bitmap: tf.Tensor, num_variables: int) -> tf.Tensor:
  """Inverts `pack`: bool [num_variables]."""
  return bitpack.unpack(bitmap, 1, num_variables) > 0
