"""Packed integers come back, in exactly as many bytes as the arithmetic says."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import bitpack


@hypothesis.given(
  strategies.integers(1, 16).flatmap(
    lambda bits: strategies.tuples(
      strategies.just(bits), strategies.lists(strategies.integers(0, 2**bits - 1), max_size=70)
    )
  )
)
def test_round_trip(case):
  bits, values = case
  packed = bitpack.pack(tf.constant(values, tf.int32), bits)
  assert packed.dtype == tf.uint8
  assert packed.shape[0] == bitpack.packed_size(len(values), bits)
  np.testing.assert_array_equal(bitpack.unpack(packed, bits, len(values)), values)


@pytest.mark.parametrize(
  ('bits', 'num_values', 'expected'),
  [
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
  ],
)
def test_size(bits, num_values, expected):
  assert len(bitpack.pack(tf.zeros([num_values], tf.int32), bits)) == expected


def test_lays_the_first_value_into_the_lowest_bits():
  # 3 bits each of 1, 2, 3 and five zeros: 1 + 2 * 8 + 3 * 64 = 209; then two empty bytes.
  np.testing.assert_array_equal(bitpack.pack(tf.constant([1, 2, 3]), 3), [209, 0, 0])


@hypothesis.given(
  strategies.one_of(strategies.integers(1, 20), strategies.integers(21, 2**16)).flatmap(
    lambda num_levels: strategies.tuples(
      strategies.just(num_levels), strategies.lists(strategies.integers(0, num_levels - 1), max_size=70)
    )
  )
)
def test_levels_round_trip(case):
  num_levels, values = case
  packed = bitpack.pack_levels(tf.constant(values, tf.int32), num_levels)
  assert packed.dtype == tf.uint8
  assert packed.shape[0] == bitpack.packed_levels_size(len(values), num_levels)
  unpacked = bitpack.unpack_levels(packed, num_levels, len(values))
  assert unpacked.dtype == tf.int32
  np.testing.assert_array_equal(unpacked, values)


@pytest.mark.parametrize('num_levels', [2, 3, 4, 5, 6, 9, 15, 16, 255, 256])
def test_every_byte_of_a_radix_comes_back(num_levels):
  values = np.stack(np.meshgrid(*[np.arange(num_levels)] * (8 if num_levels == 2 else 2)), axis=-1).reshape(-1)
  packed = bitpack.pack_levels(tf.constant(values, tf.int32), num_levels)
  np.testing.assert_array_equal(bitpack.unpack_levels(packed, num_levels, len(values)), values)


@pytest.mark.parametrize(
  ('num_levels', 'num_values', 'expected'),
  [
    (2, 9, 2),  # 2^8 = 256: 8 values a byte.
    (3, 11, 3),  # 3^5 = 243: 5 a byte.
    (5, 10, 4),  # 5^3 = 125: 3 a byte.
    (6, 10, 4),  # 6^3 = 216: 3 a byte.
    (7, 9, 6),  # 7^2 = 49: 2 a byte would take more than 3 bits, 8 values in 3 bytes: 2 groups.
    (15, 9, 5),  # 15^2 = 225: 2 a byte.
    (17, 9, 10),  # 5 bits: 8 values in 5 bytes, 2 groups.
    (200, 9, 9),
    (257, 9, 11),  # 9 low bytes and 9 rests of 1 bit in 2 bytes.
    (3, 0, 0),
  ],
)
def test_size_of_levels(num_levels, num_values, expected):
  assert len(bitpack.pack_levels(tf.zeros([num_values], tf.int32), num_levels)) == expected


def test_lays_the_first_level_into_the_lowest_digit():
  # 1 + 2 * 3 + 0 * 9 + 2 * 27 + 2 * 81 = 223; then 2 + 1 * 3 = 5.
  np.testing.assert_array_equal(bitpack.pack_levels(tf.constant([1, 2, 0, 2, 2, 2, 1]), 3), [223, 5])


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_levels_of_whole_bits_are_packed_as_bits(bits):
  values = tf.constant(np.random.default_rng(0).integers(0, 2**bits, 37), tf.int32)
  np.testing.assert_array_equal(bitpack.pack_levels(values, 2**bits), bitpack.pack(values, bits))
