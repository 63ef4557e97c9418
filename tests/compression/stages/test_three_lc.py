"""3LC: bytes by hand, plain references of every step, runs of every length and the hard values."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import three_lc

_SHARED = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, stage, seed=1):
  codec = codec_lib.Codec([stage])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


def _coded_runs(packed):
  """The zero-run code, byte by byte."""
  coded, run = [], 0
  for byte in [*packed, None]:
    if run and (byte != 121 or run == 14):
      coded.append(241 + run if run > 1 else 121)
      run = 0
    if byte == 121:
      run += 1
    elif byte is not None:
      coded.append(byte)
  return coded


def test_bytes_typed_by_hand():
  # Scale 2; beyond +-1 rounds to +-2. Digits 2 0 1 1 2: 2 + 0 * 3 + 1 * 9 + 1 * 27 + 2 * 81 = 200.
  # 80 zeros are 16 bytes 121: a run of 14 (241 + 14 = 255) and one of 2 (243). Five -2 are 0; five zeros by themselves
  # 121. Two times 2 and three zeros of padding: 2 + 2 * 3 + 1 * 9 + 1 * 27 + 1 * 81 = 125.
  x = [2, -2, 0.5, -1, 1.5] + [0] * 80 + [-2] * 5 + [0] * 5 + [2, 2]
  decoded, payload = _round_trip(x, three_lc.ThreeLc())
  np.testing.assert_array_equal(payload.values, [200, 255, 243, 0, 121, 125])
  np.testing.assert_array_equal(payload.side[0][0], [2.0])
  np.testing.assert_array_equal(decoded, [2, -2, 0, 0, 2, *x[5:]])


@pytest.mark.parametrize(
  ('num_values', 'expected'),
  [
    (1, 5),  # One byte 121, and 4 bytes of scale.
    (6, 5),  # Two bytes: a run.
    (70, 5),  # 14 bytes: the longest run.
    (71, 6),  # 15: a run and a byte by itself.
    (1000, 19),  # 200 bytes: 14 runs of 14 and one of 4.
  ],
)
def test_bytes_of_zeros(num_values, expected):
  _, payload = _round_trip(np.zeros(num_values), three_lc.ThreeLc())
  assert int(codec_lib.num_bytes(payload)) == expected


@pytest.mark.parametrize('sparsity', [1, 1.0, 1.5, 1.99])
def test_equals_numpy(sparsity):
  x = np.random.default_rng(0).normal(size=5003).astype(np.float32)
  scale = np.float32(sparsity) * np.abs(x).max()
  decoded, _ = _round_trip(x, three_lc.ThreeLc(sparsity))
  np.testing.assert_allclose(decoded, np.round(x / scale) * scale, rtol=1e-6)


def test_more_sparsity_sends_fewer_bytes():
  x = np.random.default_rng(0).uniform(-1, 1, 5000)
  sizes = [_round_trip(x, three_lc.ThreeLc(sparsity))[1].values.shape[0] for sparsity in (1.0, 1.5, 1.9)]
  assert sizes == sorted(sizes, reverse=True)
  assert sizes[-1] < sizes[0] / 2


@hypothesis.given(
  strategies.lists(
    strategies.tuples(strategies.sampled_from([121, 121, 0, 120, 122, 242]), strategies.integers(1, 45)),
    min_size=1,
    max_size=8,
  )
)
def test_run_code_equals_the_plain_one_and_comes_back(runs):
  packed = np.concatenate([np.full(count, byte, np.uint8) for byte, count in runs])
  coded = three_lc.encode_runs(tf.constant(packed))
  np.testing.assert_array_equal(coded, _coded_runs(packed.tolist()))
  np.testing.assert_array_equal(three_lc.decode_runs(coded, len(packed)), packed)


@hypothesis.given(
  strategies.lists(strategies.tuples(strategies.sampled_from([0, 0, 1, -1]), strategies.integers(1, 99)), max_size=9)
)
def test_ternary_values_come_back(runs):
  x = [value for value, count in runs for _ in range(count)]
  np.testing.assert_array_equal(_round_trip(x, three_lc.ThreeLc())[0], x)


@pytest.mark.parametrize('x', [[-2.5] * 4, [7.0]])
def test_equal_values_are_exact(x):
  np.testing.assert_array_equal(_round_trip(x, three_lc.ThreeLc())[0], x)


@pytest.mark.parametrize('sparsity', [0.99, 2, -1, float('nan'), True, '1'])
def test_refuses(sparsity):
  with pytest.raises(ValueError, match=r'sparsity must lie in \[1, 2\)'):
    three_lc.ThreeLc(sparsity)
