"""Audits: honest noise keeps its claim, broken noise is caught, and the bound itself is one in nineteen cases of twenty."""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses

import numpy as np
import pytest
from scipy import special
from scipy import stats

from compression import update_codec
from compression.privacy import auditing
from compression.privacy import kinds
from compression.privacy import plans
from experiments.command import codec_specs
from experiments.workers import in_process

_CANARIES = 400
_DELTA = 1e-5


@pytest.fixture(autouse=True)
def _context() -> Iterator[None]:
  with in_process.in_process():
    yield


def _everyone(round_number: int) -> Iterable[int]:
  del round_number
  return range(_CANARIES)


def _quarter(round_number: int) -> Iterable[int]:
  return range((round_number - 1) % 4, _CANARIES, 4)


def _plan(kind: type[plans.Privacy], multiplier: float, clients_per_round: int, rounds: int) -> plans.PrivacyPlan:
  privacy = kind(clip=0.5, noise_multiplier=multiplier, delta=_DELTA)
  return privacy.planned(plans.Cohort(_CANARIES, clients_per_round, rounds))


def _audit(
  plan: plans.PrivacyPlan, draw: auditing.Draw = _everyone, codec: str = 'identity', noise: float = 1.0
) -> auditing.Audit:
  mechanism = plan.mechanism(seed=5)
  mechanism = dataclasses.replace(mechanism, noise_multiplier=noise * mechanism.noise_multiplier)
  return auditing.audit(plan, codec_specs.build(codec), draw, _CANARIES, _CANARIES, seed=5, mechanism=mechanism)


# Clients of a round, rounds and who comes, of each kind. Noise is twice the sensitivity: epsilon is about 2.
_SETTINGS = {
  'gaussian': (kinds.Gaussian, 2.0, _CANARIES, 1, _everyone),
  'adaptive_clip': (kinds.AdaptiveClip, 2.8, _CANARIES, 2, _everyone),
  'tree': (kinds.Tree, 3.5, _CANARIES // 4, 4, _quarter),
  'blt': (kinds.Blt, 2.4, _CANARIES // 4, 4, _quarter),
}


@pytest.mark.parametrize('name', _SETTINGS)
def test_honest_noise_keeps_its_claim(name: str):
  kind, multiplier, cohort, rounds, draw = _SETTINGS[name]
  found = _audit(_plan(kind, multiplier, cohort, rounds), draw, 'uniform(bits=8)')
  assert (found.canaries, found.guesses, found.delta) == (400, 200, _DELTA)
  assert 1.5 < found.claimed < 2.5
  assert found.guesses / 2 < found.right
  assert found.holds


@pytest.mark.parametrize('name', _SETTINGS)
def test_noise_of_a_tenth_is_caught(name: str):
  kind, multiplier, cohort, rounds, draw = _SETTINGS[name]
  found = _audit(_plan(kind, multiplier, cohort, rounds), draw, 'uniform(bits=8)', noise=0.1)
  assert found.right > 0.98 * found.guesses
  assert found.lower_bound > found.claimed
  assert not found.holds


def test_clients_that_come_more_often_than_claimed_are_caught():
  found = _audit(_plan(kinds.Gaussian, 1.5, _CANARIES // 20, 8))
  assert found.claimed < 1.2
  assert not found.holds


def test_hardly_any_noise_gives_almost_all_away():
  found = _audit(_plan(kinds.Gaussian, 1e-3, _CANARIES, 1))
  assert found.right == found.guesses
  assert 2.0 < found.lower_bound == found.most < found.claimed


def test_clients_that_are_no_canaries_and_empty_rounds_take_part():
  plan = _plan(kinds.Gaussian, 1e-3, _CANARIES, 3)
  draws = {1: range(_CANARIES), 2: (), 3: range(_CANARIES // 2, _CANARIES)}
  found = auditing.audit(plan, update_codec.UpdateCodec(), draws.__getitem__, _CANARIES // 2, _CANARIES, seed=5)
  assert (found.canaries, found.guesses) == (200, 100)
  assert found.right == 100


def test_canaries_that_never_come_are_guessed_by_chance():
  found = _audit(_plan(kinds.Tree, 3.5, _CANARIES // 4, 4), lambda round_number: ())
  assert 70 < found.right < 130  # Of 200: four standard deviations.
  assert found.lower_bound < 0.3


def test_fewer_dimensions_than_canaries_overlap():
  plan = _plan(kinds.Gaussian, 1e-3, _CANARIES, 1)
  found = auditing.audit(plan, update_codec.UpdateCodec(), _everyone, _CANARIES, _CANARIES // 2, seed=5)
  assert found.guesses / 2 < found.right < found.guesses


def test_the_bound_is_that_of_the_paper():
  # Appendix D: 75 right of 100 guesses among 1,000 canaries prove an epsilon of 0.673 at a delta of 1e-4.
  assert auditing.lower_bound(75, 100, 1000, 1e-4) == pytest.approx(0.673, abs=5e-4)
  # All of 10 with delta 0: accuracy^10 = 0.05, so accuracy = 0.741134, and epsilon = log(0.741134 / 0.258866) = 1.05187.
  assert auditing.lower_bound(10, 10, 10, 0.0) == pytest.approx(1.05187, abs=1e-5)
  assert auditing.lower_bound(50, 100, 100, 0.0) == 0.0
  assert auditing.lower_bound(0, 0, 4, 1e-5) == 0.0
  assert auditing.lower_bound(100, 100, 100, 0.1) == 0.0


@pytest.mark.parametrize('epsilon', [0.0, 0.5, 2.0])
@pytest.mark.parametrize('delta', [0.0, 1e-4, 1e-3])
def test_one_audit_of_twenty_at_most_finds_too_much(epsilon: float, delta: float):
  # A coin that is told truly with probability delta, and else by randomized response, is (epsilon, delta)-private.
  guesses, accuracy = 200, delta + (1.0 - delta) * special.expit(epsilon)
  bounds = np.array([auditing.lower_bound(right, guesses, 400, delta) for right in range(guesses + 1)])
  assert np.sum(stats.binom.pmf(np.flatnonzero(bounds > epsilon), guesses, accuracy)) <= 0.05
  assert np.all(np.diff(bounds) >= 0.0)
  if not delta:  # Nor is it ever much too careful: what is right in one case of a hundred, too, finds too much.
    assert bounds[int(stats.binom.isf(0.01, guesses, accuracy)) + 1] > epsilon


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    (dict(canaries=3), 'canaries must be a whole number from 4 to 400, not 3'),
    (dict(canaries=401), 'canaries must be a whole number from 4 to 400, not 401'),
    (dict(dimensions=0), 'dimensions must be a whole number of at least 1, not 0'),
  ],
)
def test_refuses_what_cannot_be_audited(changed: dict[str, int], message: str):
  given = dict(canaries=4, dimensions=4, seed=0) | changed
  with pytest.raises(ValueError, match=message):
    auditing.audit(_plan(kinds.Gaussian, 1.0, 4, 1), update_codec.UpdateCodec(), _everyone, **given)
