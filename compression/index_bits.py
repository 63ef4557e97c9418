"""Packing of positions in a tensor into as few bits each as the tensor's size needs.

bits = ceil(log2 size), at least 1; what exceeds the 16 bits of `bitpack.py` is a plane of its own after the low 16.
"""

import tensorflow as tf

from compression import bitpack


def pack(indices: tf.Tensor, size: int) -> tf.Tensor:
  """Packs int32 [n], each in [0, size), into uint8."""
  bits = _bits(size)
  if bits <= 16:
    return bitpack.pack(indices, bits)
  low = bitpack.pack(tf.bitwise.bitwise_and(indices, 2**16 - 1), 16)
  return tf.concat([low, bitpack.pack(tf.bitwise.right_shift(indices, 16), bits - 16)], axis=0)


def unpack(packed: tf.Tensor, size: int, num_indices: int) -> tf.Tensor:
  """Inverts `pack`: int32 [num_indices]; the length of `packed` may be unknown to the graph."""
  bits = _bits(size)
  if bits <= 16:
    return bitpack.unpack(packed, bits, num_indices)
  num_low_bytes = bitpack.packed_size(num_indices, 16)
  low = bitpack.unpack(packed[:num_low_bytes], 16, num_indices)
  return low + 2**16 * bitpack.unpack(packed[num_low_bytes:], bits - 16, num_indices)


def _bits(size: int) -> int:
  return max(1, (size - 1).bit_length())
