"""Ascending positions in a tensor, by their gaps (Elias 1974, Efficient storage and retrieval by content and address).

    gap_i = position_i - i,  i = 0 .. k - 1        how many of the values that are not meant come before; never falls
    low_i = gap_i mod 2**l                         l bits each, packed by `bitpack.py`; then
    bitmap of k + floor((n - k) / 2**l) bits       ones at floor(gap_i / 2**l) + i: the steps in units of 2**l, unary

Bits fill bytes from the least significant. Since l follows from k and n, sizes are known beforehand: it is the number
that makes the fewest bytes, about log2(n / k), for about 2 + log2(n / k) bits a position. With l = 0 the bitmap is that of
the positions themselves, in n bits.
"""

import tensorflow as tf

from compression import bitpack


def pack(positions: tf.Tensor, size: int) -> tf.Tensor:
  """Packs positions of a tensor of `size` values.

  Args:
    positions: int32 [k], k static, each in [0, size), ascending, none twice.
    size: At most 2**31 - 1.

  Returns:
    uint8 [packed_size(k, size)].

  Raises:
    InvalidArgumentError: When the graph runs, for positions that lie outside or do not ascend.
  """
  count = positions.shape[0]
  if count == 0:
    return tf.zeros([0], tf.uint8)
  low_bits = _low_bits(count, size)
  gaps = _checked(positions, size) - tf.range(count)
  ones = tf.bitwise.right_shift(gaps, low_bits) + tf.range(count)
  octets = tf.bitwise.right_shift(ones, 3)[:, tf.newaxis]
  # Every bit is added once, which sets it.
  bits = tf.bitwise.left_shift(1, tf.bitwise.bitwise_and(ones, 7))
  bitmap = tf.cast(tf.scatter_nd(octets, bits, [_bitmap_size(count, size, low_bits)]), tf.uint8)
  low = tf.bitwise.bitwise_and(gaps, 2**low_bits - 1)
  return tf.concat([bitpack.pack(low, low_bits), bitmap], axis=0) if low_bits else bitmap


def unpack(packed: tf.Tensor, size: int, count: int) -> tf.Tensor:
  """Inverts `pack`.

  Args:
    packed: uint8 [packed_size(count, size)], or empty if nothing was sent; the length may be unknown to the graph.
    size: As given to `pack`.
    count: How many positions were packed.

  Returns:
    int32 [count], or [0] if nothing was sent; the length is unknown to the graph.

  Raises:
    InvalidArgumentError: When the graph runs, for bytes that hold another number of positions.
  """
  if count == 0:
    return tf.cast(packed, tf.int32)
  low_bits = _low_bits(count, size)
  num_low_bytes = bitpack.packed_size(count, low_bits)
  bitmap = bitpack.unpack_levels(packed[num_low_bytes:], 2, count + (size - count >> low_bits))
  ones = tf.cast(tf.where(tf.cast(bitmap, tf.bool))[:, 0], tf.int32)
  complete = tf.equal(tf.size(ones), count) | tf.equal(tf.size(packed), 0)
  with tf.control_dependencies([tf.debugging.Assert(complete, [f'not {count} positions'])]):
    ones = tf.identity(ones)
  if not low_bits:
    return ones
  indices = tf.range(tf.size(ones))
  low = bitpack.unpack(packed[:num_low_bytes], low_bits, count)
  return tf.bitwise.left_shift(ones - indices, low_bits) + low + indices


def packed_size(count: int, size: int) -> int:
  """Returns the number of bytes that `pack` makes of `count` positions among `size`."""
  return _packed_size(count, size, _low_bits(count, size))


def _packed_size(count: int, size: int, low_bits: int) -> int:
  return bitpack.packed_size(count, low_bits) + _bitmap_size(count, size, low_bits) if count else 0


def _bitmap_size(count: int, size: int, low_bits: int) -> int:
  return -(-(count + (size - count >> low_bits)) // 8)


def _low_bits(count: int, size: int) -> int:
  return min(range(31), key=lambda low_bits: _packed_size(count, size, low_bits))


def _checked(positions: tf.Tensor, size: int) -> tf.Tensor:
  ascend = tf.reduce_all(positions[1:] > positions[:-1]) & (positions[0] >= 0) & (positions[-1] < size)
  message = f'positions must ascend within [0, {size}), not'
  with tf.control_dependencies([tf.debugging.Assert(ascend, [message, positions])]):
    return tf.identity(positions)
