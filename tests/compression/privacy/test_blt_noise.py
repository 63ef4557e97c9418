"""Noise of a buffered linear Toeplitz matrix: dense matrices, hand-typed values, worst clients, resumption, graphs."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from compression.privacy import blt_noise
from compression.privacy import noise as noise_lib

_SEED = tf.constant([3, 7], tf.int64)
_SPECS = (tf.TensorSpec([3]), tf.TensorSpec([]), tf.TensorSpec([2, 2]))
_BLT = blt_noise.BltNoise((0.99, 0.8, 0.3), (0.1, 0.2, 0.15))
_HALVES = blt_noise.BltNoise((0.5,), (0.5,))  # c = 1, 1/2, 1/4, 1/8 ...
_EXTREME = blt_noise.BltNoise((0.9, 0.01), (0.01, 0.99))  # C^-1 alternates in sign.


def _noise(blt, rounds, specs, state=None, first=1):
  """What rounds add, an array [rounds, *shape] for each spec, and the state they leave."""
  state = blt.initial_state(specs) if state is None else state
  found = []
  for round_number in range(first, rounds + 1):
    noise, state = blt.next(state, _SEED, tf.constant(round_number, tf.int64), specs)
    found.append(noise)
  return [np.stack(parts) for parts in zip(*found, strict=True)], state


def _matrix(blt, rounds):
  """C, entry by entry."""
  matrix = np.eye(rounds)
  for row, column in itertools.product(range(rounds), repeat=2):
    if row > column:
      pairs = zip(blt.decays, blt.scales, strict=True)
      matrix[row, column] = sum(scale * decay ** (row - column - 1) for decay, scale in pairs)
  return matrix


@pytest.mark.parametrize('blt', [_BLT, _HALVES, _EXTREME])
def test_equals_the_inverse_of_the_matrix(blt):
  found, _ = _noise(blt, 20, _SPECS)
  drawn = [noise_lib.draw(_SPECS, _SEED, tf.constant(number, tf.int64)) for number in range(1, 21)]
  for index, noise in enumerate(found):
    z = np.stack([parts[index] for parts in drawn]).astype(np.float64)
    np.testing.assert_allclose(noise, np.einsum('ts,s...->t...', np.linalg.inv(_matrix(blt, 20)), z), atol=1e-5)


@pytest.mark.parametrize('blt', [_BLT, _HALVES, _EXTREME])
def test_variance_equals_that_of_the_matrix(blt):
  rows = np.tril(np.ones([50, 50])) @ np.linalg.inv(_matrix(blt, 50))
  found = [blt.prefix_variance(number) for number in range(1, 51)]
  np.testing.assert_allclose(found, np.sum(np.square(rows), axis=1), rtol=1e-10)
  np.testing.assert_allclose(blt.coefficients(50), _matrix(blt, 50)[:, 0], rtol=1e-12)


def test_variance_of_halves():
  # C^-1 = 1, -1/2, 0, 0 ...: its sums are 1, 1/2, 1/2 ...
  assert [_HALVES.prefix_variance(number) for number in (1, 2, 3, 7)] == pytest.approx([1, 1.25, 1.5, 2.5], rel=1e-12)


@pytest.mark.parametrize('blt', [_BLT, _EXTREME])
def test_measured_variance(blt):
  (found,), _ = _noise(blt, 12, (tf.TensorSpec([20_000]),))
  measured = np.mean(np.square(np.cumsum(found, axis=0, dtype=np.float64)), axis=1)
  expected = [blt.prefix_variance(number) for number in range(1, 13)]
  # Of chi square over its 20,000 degrees of freedom, the standard deviation is sqrt(2 / 20,000) = 0.01.
  np.testing.assert_allclose(measured, expected, rtol=0.05)


def test_sensitivity_of_halves():
  # Columns (1, 1/2, 1/4, 1/8) + (0, 0, 1, 1/2) = (1, 1/2, 5/4, 5/8): squares 1 + 1/4 + 25/16 + 25/64 = 205/64.
  assert _HALVES.sensitivity(4, 2, 2) == pytest.approx((205 / 64) ** 0.5, rel=1e-12)
  # One column: 1 + 1/4 + 1/16 + 1/64 = 85/64.
  assert _HALVES.sensitivity(4, 9, 7) == _HALVES.sensitivity(4, 2, 1) == pytest.approx((85 / 64) ** 0.5, rel=1e-12)
  assert _HALVES.sensitivity(1, 1, 1) == 1.0


@pytest.mark.parametrize('blt', [_BLT, _HALVES, _EXTREME])
def test_sensitivity_is_that_of_the_worst_client(blt):
  rounds, matrix = 9, _matrix(blt, 9)
  for min_separation, most_participations in itertools.product(range(1, 11), (1, 2, 3, 20)):
    norms = []
    for part in itertools.product((0.0, 1.0), repeat=rounds):
      places = np.flatnonzero(part)
      if len(places) <= most_participations and np.all(np.diff(places) >= min_separation):
        norms.append(np.linalg.norm(matrix @ part))
    found = blt.sensitivity(rounds, min_separation, most_participations)
    assert found == pytest.approx(max(norms), rel=1e-12)


def test_resumes():
  whole, end = _noise(_BLT, 10, _SPECS)
  _, state = _noise(_BLT, 4, _SPECS)
  restored = tuple(tf.constant(buffers.numpy()) for buffers in state)
  rest, again = _noise(_BLT, 10, _SPECS, restored, 5)
  for found, expected in zip([*rest, *again], [*(part[4:] for part in whole), *end], strict=True):
    np.testing.assert_array_equal(found, expected)


def test_graph_equals_eager():
  eager, _ = _noise(_BLT, 6, _SPECS)
  step = tf.function(lambda state, number: _BLT.next(state, _SEED, number, _SPECS), autograph=False)
  state = _BLT.initial_state(_SPECS)
  assert [buffers.shape for buffers in state] == [[3, 3], [3], [3, 2, 2]]
  for index in range(6):
    noise, state = step(state, tf.constant(index + 1, tf.int64))
    for found, expected in zip(noise, eager, strict=True):
      np.testing.assert_allclose(found, expected[index], atol=1e-6)
  assert step.experimental_get_tracing_count() == 1


def test_without_buffers_rounds_are_independent():
  blt, independent = blt_noise.BltNoise((), ()), noise_lib.Independent()
  found, _ = _noise(blt, 3, _SPECS)
  expected, _ = _noise(independent, 3, _SPECS)
  for noise, other in zip(found, expected, strict=True):
    np.testing.assert_array_equal(noise, other)
  assert blt.prefix_variance(3) == 3.0 and blt.sensitivity(3, 1, 2) == pytest.approx(2**0.5)


@pytest.mark.parametrize(
  ('decays', 'scales', 'message'),
  [
    ((0.5,), (0.1, 0.2), 'must be as many, not 1 and 2'),
    ((1.0,), (0.1,), 'decays must lie in'),
    ((0.5, 0.0), (0.1, 0.1), 'decays must lie in'),
    ((0.5,), (0.0,), 'scales must be a positive number'),
    ((0.5, 0.6), (0.5, 0.6), 'add up to at most 1, not 1.1'),
  ],
)
def test_refuses_factors(decays, scales, message):
  with pytest.raises(ValueError, match=message):
    blt_noise.BltNoise(decays, scales)


def test_refuses_numbers():
  for arguments in ((0, 1, 1), (5, 0, 1), (5, 1, 0)):
    with pytest.raises(ValueError, match='must be a whole number'):
      _BLT.sensitivity(*arguments)
  with pytest.raises(ValueError, match='round_number must be a whole number'):
    _BLT.prefix_variance(0)
