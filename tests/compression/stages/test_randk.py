"""Random-k: positions are distinct, fair and a client's own, and only values and a word travel."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression.stages import randk

_SHARED = tf.constant([0, 0], tf.int64)
_DRAWS = 2000


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _round_trip(x, fraction, *more, seed=1):
  codec = codec_lib.Codec([randk.Randk(fraction), *more])
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


@pytest.mark.parametrize(
  ('size', 'fraction', 'expected'),
  [
    (1000, 0.01, 44),  # 10 floats, and the seed.
    (1000, 0.0001, 8),  # At least one.
    (1, 0.5, 8),
    (0, 0.5, 4),
  ],
)
def test_bytes(size, fraction, expected):
  _, payload = _round_trip(np.linspace(-1, 1, size), fraction)
  assert int(codec_lib.num_bytes(payload)) == expected


@hypothesis.given(strategies.integers(1, 5000), strategies.floats(0, 1), strategies.integers(0, 2**40))
def test_positions_are_distinct_and_inside(size, share, seed):
  count = max(1, round(share * size))
  positions = randk.draw_positions(count, size, _seed(seed)).numpy()
  assert len(set(positions.tolist())) == count
  assert 0 <= positions.min() <= size - 1
  assert 0 <= positions.max() <= size - 1


def test_positions_are_distinct_in_the_largest_tensor():
  positions = randk.draw_positions(1000, 2**31 - 2**17, _seed(1)).numpy()
  assert len(set(positions.tolist())) == 1000
  assert 0 <= positions.min() <= 2**27
  assert 2**31 - 2**27 <= positions.max() <= 2**31 - 2**17 - 1


@pytest.mark.parametrize(('size', 'count'), [(2, 1), (7, 3), (16, 4), (17, 5)])
def test_positions_and_pairs_are_equally_likely(size, count):
  draw = tf.function(lambda seed: randk.draw_positions(count, size, seed), autograph=False)
  drawn = np.zeros([_DRAWS, size])
  for seed in range(_DRAWS):
    drawn[seed, draw(_seed(seed))] = 1
  share = count / size
  np.testing.assert_allclose(drawn.mean(axis=0), share, atol=5 * np.sqrt(share * (1 - share) / _DRAWS))
  pairs = (drawn.T @ drawn / _DRAWS)[np.triu_indices(size, 1)]
  share = count * (count - 1) / (size * (size - 1))
  np.testing.assert_allclose(pairs, share, atol=5 * np.sqrt(share * (1 - share) / _DRAWS))


def test_all_values_in_random_order_are_exact():
  x = np.random.default_rng(0).normal(size=[7, 30]).astype(np.float32)
  np.testing.assert_array_equal(_round_trip(x, 1.0)[0], x)


def test_kept_values_are_scaled_and_the_others_zero():
  x = np.arange(1.0, 41.0, dtype=np.float32)
  decoded, _ = _round_trip(x, 0.25)
  assert np.count_nonzero(decoded) == 10
  np.testing.assert_array_equal(decoded[decoded != 0], 4 * x[decoded != 0])


def test_rounds_differ():
  codec, x = codec_lib.Codec([randk.Randk(0.1)]), tf.range(1.0, 101.0)
  one, two = (codec.encode(x, _seed(8), _seed(shared)).values.numpy() for shared in (1, 2))
  assert np.any(one != two)


def test_error_of_ten_clients_is_a_tenth_of_that_by_hand():
  # A value is 10 times too large in one of 10 cases: .1 * 9**2 + .9 = 9 of its square, and 9 / n in the mean of n.
  x = np.random.default_rng(0).normal(size=4096).astype(np.float32)
  codec = codec_lib.Codec([randk.Randk(0.1)])
  round_trip = tf.function(
    lambda client, shared: codec.decode(codec.encode(tf.constant(x), client, shared), tf.TensorSpec(x.shape), shared),
    autograph=False,
  )
  errors = [
    np.sum((np.mean([round_trip(_seed(100 * shared + k), _seed(shared)) for k in range(10)], axis=0) - x) ** 2)
    for shared in range(4)
  ]
  assert np.mean(errors) / np.sum(x**2) / (9 / 10) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize('fraction', [0, 1.5, -0.1, float('nan'), True, '0.1'])
def test_refuses(fraction):
  with pytest.raises(ValueError, match=r'fraction must lie in \(0, 1\]'):
    randk.Randk(fraction)
