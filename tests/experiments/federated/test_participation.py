"""Who takes part: any round can be asked for alone, and clients come as epsilon assumes."""

import collections

import numpy as np
from scipy import stats

from experiments.federated import participation

_IDS = [f'client {index:03}' for index in range(100)]


def test_coins_are_of_one_probability_and_independent():
  draw = participation.poisson(_IDS, 0.1, seed=3)
  rounds = [draw(number) for number in range(1, 401)]
  times = collections.Counter(client for drawn in rounds for client in drawn)
  counts = np.array([times[client] for client in _IDS])
  # 400 coins of 0.1 each: mean 40, variance 36. Sizes of rounds: mean 10, variance 9. Chi-square at 1e-6 on either side.
  for values, mean, variance in ((counts, 40.0, 36.0), (np.array([len(drawn) for drawn in rounds]), 10.0, 9.0)):
    square = np.sum((values - mean) ** 2) / variance
    assert stats.chi2.ppf(1e-6, len(values)) < square < stats.chi2.ppf(1 - 1e-6, len(values))
  assert draw(7) == rounds[6]
  assert participation.poisson(_IDS, 0.1, seed=4)(7) != rounds[6]


def test_all_take_part_with_certainty():
  assert participation.poisson(_IDS, 1.0, seed=0)(1) == _IDS


def test_clients_rest_between_their_rounds():
  draw = participation.separated(_IDS, 10, separation=7, seed=3)
  rounds = [draw(number) for number in range(1, 61)]
  assert all(len(set(drawn)) == 10 for drawn in rounds)
  for number, drawn in enumerate(rounds):
    for before in rounds[max(0, number - 6) : number]:
      assert not set(drawn) & set(before)
  assert any(set(rounds[number]) & set(rounds[number - 7]) for number in range(7, 60))
  assert participation.separated(_IDS, 10, separation=7, seed=3)(37) == rounds[36]


def test_as_many_rest_as_can():
  draw = participation.separated(_IDS, 10, separation=10, seed=1)
  rounds = [draw(number) for number in range(1, 31)]
  assert [rounds[number + 10] for number in range(20)] == rounds[:20]
