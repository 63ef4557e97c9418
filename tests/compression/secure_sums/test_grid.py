"""The grid of a secure sum: unbiased, cut at its limit, and within a bound whatever the values."""

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies
import numpy as np
import pytest
import tensorflow as tf

from compression.secure_sums import grid as grid_lib

_SEED = tf.constant([1, 2], tf.int64)


def _seeds(count: int) -> list[tf.Tensor]:
  return [tf.constant([3, number], tf.int64) for number in range(count)]


def test_levels_by_hand():
  # 4 bits: top = 7, and a limit of 0.7 makes a step of 0.1. 0.3 lies on level 3, -0.7 on -7; 5 and -9 are cut to 7 and -7.
  grid = grid_lib.Grid(4)
  levels = grid.round(tf.constant([0.0, 0.7, -0.7, 5.0, -9.0]), tf.constant(0.7), _SEED)
  assert levels.numpy().tolist() == [0, 7, -7, 7, -7]
  np.testing.assert_allclose(
    grid.values(tf.constant([3, -7, 14], tf.int64), tf.constant(0.7)), [0.3, -0.7, 1.4], rtol=1e-6
  )


def test_rounding_is_unbiased_and_between_neighbours():
  # 0.25 with a step of 0.1 is 2.5 levels: 2 or 3, each half of the time. 4,000 draws: 6 deviations are 0.047.
  levels = grid_lib.Grid(4).round(tf.fill([4000], 0.25), tf.constant(0.7), _SEED).numpy()
  assert set(levels.tolist()) == {2, 3}
  assert abs(levels.mean() - 2.5) < 0.048


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
  values=numpy_strategies.arrays(
    np.float32, strategies.integers(1, 40), elements=strategies.floats(-(2.0**60), 2.0**60, width=32)
  ),
  bits=strategies.integers(2, 24),
  log_bound=strategies.floats(-4.0, 4.0),
  limit_to_bound=strategies.floats(0.01, 3.0),
)
def test_no_values_pass_the_bound(values, bits, log_bound, limit_to_bound):
  grid, bound = grid_lib.Grid(bits), np.float32(10.0**log_bound)
  limit = np.float32(bound * limit_to_bound)
  for seed in _seeds(3):
    levels = grid.round_within(tf.constant(values), tf.constant(limit), tf.constant(bound), seed).numpy()
    radius = grid.top * float(bound) / float(limit)
    assert np.sum(levels.astype(np.float64) ** 2) <= radius**2
    assert np.max(np.abs(levels)) <= grid.top


def test_values_of_the_bounds_norm_are_hardly_shortened():
  # 16 bits: top = 32,767 levels are the bound. 10,000 values: rounding adds 10,000 / 4 + 4.3 (32,767 + 50) = 143,613 to the
  # square of the norm, 1.07e9, at most: values are scaled by sqrt(1 - 1.34e-4) = 0.99993 before.
  values = np.random.default_rng(0).normal(size=10_000)
  values = (values / np.linalg.norm(values)).astype(np.float32)
  grid, one = grid_lib.Grid(16), tf.constant(1.0)
  rounded = [grid.round_within(tf.constant(values), one, one, seed).numpy() for seed in _seeds(50)]
  mean = np.mean(rounded, axis=0) / grid.top
  assert np.dot(mean, values) == pytest.approx(0.99993, abs=2e-5)
  # Each value is off by a step's part of a draw, of standard deviation 0.41 at most in the mean, over sqrt(50).
  np.testing.assert_allclose(mean, values, atol=7 * 0.5 / grid.top / np.sqrt(50) + 1e-4 * np.max(np.abs(values)))


def test_short_values_stay():
  values = tf.constant(np.random.default_rng(0).normal(size=1000).astype(np.float32) * 0.01)
  grid, one = grid_lib.Grid(16), tf.constant(1.0)
  np.testing.assert_array_equal(grid.round_within(values, one, one, _SEED), grid.round(values, one, _SEED))


def test_coarse_grids_are_refused():
  # 8 bits: 127 levels are the bound, whose square is 16,129. 10,000 values: 2,500 + 4.3 (127 + 50) = 3,261, less than half.
  # 40,000 values: 10,000 + 4.3 (127 + 100) = 10,976, more than half.
  grid = grid_lib.Grid(8)
  grid.check_fine(10_000, 1.0)
  with pytest.raises(ValueError, match=r'a grid of 8 bits is too coarse for 40,000 values .* raise bits'):
    grid.check_fine(40_000, 1.0)
  grid.check_fine(40_000, 0.5)


@pytest.mark.parametrize('bits', [1, 25, 8.0])
def test_wrong_bits(bits):
  with pytest.raises(ValueError, match='bits'):
    grid_lib.Grid(bits)
