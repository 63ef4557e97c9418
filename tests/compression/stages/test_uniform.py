"""Stochastic uniform quantization: levels, bytes, bounds, bias and the hard values."""

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as hypothesis_numpy
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import uniform

_SHARED = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, bits, seed=1):
  codec = codec_lib.Codec([uniform.Uniform(bits)])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


@pytest.mark.parametrize(
  ('bits', 'expected'),
  [
    (8, 1008),  # 1000 values of one byte; min and max, 4 bytes each.
    (4, 508),  # 1000 / 2 + 8.
    (1, 133),  # 1000 / 8 + 8.
    (3, 383),  # 125 groups of 3 bytes + 8.
    (12, 1508),  # 1000 low bytes, 1000 / 2 for the rest, + 8.
    (16, 2008),
  ],
)
def test_bytes(bits, expected):
  _, payload = _round_trip(np.linspace(-1, 1, 1000), bits)
  assert int(codec_lib.num_bytes(payload)) == expected


@pytest.mark.parametrize(
  ('levels', 'expected'),
  [
    (3, 208),  # 5 values a byte; min and max, 4 bytes each.
    (2, 133),  # 8 a byte.
    (6, 342),  # 3 a byte: 334.
    (7, 383),  # 3 bits each: 125 groups of 3 bytes.
    (15, 508),  # 2 a byte.
    (200, 1008),
    (256, 1008),
    (257, 1133),  # A low byte and a bit: 1000 + 125.
    (65_536, 2008),
  ],
)
def test_bytes_of_levels(levels, expected):
  codec = codec_lib.Codec([uniform.Uniform(levels=levels)])
  payload = codec.encode(tf.linspace(-1.0, 1.0, 1000), _seed(1), _SHARED)
  assert int(codec_lib.num_bytes(payload)) == expected


def test_three_levels_by_hand():
  # Values at the ends and in the middle leave nothing to chance: 2 + 0 * 3 + 1 * 9 + 1 * 27 + 2 * 81 = 200; then 0.
  codec = codec_lib.Codec([uniform.Uniform(levels=3)])
  x = tf.constant([5.0, 1.0, 3.0, 3.0, 5.0, 1.0])
  payload = codec.encode(x, _seed(1), _SHARED)
  np.testing.assert_array_equal(payload.values, [200, 0])
  np.testing.assert_array_equal(payload.side[0][0], [1.0, 5.0])
  np.testing.assert_array_equal(codec.decode(payload, tf.TensorSpec([6]), _SHARED), x)


def test_eight_bits_are_the_default_and_256_levels():
  x = tf.random.stateless_normal([100], [1, 2])
  stages = uniform.Uniform(), uniform.Uniform(bits=8), uniform.Uniform(levels=256)
  sent = [codec_lib.Codec([each]).encode(x, _seed(1), _SHARED).values.numpy() for each in stages]
  np.testing.assert_array_equal(sent[0], sent[1])
  np.testing.assert_array_equal(sent[0], sent[2])


@hypothesis.given(
  strategies.integers(1, 16),
  hypothesis_numpy.arrays(
    np.float32,
    hypothesis_numpy.array_shapes(max_dims=3, min_side=0, max_side=9),
    elements=strategies.floats(width=32, allow_nan=False, allow_infinity=False),
  ),
)
def test_error_is_below_one_step_and_shape_stays(bits, x):
  decoded, _ = _round_trip(x, bits)
  assert decoded.shape == x.shape
  if x.size:
    step = (float(x.max()) - float(x.min())) / (2**bits - 1)
    tolerance = 1e-5 * max(abs(float(x.max())), abs(float(x.min()))) + 1e-37
    assert np.abs(decoded.astype(np.float64) - x.astype(np.float64)).max() <= step + tolerance


@pytest.mark.parametrize('bits', [1, 2, 8, 16])
def test_levels_come_back_as_they_are(bits):
  levels = np.arange(2**bits) if bits < 16 else np.arange(0, 2**16, 5)
  levels = np.append(levels, 2**bits - 1)
  decoded, _ = _round_trip(levels, bits)
  np.testing.assert_allclose(decoded, levels, rtol=1e-6)


@pytest.mark.parametrize('bits', [0, 17, 2.5, True, '8'])
def test_refuses(bits):
  with pytest.raises(ValueError, match='bits must be a whole number from 1 to 16'):
    uniform.Uniform(bits)


@pytest.mark.parametrize('levels', [0, 1, 65_537, 2.5, True, '3'])
def test_refuses_levels(levels):
  with pytest.raises(ValueError, match='levels must be a whole number from 2 to 65,536'):
    uniform.Uniform(levels=levels)


def test_refuses_bits_beside_levels():
  with pytest.raises(ValueError, match=r'bits and levels .*: give one of them'):
    uniform.Uniform(bits=8, levels=3)
