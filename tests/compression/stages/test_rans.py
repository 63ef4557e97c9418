"""rANS: an oracle decodes it, its size is near the entropy, round trips and bad payloads."""

import math

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import stage as stage_lib
from compression.stages import rans

_SEED = tf.constant([1, 2], tf.int64)
_STAGE = rans.Rans()
# 32 of level 0, then 32 of level 15: see test_golden.
_GOLDEN = [2, 1, 128, 255, 255, 223, 7, 0, 0, 0, 0, 1, 0, 0x00, 0x10, 0xFF, 0x1F, 0xFF, 0xEF, 0x00, 0xE0]


def _form(size, num_levels):
  return stage_lib.Form(stage_lib.Kind.LEVELS, size, num_levels)


def _encode(levels, num_levels):
  form = _form(len(levels), num_levels)
  payload, side = _mode(len(levels))(lambda x: _STAGE.encode(x, form, _SEED, _SEED))(tf.constant(levels, tf.int32))
  assert side == ()
  return payload


def _decode(payload, size, num_levels):
  form = _form(size, num_levels)
  return _mode(size)(lambda x: _STAGE.decode(x, (), form, _SEED))(tf.constant(payload, tf.uint8)).numpy()


def _mode(size):
  """Returns what makes a function quick for `size` values: the steps of a graph are, but not its tracing."""
  return (lambda function: tf.function(function, autograph=False)) if size > 1000 else lambda function: function


def _entropy_bytes(levels):
  fractions = np.unique(levels, return_counts=True)[1] / len(levels)
  return len(levels) * -np.sum(fractions * np.log2(fractions)) / 8


