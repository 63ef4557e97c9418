"""Packed positions: bytes typed by hand, against plain Python, their size by the arithmetic, and what is refused."""

import math

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import positions


def _oracle(chosen, size, low_bits):
  """Returns the bytes, from text of zeros and ones."""
  gaps = [position - index for index, position in enumerate(chosen)]
  text, lows, width = '', [gap % 2**low_bits for gap in gaps], low_bits
  while width > 0:
    plane = min(width, 8)
    packed = ''.join(f'{low % 2**plane:0{plane}b}'[::-1] for low in lows)
    text += packed + '0' * (-len(packed) % (8 * plane // math.gcd(plane, 8)))
    lows, width = [low >> plane for low in lows], width - plane
  for gap, before in zip(gaps, [0, *gaps], strict=False):
    text += '0' * ((gap >> low_bits) - (before >> low_bits)) + '1'
  text += '0' * ((size - len(chosen) >> low_bits) - (gaps[-1] >> low_bits))
  text += '0' * (-len(text) % 8)
  return [int(text[start : start + 8][::-1], 2) for start in range(0, len(text), 8)]


@strategies.composite
def _chosen(draw):
  size = draw(strategies.one_of(strategies.integers(1, 60), strategies.integers(1, 2**31 - 1)))
  chosen = draw(strategies.sets(strategies.integers(0, size - 1), max_size=70))
  return sorted(chosen), size


@pytest.mark.parametrize(
  ('chosen', 'size', 'expected'),
  [
    ([1, 2], 4, [6]),  # A bitmap of 4 bits: 2 + 4.
    ([0], 1, [1]),
    ([0, 1, 2, 3, 4, 5, 6, 7, 8], 9, [255, 1]),
    # 4 low bits of the gaps 5 and 38 = 2 * 16 + 6: 5 + 6 * 16 = 101; ones at 0 and 2 + 1 of 2 + 38 / 16 bits: 1 + 8.
    ([5, 39], 40, [101, 9]),
    # 16 low bits of 131,073 = 2 * 65,536 + 1; a one at 2 of 1 + (2**20 - 1) / 2**16 = 16 bits.
    ([131_073], 2**20, [1, 0, 4, 0]),
    ([], 5, []),
    ([], 0, []),
  ],
)
def test_bytes_by_hand(chosen, size, expected):
  packed = positions.pack(tf.constant(chosen, tf.int32), size)
  assert packed.dtype == tf.uint8
  np.testing.assert_array_equal(packed, expected)
  assert positions.packed_size(len(chosen), size) == len(expected)
  np.testing.assert_array_equal(positions.unpack(packed, size, len(chosen)), chosen)


@hypothesis.given(_chosen())
def test_round_trip_within_the_size(case):
  chosen, size = case
  packed = positions.pack(tf.constant(chosen, tf.int32), size)
  assert packed.shape[0] == positions.packed_size(len(chosen), size)
  np.testing.assert_array_equal(positions.unpack(packed, size, len(chosen)), chosen)


@pytest.mark.parametrize('size', [1, 2, 100, 65_536, 65_537, 70_001, 2**20, 2**20 + 3])
@pytest.mark.parametrize('share', [0.0, 0.001, 0.05, 0.5, 1.0])
def test_round_trip_of_many(size, share):
  for count in {0, 1, round(share * size), size}:
    chosen = np.sort(np.random.default_rng(0).choice(size, count, replace=False)).astype(np.int32)
    packed = positions.pack(tf.constant(chosen), size)
    np.testing.assert_array_equal(positions.unpack(packed, size, count), chosen)
    _assert_size(packed.shape[0], count, size)


def _assert_size(num_bytes, count, size):
  if not count:
    assert num_bytes == 0
    return
  # Elias's bound of 2 + log2(n / k) bits each, and a group of low bits and one of the bitmap begun.
  assert num_bytes <= min(count * (2 + math.log2(size / count)) / 8 + 8, -(-size // 8))
  log_choices = math.lgamma(size + 1) - math.lgamma(count + 1) - math.lgamma(size - count + 1)
  assert num_bytes >= log_choices / math.log(2) / 8 - 1e-3


@pytest.mark.parametrize(
  ('size', 'count', 'low_bits'),
  [
    (20_000, 1000, 4),  # 500 + (1000 + 1187) / 8 = 774 bytes, against 375 + 422 of 3 low bits and 625 + 199 of 5.
    (70_000, 104, 9),
    (2**21, 64, 14),
  ],
)
def test_encodes_as_plain_python_does(size, count, low_bits):
  chosen = np.sort(np.random.default_rng(0).choice(size, count, replace=False)).astype(np.int32)
  expected = _oracle(chosen.tolist(), size, low_bits)
  np.testing.assert_array_equal(positions.pack(tf.constant(chosen), size), expected)


def test_five_per_cent_of_a_million_take_less_than_a_half_of_what_fixed_width_takes():
  # 20 bits each would be 131,070 bytes; the entropy of a bit that is 1 in 20 times is 0.2864: 37,540 bytes.
  assert positions.packed_size(52_429, 2**20) < 1.1 * 37_540


@pytest.mark.parametrize('chosen', [[0, 0], [2, 1], [-1, 2], [1, 5]])
def test_refuses_what_does_not_ascend_within_the_tensor(chosen):
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'positions must ascend within \[0, 5\)'):
    positions.pack(tf.constant(chosen), 5)


def test_refuses_another_number_of_positions():
  with pytest.raises(tf.errors.InvalidArgumentError, match='not 3 positions'):
    positions.unpack(positions.pack(tf.constant([1, 2]), 4), 4, 3)


def test_nothing_holds_no_positions():
  for size in (4, 2000):
    assert len(positions.unpack(tf.zeros([0], tf.uint8), size, 3)) == 0


def test_graph_does_not_know_how_many_there_are():
  # Else it would take the size of an empty payload for that of a full one.
  for size in (20, 2000):
    unpack = tf.function(lambda packed, size=size: positions.unpack(packed, size, 10), autograph=False)
    traced = unpack.get_concrete_function(tf.TensorSpec([None], tf.uint8))
    assert traced.output_shapes.as_list() == [None]
