"""The randomised Hadamard rotation: against the matrix itself, its buckets and padding, linearity and the largest floats."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import hadamard
from compression.stages import uniform

_CLIENT = tf.constant([0, 0], tf.int64)


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, *more, seed=1):
  codec = codec_lib.Codec([hadamard.Hadamard(), *more])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _CLIENT, _seed(seed))
  return codec.decode(payload, tf.TensorSpec(x.shape), _seed(seed)).numpy(), payload


def _sylvester(order):
  return np.array([[(-1) ** (i & j).bit_count() for j in range(order)] for i in range(order)])


@pytest.mark.parametrize(
  ('size', 'expected'),
  [
    (0, []),
    (1, [(1, 1)]),
    (3, [(4, 1)]),
    (100, [(128, 1)]),  # Fewer than 128 values are one bucket.
    (128, [(128, 1)]),
    (191, [(128, 1), (64, 1)]),  # 191 / 128 allows a padding of 1.
    (200, [(128, 1), (64, 1), (8, 1)]),
    (4097, [(4096, 1), (32, 1)]),  # 4097 / 128 allows a padding of 32: 1 value is padded to 32.
    (10_000, [(4096, 2), (1024, 1), (512, 1), (256, 1), (64, 1)]),  # 8192 + 1808; 1792 + 16, padded by 48 of 78.
    (21_000_001, [(4096, 5127)]),  # 5126 buckets are 20,996,096.
  ],
)
def test_buckets(size, expected):
  assert hadamard.buckets(size) == expected


@hypothesis.given(strategies.one_of(strategies.integers(1, 20_000), strategies.integers(1, 2**31)))
def test_padding_is_below_one_percent_and_within_the_next_power_of_two(size):
  padded = hadamard.padded_size(size)
  assert size <= padded <= 2 ** (size - 1).bit_length()
  if size >= 128:
    assert padded - size < 0.01 * size


@pytest.mark.parametrize(
  ('size', 'expected'),
  [
    (4, 16),  # 4 floats.
    (5, 32),  # Padded to 8.
    (200, 800),  # 128 + 64 + 8: no padding.
    (4097, 16512),  # 4096 + 32 = 4128 floats.
  ],
)
def test_bytes(size, expected):
  _, payload = _round_trip(np.ones(size))
  assert int(codec_lib.num_bytes(payload)) == expected


def test_two_values_by_hand():
  # (3 +- 1) / sqrt(2), in either order and of either sign.
  _, payload = _round_trip([3.0, 1.0])
  np.testing.assert_allclose(np.sort(np.abs(payload.values)), [1.414214, 2.828427], rtol=1e-6)


@pytest.mark.parametrize('size', [1, 2, 8, 32, 64, 128])
def test_one_block_is_a_hadamard_matrix_of_signs(size):
  columns = [hadamard.rotate(tf.constant(row, tf.float32), size, _seed(3)) for row in np.eye(size)]
  matrix = np.stack(columns, axis=1) * np.sqrt(size)
  np.testing.assert_allclose(matrix, _sylvester(size) * matrix[0], atol=1e-5)
  np.testing.assert_allclose(np.abs(matrix[0]), 1.0, rtol=1e-5)


def test_blocks_are_strided():
  # 3 buckets of 4096: 64 runs of 64 values from all over the tensor.
  x = np.random.default_rng(0).normal(size=3 * 4096).astype(np.float32)
  y = hadamard.rotate(tf.constant(x), x.size, _seed(1)).numpy().reshape(64, 3, 64)
  values = x.reshape(64, 3, 64)
  for bucket in range(3):
    assert np.linalg.norm(y[:, bucket]) / np.linalg.norm(values[:, bucket]) == pytest.approx(1.0, abs=5e-6)


@hypothesis.given(strategies.integers(0, 9000), strategies.integers(0, 100))
def test_keeps_norms_and_comes_back(size, seed):
  x = np.random.default_rng(seed).normal(size=size).astype(np.float32)
  decoded, payload = _round_trip(x, seed=seed)
  assert np.linalg.norm(payload.values) == pytest.approx(np.linalg.norm(x), abs=1e-5 * np.sqrt(size))
  np.testing.assert_allclose(decoded, x, atol=1e-5)


def test_decoding_the_sum_is_the_sum_of_decoded():
  assert hadamard.Hadamard.linear
  codec = codec_lib.Codec([hadamard.Hadamard()])
  x = np.random.default_rng(0).normal(size=(5, 700)).astype(np.float32)
  total = sum(codec.encode(tf.constant(row), _CLIENT, _seed(1)).values for row in x)
  decoded = codec.decode(codec_lib.Payload(total, ((),)), tf.TensorSpec([700]), _seed(1))
  np.testing.assert_allclose(decoded, x.sum(axis=0), atol=1e-5)


def test_spreads_an_outlier():
  # One value of 64 among zeros: 64 / sqrt(4096) in each place of its bucket.
  _, payload = _round_trip(64.0 * np.eye(1, 4096, 77)[0])
  np.testing.assert_allclose(np.abs(payload.values), 1.0, rtol=1e-6)


def test_makes_four_bits_enough_for_heavy_tails():
  x = np.random.default_rng(0).standard_t(4, size=131_072).astype(np.float32)
  alone = codec_lib.Codec([uniform.Uniform(4)])
  unrotated = alone.decode(alone.encode(x, _CLIENT, _seed(1)), tf.TensorSpec(x.shape), _seed(1))
  rotated, _ = _round_trip(x, uniform.Uniform(4))
  assert np.sum((unrotated - x) ** 2) / np.sum(x**2) > 1.0
  assert np.sum((rotated - x) ** 2) / np.sum(x**2) < 0.1


def test_seeds():
  x = np.linspace(-1, 1, 100)
  np.testing.assert_array_equal(_round_trip(x, seed=1)[1].values, _round_trip(x, seed=1)[1].values)
  assert np.any(_round_trip(x, seed=1)[1].values != _round_trip(x, seed=2)[1].values)


def test_signs_are_fair():
  signs = np.stack([hadamard.rotate(tf.ones([1]), 1, _seed(seed)) for seed in range(400)])
  assert abs(signs.mean()) < 5 / np.sqrt(400)
  # The first row of H is all ones: the sum over the bucket is 64 times the first value.
  sums = hadamard.rotate(tf.ones([64 * 4096]), 64 * 4096, _seed(1)).numpy().reshape(64, 64, 64)[0, :, 0]
  assert abs(sums.mean()) < 5 / np.sqrt(64)
  assert 0.3 <= sums.var() <= 2.0


@pytest.mark.parametrize('size', [1, 3, 4096, 5000])
def test_largest_floats_stay_finite(size):
  decoded, _ = _round_trip(np.full(size, 3e38), uniform.Uniform(1))
  assert np.all(np.isfinite(decoded))
  np.testing.assert_allclose(_round_trip(np.full(size, 1e30))[0], np.full(size, 1e30), rtol=1e-4)
