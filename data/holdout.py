"""Chooses the held-out and the validation clients of a data set that does not name any."""

from collections.abc import Iterable

import numpy as np

from data import client_key

_VALIDATION_ONE_IN = 10


def choose(clients: Iterable[str], one_in: int = 10) -> set[str]:
  """Returns one in ten (or so many) of the clients, at least one of two or more, by a hash of their names."""
  ranked = _ranked(clients)
  if len(ranked) < 2:
    return set()
  return set(ranked[: max(1, len(ranked) // one_in)])


def choose_validation(training_clients: Iterable[str]) -> set[str]:
  """Returns one in ten of the training clients, by a hash of their names; none of fewer than ten."""
  ranked = _ranked(training_clients)
  return set(ranked[: len(ranked) // _VALIDATION_ONE_IN])


def choose_validation_examples(num_examples: int) -> np.ndarray:
  """Returns the ascending numbers of one in ten of the training examples, drawn at random, always the same; int64 [n // 10]."""
  return np.sort(np.random.default_rng(0).permutation(num_examples)[: num_examples // _VALIDATION_ONE_IN])


def _ranked(clients: Iterable[str]) -> list[str]:
  return sorted(set(clients), key=lambda name: client_key.derive(name).client_id)
