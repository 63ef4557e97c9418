"""One bit per value: bytes by hand and a NumPy oracle at every scale."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import sign

_SHARED = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, stage, seed=1):
  codec = codec_lib.Codec([stage])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


def test_bytes_typed_by_hand():
  # Bits 1 0 1 1 0 1 1 0, lowest first: 1 + 4 + 8 + 32 + 64 = 109; then 0. Scale: (1+2+3+0+4+5+6+7+8) / 9 = 4.
  decoded, payload = _round_trip([1, -2, 3, 0, -4, 5, 6, -7, -8], sign.Sign())
  np.testing.assert_array_equal(payload.values, [109, 0])
  np.testing.assert_allclose(payload.side[0][0], [4.0], rtol=1e-6)
  np.testing.assert_allclose(decoded, [4, -4, 4, 4, -4, 4, 4, -4, -4], rtol=1e-6)


@pytest.mark.parametrize('scale', [1e-30, 1.0, 1e37])
def test_equals_numpy_at_every_scale(scale):
  x = (scale * np.random.default_rng(0).normal(size=5000)).astype(np.float32)
  expected = np.where(x >= 0, 1, -1) * np.abs(x.astype(np.float64)).mean()
  np.testing.assert_allclose(_round_trip(x, sign.Sign())[0], expected, rtol=1e-5)
