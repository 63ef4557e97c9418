"""Noise of clients: its distribution and what it costs, against the definition of Renyi divergence summed up in NumPy."""

import math

import numpy as np
import pytest
from scipy import special
from scipy import stats
import tensorflow as tf

from compression.privacy import accounting
from compression.secure_sums import skellam


def _draw(variance: float, seed: int, size: int = 20_000) -> np.ndarray:
  return skellam.draw(tf.constant([size]), variance, tf.constant([seed, 2], tf.int64), 7).numpy()


@pytest.mark.parametrize('variance', [0.5, 30.0, 4e6, 2e13])
def test_noise_is_as_claimed(variance):
  drawn = _draw(variance, 1)
  # The fourth moment of Skellam is 3 variance^2 + variance, so the mean square deviates by sqrt((2 + 1 / variance) / n) of itself.
  assert np.mean(drawn**2.0) / variance == pytest.approx(1.0, abs=6 * math.sqrt((2 + 1 / variance) / drawn.size))
  assert abs(np.mean(drawn)) < 6 * math.sqrt(variance / drawn.size)
  if variance < 100:
    values, counts = np.unique(np.clip(drawn, -12, 12), return_counts=True)
    expected = stats.skellam.pmf(values, variance / 2, variance / 2)
    expected[0], expected[-1] = (stats.skellam.cdf(values[0], variance / 2, variance / 2),) * 2
    assert stats.chisquare(counts, expected / expected.sum() * drawn.size).pvalue > 1e-6


def test_draws_are_of_the_seed_and_of_nothing_else():
  np.testing.assert_array_equal(_draw(3.0, 1), _draw(3.0, 1))
  assert np.mean(_draw(3.0, 1) == _draw(3.0, 2)) < 0.5
  assert not np.any(_draw(0.0, 1))


def test_sums_over_clients_are_those_of_one():
  together = np.sum([_draw(2.0, seed) for seed in range(20)], axis=0)
  assert np.var(together) == pytest.approx(40.0, rel=0.06)
  values, counts = np.unique(np.clip(together, -15, 15), return_counts=True)
  expected = stats.skellam.pmf(values, 20, 20)
  expected[0], expected[-1] = (stats.skellam.cdf(-15, 20, 20),) * 2
  assert stats.chisquare(counts, expected / expected.sum() * together.size).pvalue > 1e-6


@pytest.mark.parametrize(('shift', 'multiplier'), [(1, 2.0), (3, 1.0), (8, 1.5)])
def test_epsilon_is_no_less_than_by_the_definition(shift, multiplier):
  # One value, moved by `shift`: the divergence of order a is log(sum p^a q^(1 - a)) / (a - 1).
  variance = (shift * multiplier) ** 2
  reach = int(20 * math.sqrt(variance)) + 10
  values = np.arange(-reach, reach + 1)
  q, p = (np.log(special.ive(np.abs(values - moved), variance)) for moved in (0, shift))  # e^-v I_k(v).
  for delta in (1e-3, 1e-6):
    by_definition = math.inf
    for order in range(2, 60):
      divergence = np.logaddexp.reduce(order * p + (1 - order) * q) / (order - 1)
      spent = divergence + math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
      by_definition = min(by_definition, spent)
    assert accounting.skellam(multiplier, shift, 1, delta) >= by_definition - 1e-9


def test_on_a_fine_grid_it_is_gaussian_noise():
  # By Renyi divergences of Gaussian noise, order a: a / (2 multiplier^2), converted as dp_accounting does it.
  found = accounting.skellam(2.0, 32_767, 4, 1e-5)
  gaussian = min(
    4 * order / 8 + math.log1p(-1 / order) - (math.log(1e-5) + math.log(order)) / (order - 1) for order in range(2, 99)
  )
  assert found == pytest.approx(gaussian, rel=1e-4)
  assert accounting.once(2.0, 2.0, 1e-5) < found


def test_edges():
  assert accounting.skellam(1.0, 10, 0, 1e-5) == 0.0
  assert accounting.skellam(0.0, 10, 1, 1e-5) == math.inf
  assert accounting.skellam(1.0, 10, 2, 1e-5) > accounting.skellam(1.0, 10, 1, 1e-5)
  assert accounting.skellam(1.0, 5, 1, 1e-5) > accounting.skellam(1.0, 50, 1, 1e-5)
