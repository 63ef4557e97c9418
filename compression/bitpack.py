"""Packing of small non-negative integers into bytes, without a bit wasted but for the last group.

Values of b < 8 bits are laid into the fewest whole bytes that hold a whole number of them, least significant first:
8 / gcd(b, 8) values in b / gcd(b, 8) bytes. Wider values are split into a plane of low bytes and a packed rest.
"""

import math

import tensorflow as tf


def pack(values: tf.Tensor, bits: int) -> tf.Tensor:
  """Packs integers of `bits` bits each.

  Args:
    values: int32 [n], each in [0, 2**bits).
    bits: 1 to 16.

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


def unpack(packed: tf.Tensor, bits: int, num_values: int) -> tf.Tensor:
  """Inverts `pack`.

  Args:
    packed: uint8 [packed_size(num_values, bits)].
    bits: As given to `pack`.
    num_values: How many values were packed.

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
  """Returns the number of bytes that `pack` makes of `num_values` values."""
  if bits > 8:
    return num_values + packed_size(num_values, bits - 8)
  per_group, group_bytes = _group(bits)
  return -(-num_values // per_group) * group_bytes


def _group(bits: int) -> tuple[int, int]:
  common = math.gcd(bits, 8)
  return 8 // common, bits // common
