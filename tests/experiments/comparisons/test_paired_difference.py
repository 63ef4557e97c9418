"""The paired bootstrap: against loops, against arithmetic, and how often it is wrong on draws of which the truth is known."""

import math

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
from scipy import stats

from experiments.comparisons import paired_difference


def _by_loops(extra, weights, num_resamples=4000):
  """Returns mean, interval and p-value of one setting, unit by unit, with other random numbers."""
  draw, n, found = np.random.RandomState(7), len(weights), []
  for _ in range(num_resamples):
    places = [draw.randint(n) for _ in range(n)]
    found.append(math.fsum(extra[i] for i in places) / math.fsum(weights[i] for i in places))
  found.sort()
  # The normal quantile that stands where Student's would, of standard deviations with n - 1 in place of n.
  tail = stats.norm.cdf(stats.t.ppf(0.025, n - 1) / math.sqrt((n - 1) / n))
  low, high = found[round(tail * num_resamples)], found[round((1 - tail) * num_resamples) - 1]
  beyond = min(sum(value <= 0 for value in found), sum(value >= 0 for value in found)) / num_resamples
  p_value = 2 * stats.t.cdf(stats.norm.ppf(min(beyond, 0.5)) * math.sqrt((n - 1) / n), n - 1)
  return math.fsum(extra) / math.fsum(weights), low, high, p_value


@pytest.mark.parametrize('num_units', [8, 40])
def test_agrees_with_loops(num_units):
  draw = np.random.default_rng(num_units)
  weights = np.exp(draw.normal(size=num_units))
  extra = (draw.normal(size=num_units) + 0.1) * weights
  (found,) = paired_difference.differences(extra[:, np.newaxis], weights)
  mean, low, high, p_value = _by_loops(extra, weights)
  assert found.mean == pytest.approx(mean)
  error = (high - low) / 15  # Of quantiles of 4,000 and 10,000 resamples.
  assert found.low == pytest.approx(low, abs=error) and found.high == pytest.approx(high, abs=error)
  assert found.p_value == pytest.approx(p_value, rel=0.25)


def test_many_units_come_to_the_normal_distribution():
  # 900 examples, of which one setting gets 60 right that the other gets wrong, and the reverse for 30: the mean is
  # 30 / 900; its variance (90 / 900 - (1 / 30)^2) / 900 = 1.0988e-4, its standard error 0.010482.
  extra = np.repeat([1.0, -1.0, 0.0], [60, 30, 810])
  (found,) = paired_difference.differences(extra[:, np.newaxis], np.ones(900))
  assert found.mean == pytest.approx(1 / 30)
  assert found.low == pytest.approx(1 / 30 - 1.96 * 0.010482, abs=0.0015)
  assert found.high == pytest.approx(1 / 30 + 1.96 * 0.010482, abs=0.0015)
  exact = stats.binomtest(60, 90).pvalue  # McNemar's test: 0.0021.
  assert exact / 2 < found.p_value < 2 * exact


@pytest.mark.parametrize('kind', ['ten clients', 'a hundred unequal clients', 'four hundred examples'])
def test_of_draws_without_a_difference_one_in_twenty_is_below_five_percent(kind):
  draw = np.random.default_rng(3)
  weights, extra = {
    'ten clients': lambda: (np.ones(10), draw.normal(size=[10, 200])),
    'a hundred unequal clients': lambda: (
      (sizes := np.exp(draw.normal(size=100))),
      draw.normal(size=[100, 200]) * sizes[:, np.newaxis],
    ),
    'four hundred examples': lambda: (np.ones(400), draw.choice([-1.0, 0.0, 1.0], [400, 200], p=[0.1, 0.8, 0.1])),
  }[kind]()
  found = paired_difference.differences(extra, weights)
  num_below = sum(each.p_value < 0.05 for each in found)
  # Binomial of 200 draws with p = 0.05: 3 to 18 hold 99.5 %.
  assert 3 <= num_below <= 18
  assert abs(sum(not each.low <= 0 <= each.high for each in found) - num_below) <= 1


def test_a_planted_difference_is_found_though_clients_differ_more_than_settings():
  draw = np.random.default_rng(0)
  tokens = draw.integers(50, 500, 100).astype(np.float64)
  level = draw.normal(5.0, 1.0, 100)  # Nats a token of each client, the same for both settings.
  losses = [tokens * (level + extra + draw.normal(0.0, 0.05, 100)) for extra in (0.0, 0.03)]
  (found,) = paired_difference.differences((losses[1] - losses[0])[:, np.newaxis], tokens)
  assert 0.0 < found.low < 0.03 < found.high < 0.06
  assert found.p_value < 0.01


def test_equal_settings_do_not_differ():
  (found,) = paired_difference.differences(np.zeros([5, 1]), np.ones(5))
  assert found == (0.0, 0.0, 0.0, 1.0)


def test_two_units_never_suffice_and_one_is_refused():
  (found,) = paired_difference.differences(np.ones([2, 1]), np.ones(2))
  assert found.p_value > 0.05
  with pytest.raises(ValueError, match='a single unit'):
    paired_difference.differences(np.ones([1, 1]), np.ones(1))


def test_many_units_are_drawn_in_parts(monkeypatch):
  draw = np.random.default_rng(0)
  extra, weights = draw.normal(size=[30, 2]), np.exp(draw.normal(size=30))
  whole = paired_difference.differences(extra, weights)
  monkeypatch.setattr(paired_difference, '_DRAWS_AT_ONCE', 30 * 999)
  np.testing.assert_allclose(paired_difference.differences(extra, weights), whole, rtol=1e-12)


@hypothesis.given(
  strategies.lists(strategies.tuples(strategies.floats(-5, 5), strategies.floats(0.1, 5)), min_size=3, max_size=12)
)
@hypothesis.settings(max_examples=15, deadline=None)
def test_order_of_settings_changes_signs_only_and_neighbours_nothing(units):
  extra, weights = np.array(units).T
  alone, reverse = (paired_difference.differences(sign * extra[:, np.newaxis], weights)[0] for sign in (1.0, -1.0))
  assert reverse.p_value == pytest.approx(alone.p_value)
  assert (-reverse.high, -reverse.mean, -reverse.low) == pytest.approx((alone.low, alone.mean, alone.high), abs=1e-9)
  beside = paired_difference.differences(np.column_stack([np.ones_like(extra), extra]), weights)[1]
  np.testing.assert_allclose(beside, alone, rtol=1e-9, atol=1e-12)
  assert alone.low <= alone.high and 0 < alone.p_value <= 1
