"""EDEN: the centroids of the literature, bytes, error and bias at every rate, and huge values."""

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import stage
from compression.stages import drive
from compression.stages import eden
from compression.stages import hadamard
from compression.stages import own_seed

_SHARED = tf.constant([5, 6], tf.int64)
_DRAWS = 400


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, bits, seed=1):
  codec = codec_lib.Codec([eden.Eden(bits)])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


@pytest.mark.parametrize(
  ('num_levels', 'upper_half'),
  [
    # J. Max, Quantizing for minimum distortion (1960), table I.
    (2, [0.7980]),
    (3, [0.0, 1.224]),
    (4, [0.4528, 1.510]),
    (8, [0.2451, 0.7560, 1.344, 2.152]),
    (16, [0.1284, 0.3881, 0.6568, 0.9424, 1.256, 1.618, 2.069, 2.733]),
  ],
)
def test_centroids(num_levels, upper_half):
  levels = eden.centroids(num_levels)
  np.testing.assert_allclose(levels[num_levels // 2 :], upper_half, atol=6e-4)
  np.testing.assert_array_equal(levels, -levels[::-1])


@pytest.mark.parametrize(('bits', 'expected'), [(0.5, 2), (1, 2), (1.25, 2), (1.999, 2), (2, 4), (3.3, 8), (8, 256)])
def test_levels(bits, expected):
  assert eden.Eden(bits).form(stage.Form(stage.Kind.FLOATS, 100)).num_levels == expected


@pytest.mark.parametrize(
  ('bits', 'size', 'expected'),
  [
    (4, 0, 4),  # The seed.
    (4, 128, 72),  # 128 / 2 + a scale + the seed.
    (8, 4096, 4104),
    (3, 4097, 1560),  # 4128 * 3 / 8 = 1548, two scales, the seed.
    (2, 200, 66),  # 200 / 4 = 50, three buckets: 12, 4.
    (2.5, 128, 48),  # 128 / 4, of 64 a bit more: 8; 4, 4.
    (1.25, 128, 28),  # 128 / 8, of 32 a bit more: 4; 4, 4.
    (0.5, 256, 24),  # 128 drawn values: 128 / 8, 4, 4.
    (0.1, 256, 12),  # 26 drawn values, padded to 32: 4, 4, 4.
  ],
)
def test_bytes(bits, size, expected):
  _, payload = _round_trip(np.linspace(-1, 1, size), bits)
  assert int(codec_lib.num_bytes(payload)) == expected


@pytest.mark.parametrize('bits', [0.1, 0.37, 0.5, 0.9, 1, 1.1, 1.585, 2, 2.5, 3.2, 3.999, 4, 5.7, 8])
@pytest.mark.parametrize('size', [4096, 5003, 2**20])
def test_values_take_the_bits_that_were_asked_for(bits, size):
  payload = codec_lib.Codec([eden.Eden(bits)]).payload_spec(tf.TensorSpec([size]))
  assert payload.values.shape[0] / (size * bits / 8) == pytest.approx(1.0, abs=0.02)
  if size == 2**20:  # Scales and the seed as well.
    total = sum(part.shape[0] * part.dtype.size for part in tf.nest.flatten(payload))
    assert total / (size * bits / 8) == pytest.approx(1.0, abs=0.02)


def test_one_bit_is_drive():
  x = np.random.default_rng(0).normal(size=700)
  codec = codec_lib.Codec([drive.Drive()])
  payload = codec.encode(tf.constant(x, tf.float32), _seed(1), _SHARED)
  decoded, ours = _round_trip(x, 1)
  np.testing.assert_array_equal(ours.values, payload.values)
  np.testing.assert_allclose(decoded, codec.decode(payload, tf.TensorSpec([700]), _SHARED), atol=1e-5)


def test_encodes_as_plain_numpy_does():
  x = np.random.default_rng(0).normal(size=200).astype(np.float32)
  form = stage.Form(stage.Kind.FLOATS, 200)
  levels, (scales, word) = eden.Eden(3).encode(tf.constant(x), form, _seed(1), _SHARED)
  decoded = eden.Eden(3).decode(levels, (scales, word), form, _SHARED)
  seed = own_seed.from_word(word, _SHARED)
  expected = []
  for part in np.split(hadamard.rotate(tf.constant(x), 200, seed).numpy(), [128, 192]):
    z = part / np.sqrt(np.mean(part**2))
    nearest = eden.centroids(8)[np.argmin(np.abs(z[:, np.newaxis] - eden.centroids(8)), axis=1)]
    expected.append((np.sum(part**2) / np.sum(part * nearest), nearest))
  np.testing.assert_allclose(scales, [scale for scale, _ in expected], rtol=1e-5)
  y = np.concatenate([scale * nearest for scale, nearest in expected]).astype(np.float32)
  np.testing.assert_allclose(decoded, hadamard.unrotate(tf.constant(y), 200, seed), atol=1e-5)


def test_finer_levels_by_hand():
  # 2.5 bits, 4 values: the first two have 8 levels, of which the low bits come last, two in a number.
  form, zero = stage.Form(stage.Kind.FLOATS, 4), tf.zeros([1], tf.int32)
  scales = tf.constant([2.0])
  decoded = eden.Eden(2.5).decode(tf.constant([3, 1, 0, 2, 0 + 2]), (scales, zero), form, _SHARED)
  rotated = hadamard.rotate(decoded, 4, own_seed.from_word(zero, _SHARED))
  # Levels 2 * 3 + 0 and 2 * 1 + 1 of 8, 0 and 2 of 4; see the centroids above.
  np.testing.assert_allclose(rotated, 2 * np.array([1.344, -0.2451, -1.510, 0.4528]), atol=2e-3)


@pytest.mark.parametrize(
  ('bits', 'distortion'),
  [
    # D / (1 - D), D the distortion of the best quantizer of a standard normal (Max, table I).
    (1, 0.3634),
    (1.5, 0.24045),  # (0.3634 + 0.1175) / 2.
    (2, 0.1175),
    (2.25, 0.09676),  # 0.75 * 0.1175 + 0.25 * 0.03454.
    (3, 0.03454),
    (3.2, 0.029531),  # 0.8 * 0.03454 + 0.2 * 0.009497.
    (4, 0.009497),
    (8, 0.0000415),
  ],
)
def test_error_is_that_of_the_paper(bits, distortion):
  x = np.random.default_rng(0).standard_t(4, size=131_072).astype(np.float32)
  error = np.sum((_round_trip(x, bits)[0] - x) ** 2) / np.sum(x**2)
  assert error / (distortion / (1 - distortion)) == pytest.approx(1.0, abs=0.03)


def test_error_falls_with_every_tenth_of_a_bit():
  x = np.random.default_rng(0).standard_t(4, size=65_536).astype(np.float32)
  errors = [np.sum((_round_trip(x, round(0.1 * tenths, 1))[0] - x) ** 2) for tenths in range(1, 42)]
  assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize('bits', [0.1, 0.5, 1, 2.5])
def test_error_of_ten_clients_is_a_tenth_of_that_of_the_paper(bits):
  x = np.random.default_rng(0).normal(size=4096).astype(np.float32)
  codec = codec_lib.Codec([eden.Eden(bits)])
  round_trip = tf.function(
    lambda client, shared: codec.decode(codec.encode(tf.constant(x), client, shared), tf.TensorSpec(x.shape), shared),
    autograph=False,
  )
  errors = [
    np.sum((np.mean([round_trip(_seed(100 * shared + k), _seed(shared)) for k in range(10)], axis=0) - x) ** 2)
    for shared in range(4)
  ]
  # pi / 2 times the squares of what is drawn, which are 1 / bits times those of x; of 2.5 bits D / (1 - D) as above.
  expected = {0.1: 5 * np.pi - 1, 0.5: np.pi - 1, 1: np.pi / 2 - 1, 2.5: 0.07602 / (1 - 0.07602)}[bits]
  assert np.mean(errors) / np.sum(x**2) / (expected / 10) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize('bits', [0.5, 1, 1.585, 2, 4])
def test_bias_is_below_the_noise(bits):
  codec = codec_lib.Codec([eden.Eden(bits)])
  x = tf.constant(np.random.default_rng(0).normal(size=128), tf.float32)

  @tf.function(autograph=False)
  def round_trip(client, shared):
    return codec.decode(codec.encode(x, client, shared), tf.TensorSpec([128]), shared)

  draws = np.stack([round_trip(_seed(seed), _seed(-seed)) for seed in range(_DRAWS)])
  standard_error = draws.std(axis=0, ddof=1) / np.sqrt(_DRAWS)
  assert np.all(np.abs(draws.mean(axis=0) - x) <= 5 * standard_error + 1e-5)


@pytest.mark.parametrize('bits', [0.5, 3])
@pytest.mark.parametrize('value', [1e30, 3e38, 1e-40])
def test_equal_values_of_more_than_a_block_stay_finite(bits, value):
  assert np.all(np.isfinite(_round_trip(np.full(5000, value), bits)[0]))


@pytest.mark.parametrize('bits', [0, -1, 8.5, float('nan'), True, '4'])
def test_refuses(bits):
  with pytest.raises(ValueError, match=r'bits must lie in \(0, 8\]'):
    eden.Eden(bits)