def _oracle(payload, size, num_levels):
  """Decodes a payload of mode 2 by the documentation of the format alone, one value at a time."""
  stream = iter(int(octet) for octet in payload)

  def number(num_bytes):
    return sum(next(stream) << 8 * index for index in range(num_bytes))

  assert number(1) == 2
  bitmap = number(-(-num_levels // 8))
  present = [level for level in range(num_levels) if bitmap >> level & 1]
  low_bytes = [number(1) for _ in present]
  high_bits = number(-(-len(present) // 4) * 3)  # Four times 6 bits in 3 bytes.
  slots = []
  for index, level in enumerate(present):
    slots += [level] * (low_bytes[index] + 256 * (high_bits >> 6 * index & 63) + 1)
  assert len(slots) == 2**14
  num_lanes = 2 ** number(1)
  states = [number(4) for _ in range(num_lanes)]
  levels = []
  for index in range(size):
    state = states[index % num_lanes]
    slot = state % 2**14
    levels.append(slots[slot])
    state = slots.count(slots[slot]) * (state // 2**14) + slot - slots.index(slots[slot])
    if state < 2**16:
      state = 2**16 * state + number(2)
    states[index % num_lanes] = state
  assert states == [2**16] * num_lanes
  assert next(stream, None) is None
  return levels


@strategies.composite
def _levels(draw, max_size):
  num_levels = draw(strategies.sampled_from([1, 2, 3, 16, 255, 4096]))
  rng = np.random.default_rng(draw(strategies.integers(0, 2**32)))
  size = draw(strategies.integers(1, max_size))
  spread = draw(strategies.sampled_from([0.0, 0.2, 2.0, 1e4]))
  centre = draw(strategies.integers(0, num_levels - 1))
  levels = np.clip(np.round(centre + spread * rng.standard_normal(size)), 0, num_levels - 1)
  return levels.astype(int).tolist(), num_levels


def test_golden():
  # Levels 0 and 15 have 8192 = 2**13 slots each, so coding one inserts a bit of 0 or 1 above the low 13 bits of the
  # state. From x = 2**16, level 15 first; a word leaves before the 16th, 32nd, 48th and 64th value:
  #   15 ones: x = (2**18 + 2**15 - 1) 2**13: word 0xE000, x = 2**15 + 4095; a one: 4 x 2**14 + 4095 + 2**13 = 77823
  #   15 ones: x = (10 x 2**15 - 1) 2**13 + 4095: word 0xEFFF, x = 40959; a one: 4 x 2**14 + 8191 + 2**13 = 81919
  #   15 zeros: x = 9 x 2**28 + 8191: word 0x1FFF, x = 36864; a zero: 4 x 2**14 + 4096 = 69632
  #   15 zeros: x = 8 x 2**28 + 4096: word 0x1000, x = 32768; a zero: 4 x 2**14 = 65536, the final state.
  # Table: bits 0 and 15 = 1, 128; twice f - 1 = 8191: low bytes 255, 255; 31 + 31 x 64 = 2015 = 223 + 7 x 256 + 0.
  # One lane: 2**0. 1 + 2 + 5 + 1 + 4 + 4 x 2 = 21 bytes, where bitpack takes 32.
  np.testing.assert_array_equal(_encode([0] * 32 + [15] * 32, 16), _GOLDEN)


@pytest.mark.parametrize(
  ('levels', 'num_levels', 'expected'),
  [
    pytest.param([], 4, [], id='empty'),
    pytest.param([3], 4, [1, 3, 0], id='one'),
    pytest.param([1, 2, 3], 4, [0, 57], id='few'),  # 1 + 2 x 4 + 3 x 16.
    pytest.param([300] * 10_000, 4096, [1, 44, 1], id='equal'),  # 300 = 44 + 256.
  ],
)
def test_golden_of_small_payloads(levels, num_levels, expected):
  np.testing.assert_array_equal(_encode(levels, num_levels), expected)
  np.testing.assert_array_equal(_decode(expected, len(levels), num_levels), levels)


@pytest.mark.parametrize(
  ('counts', 'expected'),
  [
    pytest.param([1, 0], 0, id='one_value'),
    pytest.param([1599, 1599], 0, id='just_one_lane'),  # 3,198 bits of entropy; two lanes need 2 x 1,600.
    pytest.param([1600, 1600], 1, id='two_lanes'),
    pytest.param([250_000] * 4, 10, id='a_million_values_of_two_bits'),  # 2,000,000 / 1,600 = 1,250: 2**10.
    pytest.param([10**8] * 16, 12, id='at_most_4096'),
  ],
)
def test_lanes(counts, expected):
  assert rans.log2_lanes(tf.constant(counts)) == expected


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(_levels(max_size=300))
def test_comes_back_in_at_most_one_byte_more_than_packed(drawn):
  levels, num_levels = drawn
  payload = _encode(levels, num_levels)
  np.testing.assert_array_equal(_decode(payload, len(levels), num_levels), levels)
  packed = codec_lib.bitpack.pack_levels(tf.constant(levels), num_levels)
  assert len(payload) <= max(len(packed), 2) + 1


@pytest.mark.parametrize(
  ('size', 'num_levels', 'spread'), [(200, 16, 0.7), (700, 2, 0.3), (2100, 16, 1.5), (4097, 16, 0.2), (3001, 200, 3.0)]
)
def test_oracle_decodes_it(size, num_levels, spread):
  rng = np.random.default_rng(size)
  levels = np.clip(np.round(num_levels // 2 + spread * rng.standard_normal(size)), 0, num_levels - 1).astype(int)
  payload = _encode(levels, num_levels).numpy()
  assert _oracle(payload, size, num_levels) == levels.tolist()
  np.testing.assert_array_equal(_decode(payload, size, num_levels), levels)


@pytest.mark.parametrize(
  'draw',
  [
    pytest.param(lambda rng: np.round(8 + 2 * rng.standard_normal(10**6)), id='normal'),
    pytest.param(lambda rng: rng.geometric(0.6, 10**6) - 1, id='geometric'),
    pytest.param(lambda rng: np.where(rng.random(10**6) < 0.1, rng.integers(0, 16, 10**6), 3), id='skewed'),
    pytest.param(lambda rng: rng.integers(0, 15, 10**6), id='flat'),
  ],
)
def test_a_million_levels_take_their_entropy_and_table_and_two_percent(draw):
  levels = np.clip(draw(np.random.default_rng(0)), 0, 15).astype(np.int32)
  payload = _encode(levels, 16)
  table_bytes = 2 + math.ceil(len(np.unique(levels)) / 4) * 7  # A bit per level; four times 14 bits in 7 bytes.
  assert len(payload) < 1.02 * _entropy_bytes(levels) + table_bytes
  # No code with a fixed table is shorter.
  assert len(payload) > _entropy_bytes(levels)
  np.testing.assert_array_equal(_decode(payload, levels.size, 16), levels)


def test_a_rare_level_costs_little():
  levels = np.zeros(50_000, np.int32)
  levels[[7, 49_999]] = 4095, 17
  payload = _encode(levels, 4096)
  # 512 + 7 bytes of table; a byte and one lane of 4; f = 16382 of 16384 for 50,000 values: 8.8 bits; twice 14 bits.
  assert len(payload) < 1 + 519 + 5 + 20
  np.testing.assert_array_equal(_decode(payload, levels.size, 4096), levels)


def test_every_one_of_4096_levels():
  levels = np.concatenate([np.arange(4096), np.full(20_000, 9)])
  payload = _encode(levels, 4096)
  assert payload[0] == 2
  np.testing.assert_array_equal(_decode(payload, levels.size, 4096), levels)


@pytest.mark.parametrize('levels', [[0] * 32 + [15] * 32, [3, 4, 5], [3] * 9])
def test_any_shorter_or_longer_payload_is_refused(levels):
  payload = _encode(levels, 16)
  for wrong in [*(payload[:size] for size in range(len(payload))), tf.concat([payload, [0, 0]], axis=0)]:
    with pytest.raises(tf.errors.InvalidArgumentError, match='rans: '):
      _decode(wrong, len(levels), 16)


@pytest.mark.parametrize(
  ('index', 'octet', 'reason'),
  [
    pytest.param(0, 3, 'unknown mode', id='mode'),
    pytest.param(1, 3, 'not a table of frequencies', id='bitmap'),
    pytest.param(3, 254, 'not a table of frequencies', id='frequency'),
    pytest.param(8, 13, 'too many lanes', id='lanes'),
    pytest.param(12, 1, 'truncated, or not of this codec', id='state'),
    pytest.param(19, 1, 'truncated, or not of this codec', id='last_word'),  # Leaves a state of 2**16 + 1.
  ],
)
def test_foreign_payload_is_refused(index, octet, reason):
  payload = [*_GOLDEN[:index], octet, *_GOLDEN[index + 1 :]]
  with pytest.raises(tf.errors.InvalidArgumentError, match=f'rans: {reason}'):
    _decode(payload, 64, 16)


@pytest.mark.parametrize(
  ('payload', 'size', 'num_levels'), [([0, 255, 255, 255], 2, 7), ([1, 10, 0], 9, 10), ([1, 0, 255], 9, 10)]
)
def test_levels_out_of_range_are_refused(payload, size, num_levels):
  with pytest.raises(tf.errors.InvalidArgumentError, match='rans: no such level'):
    _decode(payload, size, num_levels)


def test_bytes_for_no_values_are_refused():
  with pytest.raises(tf.errors.InvalidArgumentError, match='rans: bytes for no values'):
    _decode([1], 0, 4)


def test_too_many_levels_are_refused():
  with pytest.raises(ValueError, match='rans takes at most 4096 levels, not 65536: quantize to 12 bits or fewer'):
    _STAGE.form(_form(3, 65536))


def test_floats_are_refused():
  with pytest.raises(ValueError, match='rans encodes levels'):
    codec_lib.Codec([_STAGE])
