"""TernGrad: bytes by hand, bias with clipping, and equal values."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import terngrad

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
  # Values of 0 and +-max leave nothing to chance. Levels 2 0 1 1 2: 2 + 0 * 3 + 1 * 9 + 1 * 27 + 2 * 81 = 200; then 0.
  decoded, payload = _round_trip([2, -2, 0, 0, 2, -2], terngrad.Terngrad(None))
  np.testing.assert_array_equal(payload.values, [200, 0])
  np.testing.assert_array_equal(payload.side[0][0], [2.0])
  np.testing.assert_array_equal(decoded, [2, -2, 0, 0, 2, -2])


def test_clips_the_scale():
  # mean 0, mean of squares 32 / 8 = 4, std 2: the scale is 2 and both +-4 are surely +-2.
  decoded, _ = _round_trip([4, -4, 0, 0, 0, 0, 0, 0], terngrad.Terngrad(1))
  np.testing.assert_array_equal(decoded, [2, -2, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize('clip_stddevs', [0.5, 2.5])
def test_mean_is_x_clipped(clip_stddevs):
  x = np.random.default_rng(0).standard_t(4, size=50).astype(np.float32)
  limit = clip_stddevs * x.std()
  draws = _draws(x, terngrad.Terngrad(clip_stddevs))
  # One draw of the 300 more, for values so small that none was drawn.
  standard_error = draws.std(axis=0, ddof=1) / np.sqrt(300) + np.abs(draws).max() / 300
  bias = np.abs(draws.mean(axis=0) - np.clip(x, -limit, limit))
  assert np.all(bias <= 5 * standard_error)


@pytest.mark.parametrize('x', [[-2.5] * 4, [7.0]])
def test_equal_values_are_exact(x):
  np.testing.assert_array_equal(_round_trip(x, terngrad.Terngrad())[0], x)


@pytest.mark.parametrize('clip_stddevs', [0, -1, 1001, float('nan'), True, '2'])
def test_refuses(clip_stddevs):
  with pytest.raises(ValueError, match='clip_stddevs must lie in'):
    terngrad.Terngrad(clip_stddevs)
