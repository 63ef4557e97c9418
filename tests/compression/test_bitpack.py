"""Packed integers come back, in exactly as many bytes as the arithmetic says."""

from absl.testing import parameterized
import hypothesis
from hypothesis import strategies
import numpy as np
import tensorflow as tf

from compression import bitpack


class BitpackTest(parameterized.TestCase):
  @hypothesis.given(
    strategies.integers(1, 16).flatmap(
      lambda bits: strategies.tuples(
        strategies.just(bits), strategies.lists(strategies.integers(0, 2**bits - 1), max_size=70)
      )
    )
  )
  def test_round_trip(self, case):
    bits, values = case
    packed = bitpack.pack(tf.constant(values, tf.int32), bits)
    self.assertEqual(packed.dtype, tf.uint8)
    self.assertEqual(packed.shape[0], bitpack.packed_size(len(values), bits))
    np.testing.assert_array_equal(bitpack.unpack(packed, bits, len(values)), values)

  @parameterized.parameters(
    (1, 9, 2),  # 8 values in 1 byte: 2 groups.
    (2, 9, 3),  # 4 values in 1 byte: 3 groups.
    (3, 9, 6),  # 8 values in 3 bytes: 2 groups.
    (4, 9, 5),  # 2 values in 1 byte: 5 groups.
    (6, 9, 9),  # 4 values in 3 bytes: 3 groups.
    (7, 9, 14),  # 8 values in 7 bytes: 2 groups.
    (8, 9, 9),
    (10, 9, 12),  # 9 low bytes and 9 rests of 2 bits in 3 bytes.
    (16, 9, 18),
    (5, 0, 0),
  )
  def test_size(self, bits, num_values, expected):
    self.assertLen(bitpack.pack(tf.zeros([num_values], tf.int32), bits), expected)

  def test_lays_the_first_value_into_the_lowest_bits(self):
    # 3 bits each of 1, 2, 3 and five zeros: 1 + 2 * 8 + 3 * 64 = 209; then two empty bytes.
    np.testing.assert_array_equal(bitpack.pack(tf.constant([1, 2, 3]), 3), [209, 0, 0])
