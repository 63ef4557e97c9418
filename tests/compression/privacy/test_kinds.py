"""Kinds of privacy: what a run's rounds come to, and which clients they need."""

import math

import pytest

from compression.privacy import accounting
from compression.privacy import catalog
from compression.privacy import distributed
from compression.privacy import kinds
from compression.privacy import plans
from compression.secure_sums import modular

_COHORT = plans.Cohort(num_clients=100, clients_per_round=10, rounds=30, secure_sum=modular.Modular(bits=12))
_ALL = [build for name, build in catalog.PRIVACIES.items() if name != 'none']


def _planned(build, cohort=_COHORT, **given) -> plans.PrivacyPlan:
  more = dict(count_stddev=100.0) if build is kinds.AdaptiveClip else {}
  return build(**dict(clip=1.0) | more | given).planned(cohort)


@pytest.mark.parametrize('build', _ALL)
def test_epsilon_grows_with_rounds_and_falls_with_noise(build):
  plan, louder = (_planned(build, noise_multiplier=multiplier) for multiplier in (2.0, 4.0))
  after = [plan.epsilon_after(rounds) for rounds in (0, 1, 10, 11, 30)]
  assert after[0] == 0.0
  assert after == sorted(after)
  assert 0.0 < louder.epsilon_after(30) < plan.epsilon_after(30) < math.inf


@pytest.mark.parametrize('build', _ALL)
def test_noise_is_found_for_an_epsilon(build):
  plan = _planned(build, epsilon=3.0, delta=1e-4)
  assert 2.9 < plan.epsilon_after(30) <= 3.0
  assert plan.delta == 1e-4
  assert plan.facts()['noise_multiplier'] == plan.noise_multiplier


@pytest.mark.parametrize('build', _ALL)
def test_budget_lasts_as_long_as_no_round_more_fits(build):
  plan = _planned(build, noise_multiplier=2.0)
  rounds = plan.rounds_within(plan.epsilon_after(12))
  assert rounds >= 12
  assert plan.epsilon_after(rounds) <= plan.epsilon_after(12)
  assert rounds == 30 or plan.epsilon_after(rounds + 1) > plan.epsilon_after(12)
  assert plan.rounds_within(1e-9) == 0
  assert plan.rounds_within(1e9) == 30


def test_gaussian_is_that_of_poisson_sampling():
  plan = _planned(kinds.Gaussian, noise_multiplier=1.5, delta=1e-5)
  assert plan.epsilon_after(7) == accounting.poisson(1.5, 0.1, 7, 1e-5)
  assert plan.min_separation is None


def test_adaptive_clip_shares_its_noise_between_updates_and_the_count():
  # count_stddev 1, so (1.2^-2 - (2 * 1)^-2)^(-1/2) = (0.694444 - 0.25)^(-1/2) = 0.444444^(-1/2) = 1.5.
  plan = _planned(kinds.AdaptiveClip, noise_multiplier=1.2, count_stddev=1.0)
  mechanism = plan.mechanism(seed=0)
  assert mechanism.noise_multiplier == pytest.approx(1.5)
  assert mechanism.quantile.count_stddev == 1.0
  with pytest.raises(ValueError, match=r'needs count_stddev above 1, and it is 1: raise it, or the clients of a round'):
    _planned(kinds.AdaptiveClip, noise_multiplier=2.0, count_stddev=1.0)
  # A twentieth of 10 clients by default.
  assert kinds.AdaptiveClip(noise_multiplier=0.5).planned(_COHORT).mechanism(0).quantile.count_stddev == 0.5


@pytest.mark.parametrize('build', [kinds.Tree, kinds.Blt])
def test_correlated_noise_needs_clients_that_rest(build):
  plan = _planned(build, noise_multiplier=2.0)
  assert plan.min_separation == 10  # 100 clients, 10 a round.
  assert plan.told(30)['most_participations'] == 3
  assert plan.facts()['rounds'] == 30
  assert _planned(build, noise_multiplier=2.0, separation=5).told(30)['most_participations'] == 6
  with pytest.raises(ValueError, match=r'separation=11 needs 110 clients or more, and there are 100'):
    _planned(build, noise_multiplier=2.0, separation=11)


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (dict(clip=1.0), 'give noise_multiplier or epsilon'),
    (dict(clip=1.0, noise_multiplier=1.0, epsilon=1.0), 'give noise_multiplier or epsilon, and not both'),
    (dict(clip=0.0, noise_multiplier=1.0), r'clip must lie in \[1e-9, 1e9\], not 0'),
    (dict(clip=1.0, noise_multiplier=0.0), 'noise_multiplier must be a positive number, not 0'),
    (dict(clip=1.0, epsilon=-1.0), 'epsilon must be a positive number, not -1'),
    (dict(clip=1.0, epsilon=1.0, delta=1.0), r'delta must lie in \(0, 1\), not 1'),
  ],
)
def test_refuses(given, message):
  with pytest.raises(ValueError, match=message):
    kinds.Gaussian(**given)


def test_few_clients_need_a_delta():
  with pytest.raises(ValueError, match=r'of 20 clients delta would be 0.037: give one, such as delta=1e-5'):
    kinds.Gaussian(clip=1.0, noise_multiplier=1.0).planned(plans.Cohort(20, 1, 1))
  kinds.Gaussian(clip=1.0, noise_multiplier=1.0, delta=1e-5).planned(plans.Cohort(20, 1, 1))


@pytest.mark.parametrize(
  ('build', 'given'),
  [
    (kinds.Gaussian, dict(clip=1.0, noise_multiplier=1e-45)),
    (kinds.AdaptiveClip, dict(clip=1.0, noise_multiplier=1e-300)),
    (kinds.Blt, dict(clip=1.0, noise_multiplier=1e39)),
    (kinds.Blt, dict(clip=1e39, noise_multiplier=1.0)),
    (kinds.Tree, dict(clip=1e-45, noise_multiplier=1.0)),
    (kinds.AdaptiveClip, dict(learning_rate=1e39, noise_multiplier=1.0)),
    (kinds.AdaptiveClip, dict(count_stddev=1e300, noise_multiplier=1.0)),
  ],
)
def test_what_float32_cannot_hold_is_refused(build, given):
  with pytest.raises(ValueError, match='must lie in'):
    build(**given)


def test_distributed_noise_is_enough_if_as_many_answer_as_must():
  # 12 bits: the clip is 2,047 levels. Two thirds of 10 clients are 7: 7 variances of (2 * 2,047)^2 / 7 are (2 * 2,047)^2.
  plan = _planned(distributed.Distributed, noise_multiplier=2.0, delta=1e-5)
  assert 7 * plan.client_variance == pytest.approx((2 * 2047) ** 2)
  assert plan.mechanism(seed=0).noise_multiplier == 0.0
  # 100 clients, 10 a round: each rests 10 rounds, and comes 3 times in 30.
  assert plan.epsilon_after(30) == accounting.skellam(2.0, 2047, 3, 1e-5)
  assert plan.facts()['radius'] == 2047
  coarse = _COHORT._replace(secure_sum=modular.Modular(bits=4))
  coarser = _planned(distributed.Distributed, coarse, noise_multiplier=2.0, delta=1e-5)
  assert coarser.epsilon_after(30) > plan.epsilon_after(30)


def test_distributed_noise_needs_a_secure_sum():
  with pytest.raises(ValueError, match='use it with --secure_sum=modular'):
    _planned(distributed.Distributed, _COHORT._replace(secure_sum=None), noise_multiplier=2.0)
