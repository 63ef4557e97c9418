"""Clipping by the standard deviation: exact limits, an oracle at every scale and equal values."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import clip

_SHARED = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, stage, seed=1):
  codec = codec_lib.Codec([stage])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


@pytest.mark.parametrize(
  ('stddevs', 'x', 'expected'),
  [
    # mean 0, mean of squares 18 / 8 = 2.25, std 1.5.
    (1, [3, -3, 0, 0, 0, 0, 0, 0], [1.5, -1.5, 0, 0, 0, 0, 0, 0]),
    # mean 2, mean of squares 8, std sqrt(8 - 4) = 2: not sqrt(8), and the limits do not move by the mean.
    (1, [4, 4, 0, 0], [2, 2, 0, 0]),
    (1.5, [4, 4, 0, 0], [3, 3, 0, 0]),
    (2.5, [4, 4, 0, 0], [4, 4, 0, 0]),
  ],
)
def test_clips_to_standard_deviations(stddevs, x, expected):
  np.testing.assert_array_equal(_round_trip(x, clip.Clip(stddevs))[0], expected)


@pytest.mark.parametrize('scale', [1.0, 1e-30, 1e30, 3e36])
def test_equals_numpy_at_every_scale(scale):
  x = (scale * (np.random.default_rng(0).standard_t(4, size=5000) + 0.3)).astype(np.float32)
  limit = 2.5 * x.astype(np.float64).std()
  assert limit < np.abs(x).max()
  np.testing.assert_allclose(_round_trip(x, clip.Clip(2.5))[0], np.clip(x, -limit, limit), rtol=1e-5)


@pytest.mark.parametrize('x', [[-2.5] * 4, [7.0], [0.1] * 1000, [3e38] * 3])
def test_equal_values_stay(x):
  np.testing.assert_array_equal(_round_trip(x, clip.Clip(0.5))[0], np.float32(x))


@pytest.mark.parametrize('stddevs', [0, -1, 1001, float('nan'), float('inf'), True, '2'])
def test_refuses(stddevs):
  with pytest.raises(ValueError, match='stddevs must lie in'):
    clip.Clip(stddevs)
