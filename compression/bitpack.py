"""Packing of small non-negative integers into bytes.

By bits (`pack`), without a bit wasted but for the last group: values of b < 8 bits are laid into the fewest whole bytes
that hold a whole number of them, least significant first: 8 / gcd(b, 8) values in b / gcd(b, 8) bytes. Wider values are
split into a plane of low bytes and a packed rest.

By radix: a byte is a number of as many digits to the base num_levels as fit, least significant first; 5 values of 3
levels share one: byte = v0 + 3 v1 + 9 v2 + 27 v3 + 81 v4. `pack_levels` takes the denser of the two.
"""

import math

import numpy as np
import tensorflow as tf


def pack(values: tf.Tensor, bits: int) -> tf.Tensor:
  """Packs integers of `bits` bits each.

  Args:
    values: int32 [n], each in [0, 2**bits).
    bits: 1 to 31.

  Returns:
    uint8 [m], m = packed_size(n, bits).
  """
  if bits > 8:
    low = tf.cast(tf.bitwise.bitwise_and(values, 255), tf.uint8)
    return tf.concat([low, pack(tf.bitwise.right_shift(values, 8), bits - 8)], axis=0)
  if bits == 8:
    return tf.cast(values, tf.uint8)
  per_group, group_bytes = _group(bits)
  padding = tf.math.floormod(-tf.size(values), per_group)
  groups = tf.reshape(tf.pad(tf.cast(values, tf.int64), [[0, padding]]), [-1, per_group])
  words = tf.reduce_sum(tf.bitwise.left_shift(groups, bits * tf.range(per_group, dtype=tf.int64)), axis=1)
  octets = tf.bitwise.right_shift(words[:, tf.newaxis], 8 * tf.range(group_bytes, dtype=tf.int64))
  return tf.reshape(tf.cast(tf.bitwise.bitwise_and(octets, 255), tf.uint8), [-1])


def unpack(packed: tf.Tensor, bits: int, num_values: int | tf.Tensor) -> tf.Tensor:
  """Inverts `pack`.

  Args:
    packed: uint8 [packed_size(num_values, bits)].
    bits: As given to `pack`.
    num_values: How many values were packed; may be known only when the graph runs.

  Returns:
    int32 [num_values].
  """
  if bits > 8:
    low = tf.cast(packed[:num_values], tf.int32)
    return low + 256 * unpack(packed[num_values:], bits - 8, num_values)
  if bits == 8:
    return tf.cast(packed, tf.int32)
  per_group, group_bytes = _group(bits)
  octets = tf.reshape(tf.cast(packed, tf.int64), [-1, group_bytes])
  words = tf.reduce_sum(tf.bitwise.left_shift(octets, 8 * tf.range(group_bytes, dtype=tf.int64)), axis=1)
  groups = tf.bitwise.right_shift(words[:, tf.newaxis], bits * tf.range(per_group, dtype=tf.int64))
  values = tf.reshape(tf.bitwise.bitwise_and(groups, 2**bits - 1), [-1])
  return tf.cast(values[:num_values], tf.int32)


def packed_size(num_values: int, bits: int) -> int:
  """Returns the number of bytes that `pack` makes of `num_values` values; 0 for values of 0 bits."""
  if bits > 8:
    return num_values + packed_size(num_values, bits - 8)
  per_group, group_bytes = _group(bits)
  return -(-num_values // per_group) * group_bytes


def pack_levels(values: tf.Tensor, num_levels: int) -> tf.Tensor:
  """Packs integers by bits or by radix, whichever takes fewer bytes in the long run.

  Args:
    values: int32 or uint8 [n], each in [0, num_levels).
    num_levels: 1 to 65536.

  Returns:
    uint8 [m], m = packed_levels_size(n, num_levels).
  """
  digits = _digits(num_levels)
  if not digits:
    return pack(tf.cast(values, tf.int32), _bits(num_levels))
  values = tf.cast(values, tf.uint8)
  if digits == 1:
    return values
  padded = tf.pad(values, [[0, tf.math.floormod(-tf.size(values), digits)]])
  columns = tf.unstack(tf.reshape(padded, [-1, digits]), axis=1)
  packed = columns.pop()
  while columns:
    packed = packed * num_levels + columns.pop()
  return packed


def unpack_levels(packed: tf.Tensor, num_levels: int, num_values: int) -> tf.Tensor:
  """Inverts `pack_levels`.

  Args:
    packed: uint8 [packed_levels_size(num_values, num_levels)].
    num_levels: As given to `pack_levels`.
    num_values: How many values were packed.

  Returns:
    int32 [num_values].
  """
  digits = _digits(num_levels)
  if not digits:
    return unpack(packed, _bits(num_levels), num_values)
  packed = tf.cast(packed, tf.int32)
  if digits == 1:
    return packed
  # A table of every byte's digits, because dividing in TensorFlow takes 5 times as long.
  table = np.arange(256, dtype=np.int32)[:, np.newaxis] // num_levels ** np.arange(digits, dtype=np.int32) % num_levels
  return tf.reshape(tf.gather(table, packed), [-1])[:num_values]


def packed_levels_size(num_values: int, num_levels: int) -> int:
  """Returns the number of bytes that `pack_levels` makes of `num_values` values."""
  digits = _digits(num_levels)
  return -(-num_values // digits) if digits else packed_size(num_values, _bits(num_levels))


def _digits(num_levels: int) -> int:
  """Returns how many values share a byte by radix; 0 if packing by bits is denser."""
  digits = max(count for count in range(9) if num_levels**count <= 256)
  return digits if digits * _bits(num_levels) >= 8 else 0


def _bits(num_levels: int) -> int:
  return max(1, (num_levels - 1).bit_length())


def _group(bits: int) -> tuple[int, int]:
  common = math.gcd(bits, 8)
  return 8 // common, bits // common
