"""Packed positions come back, in as many bits each as the size of the tensor asks for."""

from absl.testing import parameterized
import hypothesis
from hypothesis import strategies
import numpy as np
import tensorflow as tf

from compression import index_bits


class IndexBitsTest(parameterized.TestCase):
  @hypothesis.given(
    strategies.integers(1, 2**31 - 1).flatmap(
      lambda size: strategies.tuples(
        strategies.just(size), strategies.lists(strategies.integers(0, size - 1), max_size=40)
      )
    )
  )
  def test_round_trip(self, case):
    size, indices = case
    packed = index_bits.pack(tf.constant(indices, tf.int32), size)
    self.assertEqual(packed.dtype, tf.uint8)
    np.testing.assert_array_equal(index_bits.unpack(packed, size, len(indices)), indices)

  @parameterized.parameters(
    (1, 1),  # A bit each is the least: 8 bits.
    (2, 1),
    (3, 2),  # 8 of 2 bits.
    (256, 8),
    (257, 9),  # 8 low bytes and 8 of 1 bit.
    (65536, 16),
    (65537, 17),  # 8 of 2 bytes and 8 of 1 bit.
    (21_000_000, 25),  # 2**24 < 21 M < 2**25: 16 bytes and 8 of 9 bits: 8 bytes and 1.
    (2**31 - 1, 31),  # 16 bytes and 8 of 15 bits: 8 bytes and 7.
  )
  def test_bytes_of_eight_indices(self, size, expected):
    self.assertLen(index_bits.pack(tf.fill([8], size - 1), size), expected)

  def test_lays_low_bits_before_high_ones(self):
    # 1 + 2 * 256 + 3 * 65536 of 18 bits: the low byte, the next one, and 3 in the lowest two bits of the last.
    np.testing.assert_array_equal(index_bits.pack(tf.constant([197121]), 2**18), [1, 2, 3])
