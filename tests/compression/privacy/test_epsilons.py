"""Epsilon: published and printed numbers, another accountant and another formula, and what holds of all of them."""

from collections.abc import Callable
import math

import dp_accounting
import hypothesis
from hypothesis import strategies
import pytest
from scipy import integrate
from scipy import stats

from compression.privacy import accounting
from compression.privacy import planning
from compression.privacy import tree_noise

_QUICK = hypothesis.settings(max_examples=4)


def _delta_by_integration(noise_multiplier: float, q: float, epsilon: float) -> float:
  """Returns delta of one round with a client of probability q, removed or added: what the definition says."""

  def hockey_stick(x: float, removed: bool) -> float:
    without = stats.norm.pdf(x, 0, noise_multiplier)
    joined = (1 - q) * without + q * stats.norm.pdf(x, 1, noise_multiplier)
    first, second = (joined, without) if removed else (without, joined)
    return max(first - math.exp(epsilon) * second, 0.0)

  reach = 12 * noise_multiplier + 1
  return max(
    integrate.quad(hockey_stick, -reach, reach, (removed,), limit=400, points=[0.0, 1.0], epsabs=1e-13)[0]
    for removed in (False, True)
  )


def _epsilon_by_gaussian_formula(shift: float, delta: float) -> float:
  """Returns epsilon of Balle and Wang 2018, theorem 8, by normal probabilities and bisection."""

  def spent(epsilon: float) -> float:
    below = stats.norm.cdf(-shift / 2 - epsilon / shift)
    return stats.norm.cdf(shift / 2 - epsilon / shift) - math.exp(epsilon) * below

  low, high = 0.0, 500.0
  for _ in range(80):
    middle = (low + high) / 2
    low, high = (middle, high) if spent(middle) > delta else (low, middle)
  return high


def test_poisson_sampling_gives_the_printed_number():
  # By dp_accounting 0.4.3 on its own grid of 1e-4: 1.70747.
  assert accounting.poisson(1.2, 120 / 3383, 100, 1e-5) == pytest.approx(1.70747, abs=2e-5)


@pytest.mark.parametrize(('noise_multiplier', 'q'), [(1.2, 0.0355), (0.6, 0.3), (1.0, 0.001)])
def test_one_round_keeps_the_definition(noise_multiplier: float, q: float):
  for delta in (1e-3 * q, 1e-5 * q):
    epsilon = accounting.poisson(noise_multiplier, q, 1, delta)
    assert _delta_by_integration(noise_multiplier, q, epsilon) <= delta * 1.0001
    assert _delta_by_integration(noise_multiplier, q, epsilon * 0.999) > delta


def test_fine_losses_are_no_looser_than_the_usual_grid():
  # At a probability of 1e-4 the grid of 1e-4 of dp_accounting is as coarse as the losses: it prints 0.02167, at 1e-5 0.02080.
  assert 0.0207 < accounting.poisson(1.0, 1e-4, 2000, 1e-6) < 0.0209


@pytest.mark.parametrize(
  ('noise_multiplier', 'rounds', 'delta'), [(6.0, 100, 1e-5), (30.0, 2000, 1e-10), (1.0, 1, 0.01)]
)
def test_rounds_without_sampling_are_one_with_less_noise(noise_multiplier: float, rounds: int, delta: float):
  found = accounting.poisson(noise_multiplier, 1.0, rounds, delta)
  assert found == pytest.approx(_epsilon_by_gaussian_formula(math.sqrt(rounds) / noise_multiplier, delta), rel=1e-6)
  accountant = dp_accounting.pld.PLDAccountant()
  accountant.compose(dp_accounting.GaussianDpEvent(noise_multiplier), rounds)
  assert found == pytest.approx(accountant.get_epsilon(delta), rel=1e-4)
  assert accounting.once(noise_multiplier, math.sqrt(rounds), delta) == found


def test_no_amplification_is_less_than_renyi_divergences_say():
  found = accounting.poisson(1.2, 1.0, 100, 1e-5)
  assert found == pytest.approx(_epsilon_by_gaussian_formula(10 / 1.2, 1e-5), rel=1e-6)
  assert found == pytest.approx(69.457, abs=1e-3)  # Renyi divergences say 72.98.


