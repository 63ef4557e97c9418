"""Elias gamma: bit-exact to a plain reference, round trips, sizes and bad payloads."""

import collections

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import stage as stage_lib
from compression.stages import elias_gamma

_SEED = tf.constant([1, 2], tf.int64)
_STAGE = elias_gamma.EliasGamma()


def _form(size, num_levels):
  return stage_lib.Form(stage_lib.Kind.LEVELS, size, num_levels)


def _encode(levels, num_levels):
  payload, side = _STAGE.encode(tf.constant(levels, tf.int32), _form(len(levels), num_levels), _SEED, _SEED)
  return payload, side[0]


def _decode(payload, side, size, num_levels):
  payload, side = tf.constant(payload, tf.uint8), tf.constant(side, tf.uint16)
  return _STAGE.decode(payload, (side,), _form(size, num_levels), _SEED).numpy()


def _gamma(number):
  binary = bin(number)[2:]
  return '0' * (len(binary) - 1) + binary


def _reference(levels):
  """Returns payload and side information by the documentation of the format alone."""
  occurrences = collections.Counter(levels)
  centre = min(occurrences, key=lambda level: (-occurrences[level], level))
  bits, side = '', [centre]
  for start in range(0, len(levels), 65_000):
    plain, runs, run = [], [], 0
    for level in levels[start : start + 65_000]:
      distance = level - centre
      zigzag = 2 * distance if distance > 0 else 1 - 2 * distance
      plain.append(zigzag)
      if distance:
        runs += [run + 1, zigzag - 1]
        run = 0
      else:
        run += 1
    is_plain = sum(len(_gamma(v)) for v in plain) <= sum(len(_gamma(v)) for v in runs)
    side.append(65_535 if is_plain else len(runs) // 2)
    codes = [_gamma(v) for v in (plain if is_plain else runs)]
    codes = [(code[: len(code) // 2 + 1], code[len(code) // 2 + 1 :]) for code in codes]
    for index in range(18):
      bits += ''.join(unary[index] for unary, _ in codes if len(unary) > index)
      bits += ''.join(binary[index] for _, binary in codes if len(binary) > index)
  octets = [int(bits[start : start + 8][::-1], 2) for start in range(0, len(bits), 8)]
  return octets, side


@strategies.composite
def _levels(draw, max_size):
  num_levels = draw(strategies.sampled_from([1, 2, 3, 16, 255, 4096, 65536]))
  rng = np.random.default_rng(draw(strategies.integers(0, 2**32)))
  size = draw(strategies.integers(1, max_size))
  spread = draw(strategies.sampled_from([0.0, 0.2, 2.0, 1e5]))
  centre = draw(strategies.integers(0, num_levels - 1))
  levels = np.clip(np.round(centre + spread * rng.standard_normal(size)), 0, num_levels - 1)
  return levels.astype(int).tolist(), num_levels


def test_golden_of_a_plain_block():
  # Centre 2. Plain 1, 1, 2, 1, 3: 1 + 1 + 3 + 1 + 3 = 9 bits. Runs (3, 1), (2, 2): 3 + 1 + 3 + 3 = 10 bits.
  # Unary 1: 1 1 0 1 0; binary 1, of 2 and 3: 0 1; unary 2: 1 1. As bytes 11010011 1 = 1 + 2 + 8 + 64 + 128, 1.
  payload, side = _encode([2, 2, 3, 2, 1], 4)
  np.testing.assert_array_equal(payload, [203, 1])
  np.testing.assert_array_equal(side, [2, 65535])


def test_golden_of_a_block_with_runs():
  # Plain: 7 x 1 + 3 = 10 bits. Runs: (8, 1): 7 + 1 = 8 bits.
  # Unary 1: 0 1; then of 8, binary and unary in turn: 0, 0, 0, 0, 0, 1. As a byte 01000001 = 2 + 128.
  payload, side = _encode([0] * 7 + [1], 2)
  np.testing.assert_array_equal(payload, [130])
  np.testing.assert_array_equal(side, [0, 1])


@pytest.mark.parametrize(
  ('size', 'payload_bytes', 'side_bytes'),
  [
    (0, 0, 0),
    (1, 0, 4),  # uint16 each of the centre and one count.
    (65_000, 0, 4),
    (65_001, 0, 6),
  ],
)
def test_bytes_of_equal_levels(size, payload_bytes, side_bytes):
  payload, side = _encode([3] * size, 16)
  assert (len(payload), 2 * len(side)) == (payload_bytes, side_bytes)
  np.testing.assert_array_equal(_decode(payload, side, size, 16), [3] * size)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(_levels(max_size=300))
def test_equals_the_reference_and_comes_back(drawn):
  levels, num_levels = drawn
  payload, side = _encode(levels, num_levels)
  expected_payload, expected_side = _reference(levels)
  np.testing.assert_array_equal(payload, expected_payload)
  np.testing.assert_array_equal(side, expected_side)
  np.testing.assert_array_equal(_decode(payload, side, len(levels), num_levels), levels)


@pytest.mark.parametrize('spread', [1.5, 0.1])
def test_many_blocks_equal_the_reference(spread):
  levels = np.clip(np.round(8 + spread * np.random.default_rng(0).standard_normal(130_003)), 0, 15).astype(int)
  levels[70_000:] = np.random.default_rng(1).integers(0, 16, 60_003)
  payload, side = _encode(levels.tolist(), 16)
  expected_payload, expected_side = _reference(levels.tolist())
  np.testing.assert_array_equal(payload, expected_payload)
  np.testing.assert_array_equal(side, expected_side)
  np.testing.assert_array_equal(_decode(payload, side, len(levels), 16), levels)


def test_extreme_levels_of_sixteen_bits():
  for levels in ([0, 0, 65535], [65535, 65535, 0]):
    np.testing.assert_array_equal(_decode(*_encode(levels, 65536), 3, 65536), levels)


def test_any_shorter_or_longer_payload_is_refused():
  for levels in ([2, 2, 3, 2, 1] * 4, [0] * 30 + [1] + [0] * 9 + [3, 2]):
    payload, side = _encode(levels, 4)
    for wrong in [*(payload[:size] for size in range(len(payload))), tf.concat([payload, [0]], axis=0)]:
      with pytest.raises(tf.errors.InvalidArgumentError, match='elias_gamma: '):
        _decode(wrong, side, len(levels), 4)


@pytest.mark.parametrize(
  ('payload', 'side', 'reason'),
  [
    pytest.param([203, 1], [], 'wrong side information', id='no_side'),
    pytest.param([203, 1], [2, 65535, 0], 'wrong side information', id='more_side'),
    pytest.param([203, 1], [2, 6], 'wrong side information', id='count_too_large'),
    pytest.param([203, 129], [2, 65535], 'bytes left over', id='too_few_zeros_to_fill_a_byte'),
    pytest.param([203, 1], [0, 65535], 'no such level', id='level_too_low'),
    pytest.param([203, 1], [3, 65535], 'no such level', id='level_too_high'),
    pytest.param([130], [0, 1], 'a run is too long', id='run_too_long'),
    pytest.param([0] * 99, [2, 65535], 'a number is too long', id='number_too_long'),
  ],
)
def test_foreign_payload_is_refused(payload, side, reason):
  with pytest.raises(tf.errors.InvalidArgumentError, match=f'elias_gamma: {reason}'):
    _decode(payload, side, 5, 4)


def test_bytes_for_no_values_are_refused():
  with pytest.raises(tf.errors.InvalidArgumentError, match='elias_gamma: bytes for no values'):
    _decode([1], [], 0, 4)


def test_random_bytes_give_levels_or_are_refused():
  rng = np.random.default_rng(0)
  for _ in range(100):
    payload, side = rng.integers(0, 256, 6), [rng.integers(0, 4), rng.choice([65535, 5, 8])]
    try:
      decoded = _decode(payload, side, 12, 4)
    except tf.errors.InvalidArgumentError as error:
      assert 'elias_gamma: ' in str(error)
    else:
      assert np.all((decoded >= 0) & (decoded < 4))


def test_too_many_levels_are_refused():
  with pytest.raises(ValueError, match='elias_gamma takes at most 65536 levels, not 65537'):
    _STAGE.form(_form(3, 65537))


def test_floats_are_refused():
  with pytest.raises(ValueError, match='eliasgamma encodes levels'):
    codec_lib.Codec([_STAGE])
