"""Float16 and bfloat16: bytes typed by hand, NumPy oracles and saturation."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import casts

_SHARED = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, stage, seed=1):
  codec = codec_lib.Codec([stage])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


def _bfloat16(x):
  """Rounds to the nearest bfloat16, ties to even, by the bits of float32."""
  bits = x.view(np.uint32).astype(np.uint64)
  return ((bits + 0x7FFF + (bits >> 16 & 1) >> 16 << 16) & 0xFFFFFFFF).astype(np.uint32).view(np.float32)


@pytest.mark.parametrize(
  ('build', 'x', 'expected'),
  [
    (casts.Float16, 1.0, [0x00, 0x3C]),  # Sign 0, exponent 15, no mantissa: 15 * 2^10 = 0x3C00, low byte first.
    (casts.Float16, -2.0, [0x00, 0xC0]),  # 2^15 + 16 * 2^10 = 0xC000.
    (casts.Float16, 65504.0, [0xFF, 0x7B]),  # Exponent 30, all mantissa bits: 0x7BFF.
    (casts.Float16, 1e30, [0xFF, 0x7B]),
    (casts.Float16, -65520.0, [0xFF, 0xFB]),  # The first that would round to minus infinity.
    (casts.Bfloat16, 1.0, [0x80, 0x3F]),  # Exponent 127 * 2^7 = 0x3F80.
    (casts.Bfloat16, -2.0, [0x00, 0xC0]),  # 2^15 + 128 * 2^7 = 0xC000.
    (casts.Bfloat16, 3.4e38, [0x7F, 0x7F]),  # Exponent 254, all mantissa bits: 0x7F7F; 0x7F80 is infinity.
  ],
)
def test_bytes_of_one_value(build, x, expected):
  np.testing.assert_array_equal(_round_trip([x], build())[1].values, expected)


def test_float16_equals_numpy():
  x = (np.random.default_rng(0).normal(size=5000) * 10.0 ** np.linspace(-4, 3, 5000)).astype(np.float32)
  np.testing.assert_array_equal(_round_trip(x, casts.Float16())[0], x.astype(np.float16).astype(np.float32))


def test_bfloat16_equals_rounded_bits():
  x = (np.random.default_rng(0).normal(size=5000) * 10.0 ** np.linspace(-30, 30, 5000)).astype(np.float32)
  np.testing.assert_array_equal(_round_trip(x, casts.Bfloat16())[0], _bfloat16(x))
