"""DRIVE: bytes, the scale by hand, the error and the bias that the paper promises, and the hard values."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import stage
from compression.stages import drive
from compression.stages import hadamard
from compression.stages import own_seed

_SHARED = tf.constant([5, 6], tf.int64)
_CODEC = codec_lib.Codec([drive.Drive()])


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, seed=1):
  x = tf.constant(x, tf.float32)
  payload = _CODEC.encode(x, _seed(seed), _SHARED)
  return _CODEC.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


@pytest.mark.parametrize(
  ('size', 'expected'),
  [
    (0, 4),  # The seed.
    (1, 9),  # 1 byte, one scale, the seed.
    (128, 24),  # 128 / 8 + 4 + 4.
    (200, 41),  # 200 / 8, three buckets: 12, the seed: 4.
    (4097, 528),  # 4128 / 8 = 516, two buckets: 8, 4.
  ],
)
def test_bytes(size, expected):
  _, payload = _round_trip(np.linspace(-1, 1, size))
  assert int(codec_lib.num_bytes(payload)) == expected


def test_two_values_by_hand():
  # y = (3 +- 1) / sqrt(2): ||y||_2**2 = 10, ||y||_1 = 6 / sqrt(2), so that the scale is 10 sqrt(2) / 6.
  _, payload = _round_trip([3.0, 1.0])
  np.testing.assert_allclose(payload.side[0][0], [2.357023], rtol=1e-6)


def test_encodes_as_plain_numpy_does():
  x = np.random.default_rng(0).normal(size=200).astype(np.float32)
  form = stage.Form(stage.Kind.FLOATS, 200)
  levels, (scales, word) = drive.Drive().encode(tf.constant(x), form, _seed(1), _SHARED)
  decoded = drive.Drive().decode(levels, (scales, word), form, _SHARED)
  seed = own_seed.from_word(word, _SHARED)
  y = hadamard.rotate(tf.constant(x), 200, seed).numpy()
  parts = np.split(y, [128, 192])
  np.testing.assert_allclose(scales, [np.sum(part**2) / np.sum(np.abs(part)) for part in parts], rtol=1e-5)
  expected = np.concatenate([scale * np.sign(part) for scale, part in zip(scales, parts, strict=True)])
  np.testing.assert_allclose(decoded, hadamard.unrotate(tf.constant(expected), 200, seed), atol=1e-5)
  np.testing.assert_array_equal(levels, y >= 0)


def test_a_lone_value_is_exact():
  np.testing.assert_allclose(_round_trip([0.0, 4.0, 0.0, 0.0])[0], [0.0, 4.0, 0.0, 0.0], atol=1e-6)


def test_error_is_that_of_the_paper():
  # pi / 2 - 1 for values that look normal after rotation.
  x = np.random.default_rng(0).standard_t(4, size=131_072).astype(np.float32)
  error = np.sum((_round_trip(x)[0] - x) ** 2) / np.sum(x**2)
  assert error == pytest.approx(np.pi / 2 - 1, abs=0.01)


def test_decoded_values_have_the_product_with_x_that_x_has():
  x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
  assert np.dot(_round_trip(x)[0], x) / np.dot(x, x) == pytest.approx(1.0, abs=5e-5)


def test_bias_is_below_the_noise():
  x = tf.constant(np.random.default_rng(0).normal(size=128), tf.float32)
  round_trip = tf.function(
    lambda seed: _CODEC.decode(_CODEC.encode(x, seed, _SHARED), tf.TensorSpec([128]), _SHARED), autograph=False
  )
  draws = np.stack([round_trip(_seed(seed)) for seed in range(400)])
  standard_error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
  assert np.all(np.abs(draws.mean(axis=0) - x) <= 5 * standard_error + 1e-5)


@pytest.mark.parametrize(
  ('x', 'magnitude'),
  [
    pytest.param(np.zeros(300), 0.0, id='zeros'),
    pytest.param(np.full(4096, -2.5), 2.5, id='constant'),
    pytest.param(np.full(4096, 1e30), 1e30, id='huge'),
    pytest.param(np.full(4096, 3e38), 2.0**114, id='extreme'),  # 2**126 / 4096, where the rotation clips.
    pytest.param(np.full(5, 1e-40), 1e-37, id='denormal'),
    pytest.param(2.5, 2.5, id='scalar'),
  ],
)
def test_hard_values(x, magnitude):
  decoded, _ = _round_trip(x)
  assert decoded.shape == np.shape(x)
  assert np.all(np.abs(decoded) <= 100 * magnitude)
