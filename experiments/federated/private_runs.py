"""A private run: its noise, planned for the clients that there are, and the rounds that a budget of epsilon allows."""

import dataclasses
import hashlib
import json
import sys

from compression.privacy import plans
from compression.secure_sums import modular
from data import population as population_lib
from experiments.command import failures
from experiments.command import flag_table
from experiments.federated import run
from experiments.results import output

_PLACES = (*output.FREE_TO_CHANGE, flag_table.PLUGIN, 'dataset')  # What may differ where a run continues.


def planned(
  privacy: plans.Privacy,
  population: population_lib.Population,
  config: run.Config,
  epsilon_budget: float | None,
  secure_sum: modular.Modular | None = None,
) -> run.Config:
  """Returns the configuration of a private run, and says on stderr what its rounds come to.

  Args:
    privacy: Its kind.
    population: The clients.
    config: The run as if it were not private.
    epsilon_budget: What the run may come to; None for any epsilon.
    secure_sum: What hides clients' parts in the sum; None if nothing does.

  Returns:
    The configuration, with no more rounds than the budget allows.

  Raises:
    UsageError: If the clients are too few, epsilon cannot be reached, or the budget does not last for a round.
  """
  cohort = plans.Cohort(
    len(population.training_ids),
    population.clients_per_round(config.clients_per_round),
    max(config.rounds, 1),
    secure_sum,
  )
  try:
    plan = privacy.planned(cohort)
  except ValueError as error:
    raise failures.UsageError(f'--privacy: {error}') from error
  plan = dataclasses.replace(plan, noise_seed=noise_seed(population, config, plan))
  rounds = config.rounds
  if epsilon_budget is not None and rounds:
    rounds = min(rounds, _affordable(plan, epsilon_budget))
  print(_said(plan, rounds), file=sys.stderr)
  if config.settings.get('pretrained') not in (None, '', 'none'):
    print('epsilon does not count what the start (--pretrained) was trained on', file=sys.stderr)
  return dataclasses.replace(config, privacy=plan, rounds=rounds)


def noise_seed(population: population_lib.Population, config: run.Config, plan: plans.PrivacyPlan) -> int:
  """Returns a seed that runs share only if nothing that decides their results differs: else one gives away the other's noise."""
  given = {name: value for name, value in config.settings.items() if name not in _PLACES}
  what = [config.seed, given, population.dataset_hash, population.training_ids, plan.facts()]
  return int.from_bytes(hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()[:8]) >> 1


def _affordable(plan: plans.PrivacyPlan, epsilon_budget: float) -> int:
  """Returns how many rounds a budget lasts for; says so if it ends the run early."""
  rounds = plan.rounds_within(epsilon_budget)
  if not rounds:
    raise failures.UsageError(
      f'--epsilon_budget={epsilon_budget:g} does not last for a round, which comes to {plan.epsilon_after(1):.3g}: raise '
      'it, or the noise'
    )
  if rounds < plan.cohort.rounds:
    print(
      f'--epsilon_budget={epsilon_budget:g} ends the run after {rounds} of {plan.cohort.rounds} rounds', file=sys.stderr
    )
  return rounds


def _said(plan: plans.PrivacyPlan, rounds: int) -> str:
  return (
    f'private: epsilon {plan.epsilon_after(rounds):.3g} at delta {plan.delta:.2g} after round {rounds} '
    f'({plan.privacy.neighbours}); noise multiplier {plan.noise_multiplier:g}; clients drawn {plan.privacy.sampling}'
  )