def test_replacing_a_client_moves_a_sum_twice_as_far():
  # The number that is printed for 120 of 3,383 and an event of 1.2, the ratio to how far a replacement moves the sum.
  assert accounting.without_replacement(2.4, 120, 3383, 100, 1e-5) == pytest.approx(3.5555, abs=1e-4)
  assert accounting.without_replacement(1.2, 120, 3383, 100, 1e-5) == pytest.approx(14.094, abs=1e-3)
  whole = accounting.without_replacement(2.4, 50, 50, 100, 1e-5)
  assert whole == accounting.once(1.2, 10.0, 1e-5) == pytest.approx(accounting.once(2.4, 20.0, 1e-5))


def test_a_multiplier_is_found():
  def epsilon_of(noise_multiplier: float) -> float:
    return accounting.poisson(noise_multiplier, 0.01, 1000, 1e-6)

  found = accounting.noise_multiplier_for(2.0, 1e-6, epsilon_of)
  assert 1.0 < found <= 1.094  # The latter is by Renyi divergences.
  assert epsilon_of(found) <= 2.0 < epsilon_of(found * 0.999)


@pytest.mark.parametrize('wanted', [0.03, 0.7, 12.0, 900.0])
def test_a_multiplier_of_one_release_is_the_least_in_four_digits(wanted: float):
  found = accounting.noise_multiplier_for(wanted, 1e-6, lambda z: accounting.once(z, 3.0, 1e-6))
  assert found == float(f'{found:.4g}')
  assert accounting.once(found, 3.0, 1e-6) <= wanted < accounting.once(found * 0.9985, 3.0, 1e-6)


def test_a_multiplier_has_bounds():
  with pytest.raises(ValueError, match=r'no noise multiplier up to 10,000 keeps epsilon at 1e-06 .* allow a larger'):
    accounting.noise_multiplier_for(1e-6, 1e-9, lambda z: accounting.once(z, 1.0, 1e-9))
  with pytest.raises(ValueError, match='epsilon must be a positive number, not 0'):
    accounting.noise_multiplier_for(0.0, 1e-9, lambda z: 1.0 / z)
  assert 0.001 <= accounting.noise_multiplier_for(1e9, 1e-9, lambda z: 1.0 / z) < 0.002


def test_a_published_tree():
  """Gboard's Spanish model, of 2,000 rounds and at most 6 participations 313 rounds apart: 8.90 by Renyi divergences."""
  squared = tree_noise.TreeNoise(2000).sensitivity(2000, 313, 6) ** 2
  assert squared == pytest.approx(79.0)
  accountant = dp_accounting.rdp.RdpAccountant()
  accountant.compose(dp_accounting.GaussianDpEvent(7.0 / math.sqrt(squared)))
  assert accountant.get_epsilon(1e-10) == pytest.approx(8.90, abs=0.005)
  assert accounting.once(7.0, math.sqrt(squared), 1e-10) == pytest.approx(8.5261, abs=1e-4)  # The same, exactly.
  assert accounting.rho(7.0, math.sqrt(squared)) == pytest.approx(79 / 98)


def test_nothing_spends_nothing_and_no_noise_spends_all():
  assert accounting.poisson(1.0, 0.1, 0, 1e-6) == accounting.without_replacement(1.0, 1, 10, 0, 1e-6) == 0.0
  assert accounting.once(1.0, 0.0, 1e-6) == accounting.once(0.0, 0.0, 1e-6) == accounting.rho(0.0, 0.0) == 0.0
  assert (
    accounting.poisson(0.0, 0.1, 1, 1e-6) == accounting.once(0.0, 1.0, 1e-6) == accounting.rho(0.0, 1.0) == math.inf
  )
  assert accounting.once(100.0, 1.0, 0.1) == 0.0


def test_default_delta_is_less_than_one_client():
  assert accounting.default_delta(1_000_000) == pytest.approx(10**-6.6)
  assert accounting.default_delta(10) < 1 / 10


@pytest.mark.parametrize(
  ('call', 'words'),
  [
    (lambda: accounting.poisson(1.0, 1.5, 1, 1e-6), r'sampling_probability must lie in \(0, 1\], not 1.5'),
    (lambda: accounting.poisson(-1.0, 0.5, 1, 1e-6), 'noise_multiplier must be 0 or a positive number'),
    (lambda: accounting.poisson(1.0, 0.5, -1, 1e-6), 'rounds must be a whole number of at least 0'),
    (
      lambda: accounting.without_replacement(1.0, 11, 10, 1, 1e-6),
      'clients_per_round must be a whole number from 1 to 10',
    ),
    (lambda: accounting.once(1.0, 1.0, 0.0), r'delta must lie in \(0, 1\), not 0'),
  ],
)
def test_wrong_arguments_are_refused(call: Callable[[], float], words: str):
  with pytest.raises(ValueError, match=words):
    call()


