"""Optimized buffered linear Toeplitz noise: less than that of trees, near the least possible, allowed, repeatable."""

import dataclasses
import itertools

import numpy as np
import pytest

from compression.privacy import blt_factors
from compression.privacy import blt_noise
from compression.privacy import tree_noise

# Rounds, least separation, most participations.
_SETTINGS = ((100, 100, 1), (1000, 100, 10), (2000, 313, 6), (1000, 20, 50), (60, 1, 60))


def _loss(noise, rounds, min_separation, most_participations):
  """The sensitivity times the standard deviation of the noisiest sum."""
  variance = max(noise.prefix_variance(number) for number in range(1, rounds + 1))
  return noise.sensitivity(rounds, min_separation, most_participations) * variance**0.5


@pytest.mark.parametrize('setting', _SETTINGS)
def test_is_better_than_a_tree_and_than_independent_rounds(setting):
  blt = blt_factors.optimized(*setting)
  loss = _loss(blt, *setting)
  assert loss < 0.7 * _loss(tree_noise.TreeNoise(setting[0]), *setting)
  assert loss < 1.0001 * _loss(blt_noise.BltNoise((), ()), *setting)


@pytest.mark.parametrize('setting', _SETTINGS)
def test_is_allowed(setting):
  blt = blt_factors.optimized(*setting)
  coefficients = blt.coefficients(setting[0])
  assert coefficients[0] == 1.0 and np.all(coefficients > 0.0) and np.all(np.diff(coefficients) <= 0.0)
  assert len(blt.decays) == len(blt.scales) == 3
  factors = np.array([blt.decays, blt.scales])
  np.testing.assert_array_equal(factors, factors.astype(np.float32))


@pytest.mark.parametrize('setting', [(100, 100, 1), (400, 60, 6)])
def test_no_neighbour_is_much_better(setting):
  blt = blt_factors.optimized(*setting)
  loss = _loss(blt, *setting)
  for index, factor in itertools.product(range(3), (0.9, 1.1)):
    decays, scales = list(blt.decays), list(blt.scales)
    decays[index], scales[index] = 1 - factor * (1 - decays[index]), factor * scales[index]
    for changed in ({'decays': tuple(decays)}, {'scales': tuple(scales)}):
      assert _loss(dataclasses.replace(blt, **changed), *setting) > 0.9995 * loss


def test_a_single_participation_comes_close_to_the_least():
  # No Toeplitz matrix has less than the sum of squares of the coefficients of (1 - x)^(-1/2), where both factors are that.
  root = np.cumprod([1.0, *(1.0 - 0.5 / np.arange(1, 100))])
  least = np.sum(np.square(root))
  losses = [_loss(blt_factors.optimized(100, 100, 1, buffers), 100, 100, 1) for buffers in (1, 2, 3, 4)]
  assert np.all(np.array(losses) >= least) and losses[0] < 1.06 * least
  assert losses[1] < 1.01 * least and losses[2] < 1.001 * least and losses[3] < 1.0005 * least


def test_more_buffers_are_better():
  losses = [_loss(blt_factors.optimized(400, 60, 6, buffers), 400, 60, 6) for buffers in (1, 2, 3, 4)]
  assert losses[0] > losses[1] > losses[2] > 0.9999 * losses[3]


def test_is_repeatable():
  assert blt_factors.optimized(300, 40, 5) == blt_factors.optimized(300, 40, 5)


@pytest.mark.parametrize(('rounds', 'buffers'), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (9, 3)])
def test_buffers_are_no_more_than_there_are_coefficients_to_decide(rounds, buffers):
  blt = blt_factors.optimized(rounds, 1, 1)
  assert len(blt.decays) == buffers
  assert blt.prefix_variance(rounds) <= rounds


def test_two_rounds():
  # One coefficient c: loss^2 = (1 + c^2) (1 + (1 - c)^2), least at c = 1/2: 25/16.
  blt = blt_factors.optimized(2, 2, 1)
  assert blt.scales == pytest.approx((0.5,), abs=1e-4)
  assert _loss(blt, 2, 2, 1) == pytest.approx(1.25, rel=1e-7)


def test_refuses():
  for arguments in ((0, 1, 1), (5, 0, 1), (5, 1, 0), (5, 1, 1, 0)):
    with pytest.raises(ValueError, match='must be a whole number'):
      blt_factors.optimized(*arguments)
