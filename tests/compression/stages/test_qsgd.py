"""QSGD: bytes by hand, bias, the error bound of the paper and the hard values."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import qsgd

_SHARED = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, stage, seed=1):
  codec = codec_lib.Codec([stage])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


def _draws(x, stage, count=300):
  """Decodes `x` as `count` clients send it."""
  codec = codec_lib.Codec([stage])
  spec = tf.TensorSpec(x.shape)
  draw = tf.function(lambda seed: codec.decode(codec.encode(x, seed, _SHARED), spec, _SHARED), autograph=False)
  return np.stack([draw(_seed(number)) for number in range(count)]).astype(np.float64)


def test_bytes_typed_by_hand():
  # Norm sqrt(4 * 4) = 4; steps 2 * (+-2) / 4 = +-1 leave nothing to chance; plus 2: levels 3 1 3 3 of 5.
  # 3 a byte: 3 + 1 * 5 + 3 * 25 = 83; then 3.
  decoded, payload = _round_trip([2, -2, 2, 2], qsgd.Qsgd(2))
  np.testing.assert_array_equal(payload.values, [83, 3])
  np.testing.assert_array_equal(payload.side[0][0], [4.0])
  np.testing.assert_array_equal(decoded, [2, -2, 2, 2])


@pytest.mark.parametrize(
  ('num_steps', 'expected'),
  [
    (1, 204),  # 3 levels, 5 values a byte: 1000 / 5, and 4 bytes of norm.
    (2, 338),  # 5 levels, 3 a byte: 334 + 4.
    (3, 379),  # 7 levels, 3 bits: 1000 * 3 / 8 + 4.
    (7, 504),  # 15 levels, 2 a byte.
    (127, 1004),  # 255 levels, 1 a byte.
    (128, 1129),  # 257 levels, 9 bits: 1000 low bytes, 1000 / 8 for the rest, + 4.
    (32767, 2004),  # 65535 levels, 16 bits.
  ],
)
def test_bytes(num_steps, expected):
  _, payload = _round_trip(np.linspace(-1, 1, 1000), qsgd.Qsgd(num_steps))
  assert int(codec_lib.num_bytes(payload)) == expected


@pytest.mark.parametrize('num_steps', [1, 100, 32767])
def test_is_unbiased_and_keeps_the_bound_of_the_paper(num_steps):
  x = np.random.default_rng(0).normal(size=50).astype(np.float32)
  norm = np.linalg.norm(x.astype(np.float64))
  draws = _draws(x, qsgd.Qsgd(num_steps))
  # One draw of the 300 more, for values so close to a level that no other was drawn.
  standard_error = draws.std(axis=0, ddof=1) / np.sqrt(300) + norm / num_steps / 300
  assert np.all(np.abs(draws.mean(axis=0) - x) <= 5 * standard_error)
  bound = min(50 / num_steps**2, np.sqrt(50) / num_steps) * norm**2
  assert np.mean(np.sum((draws - x) ** 2, axis=1)) < 1.05 * bound + 1e-9


@pytest.mark.parametrize('scale', [1e-30, 1.0, 1e30, 3e37])
def test_error_is_below_one_step_at_every_scale(scale):
  x = (scale * np.random.default_rng(0).normal(size=20)).astype(np.float32)
  norm = np.linalg.norm(x.astype(np.float64))
  decoded, payload = _round_trip(x, qsgd.Qsgd(100))
  np.testing.assert_allclose(payload.side[0][0], [norm], rtol=1e-6)
  assert np.abs(decoded.astype(np.float64) - x).max() < 1.001 * norm / 100


def test_a_norm_beyond_the_largest_float_saturates():
  _, payload = _round_trip([3e38] * 4, qsgd.Qsgd(7))
  np.testing.assert_array_equal(payload.side[0][0], [np.finfo(np.float32).max])


@pytest.mark.parametrize('num_steps', [1, 7, 32767])
def test_one_value_is_exact(num_steps):
  np.testing.assert_array_equal(_round_trip([0.0, -0.3, 0.0], qsgd.Qsgd(num_steps))[0], np.float32([0, -0.3, 0]))


@pytest.mark.parametrize('num_steps', [0, 32768, 2.5, True, '8'])
def test_refuses(num_steps):
  with pytest.raises(ValueError, match='num_steps must be a whole number from 1 to 32,767'):
    qsgd.Qsgd(num_steps)
