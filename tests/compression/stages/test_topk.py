"""Top-k: values, positions and bytes by hand, against plain NumPy, in a chain, and the hard values."""

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as hypothesis_numpy
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import topk
from compression.stages import uniform

_SEED = tf.constant([1, 2], tf.int64)


def _round_trip(x, fraction, *more):
  codec = codec_lib.Codec([topk.Topk(fraction), *more])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _SEED, _SEED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SEED).numpy(), payload


def test_by_hand():
  decoded, payload = _round_trip([[1.0, -5.0], [3.0, 0.0]], 0.5)
  np.testing.assert_array_equal(decoded, [[0.0, -5.0], [3.0, 0.0]])
  np.testing.assert_array_equal(payload.values, [-5.0, 3.0])
  np.testing.assert_array_equal(payload.side[0][0], [6])  # Bits 1 and 2 of four: 2 + 4.


@pytest.mark.parametrize(
  ('size', 'fraction', 'expected'),
  [
    (1000, 0.01, 52),  # 10 values: 40; 8 low bits of 10 positions: 10; 10 + 990 / 256 = 13 bits: 2.
    (100_000, 0.001, 550),  # 100 values: 400; 9 low bits: 100 and 13; 100 + 99,900 / 512 = 295 bits: 37.
    (1000, 1.0, 4125),  # 4000 and a bitmap of 1000 bits.
    (1, 0.01, 5),  # One value and one position, a byte.
    (20, 0.01, 6),  # At least one value; 2 low bits, a byte; 1 + 19 / 4 = 5 bits: one more.
    (0, 0.5, 0),
  ],
)
def test_bytes(size, fraction, expected):
  _, payload = _round_trip(np.linspace(-1, 1, size), fraction)
  assert int(codec_lib.num_bytes(payload)) == expected


@hypothesis.given(
  strategies.floats(0.01, 1.0),
  hypothesis_numpy.arrays(
    np.float32,
    hypothesis_numpy.array_shapes(max_dims=3, min_side=0, max_side=9),
    elements=strategies.one_of(
      strategies.integers(-3, 3),
      strategies.floats(width=32, allow_nan=False, allow_subnormal=False, allow_infinity=False),
    ),
  ),
)
def test_keeps_what_a_stable_sort_of_numpy_keeps(fraction, x):
  decoded, _ = _round_trip(x, fraction)
  count = min(x.size, max(1, round(fraction * x.size)))
  expected = np.zeros(x.size, np.float32)
  kept = np.argsort(-np.abs(x.reshape(-1)), kind='stable')[:count]
  expected[kept] = x.reshape(-1)[kept]
  np.testing.assert_array_equal(decoded, expected.reshape(x.shape))


def test_of_equal_values_the_first_stay():
  np.testing.assert_array_equal(_round_trip([2.0, -2.0, 2.0, -2.0, 2.0], 0.4)[0], [2.0, -2.0, 0.0, 0.0, 0.0])


def test_far_positions_come_back():
  x = np.zeros(200_000, np.float32)
  x[[0, 65_535, 65_536, 199_999]] = [1.0, 2.0, 3.0, 4.0]
  np.testing.assert_array_equal(_round_trip(x, 4 / 200_000)[0], x)


def test_before_uniform():
  x = np.random.default_rng(0).normal(size=[30, 100]).astype(np.float32)
  decoded, payload = _round_trip(x, 0.01, uniform.Uniform(8))
  # 30 values of a byte; min and max; 6 low bits of 30 positions: 8 groups of 3; 30 + 2970 / 64 = 76 bits: 10.
  assert int(codec_lib.num_bytes(payload)) == 72
  exact, _ = _round_trip(x, 0.01)
  np.testing.assert_allclose(decoded, exact, atol=(x.max() - x.min()) / 255)


@pytest.mark.parametrize('fraction', [0, 1.5, -0.1, float('nan'), True, '0.1'])
def test_refuses(fraction):
  with pytest.raises(ValueError, match=r'fraction must lie in \(0, 1\]'):
    topk.Topk(fraction)
