"""Who takes part in a round: a function of the seed and the number of the round, so that a run that is resumed asks the same."""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow_federated as tff

from compression.privacy import plans
from data import population as population_lib

Draw = Callable[[int], Sequence[str]]  # From the number of a round, from 1, to ids.


def draw(
  population: population_lib.Population, clients_per_round: int, seed: int, privacy: plans.PrivacyPlan | None = None
) -> Draw:
  """Returns who takes part, in a private run as its epsilon assumes it; 0 clients a round are all of them."""
  client_ids = population.training_ids
  if privacy is None:
    return uniform(client_ids, population.clients_per_round(clients_per_round), seed)
  if privacy.min_separation is None:
    return poisson(client_ids, privacy.cohort.clients_per_round / privacy.cohort.num_clients, seed)
  return separated(client_ids, privacy.cohort.clients_per_round, privacy.min_separation, seed)


def uniform(client_ids: Sequence[str], clients_per_round: int, seed: int) -> Draw:
  """Draws as many clients in each round, without replacement."""
  sample = tff.simulation.build_uniform_sampling_fn(client_ids, random_seed=seed)
  return lambda round_number: sample(round_number, clients_per_round)


def poisson(client_ids: Sequence[str], probability: float, seed: int) -> Draw:
  """Draws each client by a coin of its own, so that the number of clients varies and may be 0."""

  def draw(round_number: int) -> Sequence[str]:
    taken = np.random.default_rng([seed, round_number]).random(len(client_ids)) < probability
    return [client_id for client_id, is_taken in zip(client_ids, taken, strict=True) if is_taken]

  return draw


def separated(client_ids: Sequence[str], clients_per_round: int, separation: int, seed: int) -> Draw:
  """Draws as many clients in each round, uniformly among those that none of the `separation` - 1 rounds before had."""
  drawn: list[list[int]] = []  # Indices by round, each of which depends on those before.

  def draw(round_number: int) -> Sequence[str]:
    while len(drawn) < round_number:
      rested = np.ones(len(client_ids), bool)
      for indices in drawn[max(0, len(drawn) - separation + 1) :]:
        rested[indices] = False
      rng = np.random.default_rng([seed, len(drawn) + 1])
      drawn.append(sorted(rng.choice(np.flatnonzero(rested), clients_per_round, replace=False).tolist()))
    return [client_ids[index] for index in drawn[round_number - 1]]

  return draw