def test_epsilon_never_falls_and_does_not_depend_on_what_was_asked_before():
  asked = [accounting.poisson(1.0, 0.02, rounds, 1e-6) for rounds in (*range(1, 30), 100, 500, 2000)]
  assert asked == sorted(asked)
  assert accounting.poisson(1.0, 0.02, 7, 1e-6) == asked[6]


@_QUICK
@hypothesis.given(
  strategies.floats(0.3, 20.0), strategies.floats(1e-4, 0.5), strategies.integers(1, 500), strategies.floats(1e-9, 1e-2)
)
def test_epsilon_of_sampling_is_monotonous(noise_multiplier: float, q: float, rounds: int, delta: float):
  epsilon = accounting.poisson(noise_multiplier, q, rounds, delta)
  slack = 1e-4 * epsilon + 1e-9
  assert accounting.poisson(noise_multiplier * 1.1, q, rounds, delta) <= epsilon + slack
  assert accounting.poisson(noise_multiplier, q, rounds + 1, delta) >= epsilon
  assert accounting.poisson(noise_multiplier, q * 1.1, rounds, delta) >= epsilon - slack
  assert epsilon <= accounting.poisson(noise_multiplier, 1.0, rounds, delta)


@hypothesis.given(strategies.floats(1e-3, 1e3), strategies.floats(1e-2, 1e2), strategies.floats(1e-12, 0.3))
def test_one_release_is_exact_and_monotonous(noise_multiplier: float, sensitivity: float, delta: float):
  epsilon = accounting.once(noise_multiplier, sensitivity, delta)
  assert accounting.once(noise_multiplier * 1.01, sensitivity, delta) <= epsilon
  assert accounting.once(noise_multiplier, sensitivity, delta * 0.9) >= epsilon
  rho = accounting.rho(noise_multiplier, sensitivity)
  assert epsilon <= rho + 2 * math.sqrt(rho * -math.log(delta))


@hypothesis.given(strategies.floats(1e-12, 1e12))
def test_rounding_goes_up_and_no_further_than_it_must(value: float):
  rounded = accounting.rounded_up(value)
  assert value <= rounded <= value * 1.0011
  assert accounting.rounded_up(rounded) == rounded == float(f'{rounded:.4g}')


def _setting(mechanism: str, **changed: float) -> planning.Setting:
  fields = dict(num_clients=100, clients_per_round=10, rounds=30, noise_multiplier=2.0, delta=1e-5)
  return planning.Setting(mechanism, **{**fields, **changed})


@pytest.mark.parametrize('mechanism', planning.MECHANISMS)
def test_what_is_found_keeps_epsilon_and_its_neighbour_does_not(mechanism: str):
  epsilon = planning.solve('epsilon', _setting(mechanism))[1] * 1.01
  for unknown, step in {'rounds': 6, 'clients_per_round': 2, 'noise_multiplier': -0.002, 'delta': -1e-8}.items():
    setting, spent = planning.solve(unknown, _setting(mechanism, **{unknown: None}), epsilon)
    assert spent == setting.epsilon() <= epsilon, unknown
    found = getattr(setting, unknown)
    assert _setting(mechanism, **{unknown: found + step}).epsilon() > epsilon, unknown


def test_a_modelled_round_has_the_same_noise_in_its_mean():
  setting = _setting('gaussian')
  modelled = setting.modelled(30)
  assert modelled.multiplier_of_mean == pytest.approx(setting.multiplier_of_mean)
  assert modelled.epsilon() == pytest.approx(accounting.poisson(6.0, 0.3, 30, 1e-5))
  assert setting.noise_after_all == pytest.approx(2.0 / 10 * math.sqrt(30))


def test_clients_who_take_turns():
  setting = _setting('tree', clients_per_round=3, rounds=60)
  assert (setting.plan.min_separation, setting.most_participations) == (33, 2)
  assert setting.epsilon() == accounting.once(2.0, tree_noise.TreeNoise(60).sensitivity(60, 33, 2), 1e-5)
  assert setting.epsilon(10) < setting.epsilon(30) < setting.epsilon()
  # 59 rounds are 111011 in binary: five nodes, the most there are, of variances that only decrease from 1 towards 1/2.
  assert 2.0 / 3 * math.sqrt(2.5) < setting.noise_after_all < 2.0 / 3 * math.sqrt(3.7)
