"""How private is a run, and what does it take?

Question: which epsilon, noise, rounds, clients a round or delta follows from the others? Nothing is trained.

    python -m experiments.privacy --num_clients=3383 --clients_per_round=120 --rounds=100 --noise_multiplier=1.2
    python -m experiments.privacy --num_clients=1000000 --clients_per_round=5000 --rounds=2000 --epsilon=2 --delta=1e-6
    python -m experiments.privacy --mechanism=tree --num_clients=100000 --clients_per_round=400 --rounds=1000 --epsilon=8

Leave one of --epsilon, --noise_multiplier, --rounds, --clients_per_round and --delta out: it is found. Without --delta it is
--num_clients to the power of -1.1, unless it is the only one that is left out. Prints the answer, and a table of epsilon
after parts of the rounds, by who counts as a neighbour and how clients are drawn.
"""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any

from compression.privacy import accounting
from compression.privacy import planning
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.results import markdown_table
from experiments.results import terminal

FLAGS = flag_table.FlagTable('privacy')
FLAGS.integer('num_clients', 0, 'Clients that a round may draw from.', lower_bound=0)
FLAGS.integer('clients_per_round', 0, 'Clients that take part in a round; with gaussian, on average.', lower_bound=0)
FLAGS.integer('rounds', 0, 'Rounds of the run.', lower_bound=0)
FLAGS.float(
  'noise_multiplier', None, 'Standard deviation of the noise on the sum of a round, in units of the bound of a client.'
)
FLAGS.float('epsilon', None, 'What the run may spend, or keeps.')
FLAGS.float('delta', None, 'Probability at which epsilon may fail; by default num_clients to the power of -1.1.')
FLAGS.enum(
  'mechanism',
  'gaussian',
  list(planning.MECHANISMS),
  'gaussian: noise of its own in each round, and clients who join by coins of their own; tree or blt: noise that rounds '
  'share, and clients who take turns.',
)
FLAGS.integer(
  'modelled_noise_cohort',
  0,
  'Also print epsilon were so many clients to take part in a round, with the noise in their mean as it is; 0 for not.',
  lower_bound=0,
)
_COUNTS = ('rounds', 'clients_per_round')  # Flags for which 0 is not to be given.
_PARTS = (0.1, 0.25, 0.5, 1.0)  # Of the rounds.
_ANSWERS = {
  'epsilon': 'Epsilon is {epsilon} with delta {delta}, after {rounds} of {clients} with noise multiplier {noise_multiplier}.',
  'noise_multiplier': 'The noise multiplier must be at least {noise_multiplier} for epsilon {epsilon} with delta {delta}, '
  'after {rounds} of {clients}.',
  'rounds': 'There may be {rounds} of {clients} for epsilon {epsilon} with delta {delta} and noise multiplier '
  '{noise_multiplier}.',
  'clients_per_round': 'A round may have {clients}, after {rounds}, for epsilon {epsilon} with delta {delta} and noise '
  'multiplier {noise_multiplier}, which is the noise on their sum.',
  'delta': 'Delta is {delta} for epsilon {epsilon}, after {rounds} of {clients} with noise multiplier {noise_multiplier}.',
}


def main(given: Mapping[str, Any]) -> None:
  """Prints what follows from the flags."""
  unknown = _unknown(given)
  setting, epsilon = _solved(unknown, given)
  budget = epsilon if unknown == 'epsilon' else given['epsilon']
  terminal.show('\n\n'.join([_answer(unknown, setting, budget), _table(setting, given), _notes(setting)]))


def _unknown(given: Mapping[str, Any]) -> str:
  """Returns the flag whose value is to be found."""
  if not given['num_clients']:
    raise failures.UsageError('--num_clients is missing: say how many clients a round may draw from')
  missing = [name for name in planning.UNKNOWNS if given[name] is None or (name in _COUNTS and not given[name])]
  if len(missing) > 1 and 'delta' in missing:
    missing.remove('delta')
  if not missing:
    raise failures.UsageError(
      f'nothing is left to be found: leave out one of {", ".join(f"--{name}" for name in planning.UNKNOWNS)}'
    )
  if len(missing) > 1:
    raise failures.UsageError(
      f'{" and ".join(f"--{name}" for name in missing)} are missing, and only one can be found: give the '
      f'{"other" if len(missing) == 2 else "others"}'
    )
  return missing[0]


def _solved(unknown: str, given: Mapping[str, Any]) -> tuple[planning.Setting, float]:
  """Returns the setting with what was found, and its epsilon."""
  num_clients, cohort = given['num_clients'], given['clients_per_round']
  for name in ('clients_per_round', 'modelled_noise_cohort'):
    if given[name] > num_clients:
      raise failures.UsageError(
        f'--{name}={given[name]} is more than --num_clients={num_clients}: a round draws from the clients there are'
      )
  delta = accounting.default_delta(num_clients) if given['delta'] is None else given['delta']
  if unknown != 'delta' and not 0 < delta < 1:
    raise failures.UsageError(f'--delta={delta:g} is no probability between 0 and 1: take less than 1 / --num_clients')
  for name in ('epsilon', 'noise_multiplier'):
    if given[name] is not None and not 0 < given[name] < math.inf:
      raise failures.UsageError(f'--{name}={given[name]:g} is no positive number: leave it out to have it found')
  try:
    setting = planning.Setting(
      given['mechanism'], num_clients, cohort, given['rounds'], given['noise_multiplier'], delta
    )
    return planning.solve(unknown, setting, given['epsilon'])
  except ValueError as error:
    raise failures.UsageError(error) from error


def _answer(unknown: str, setting: planning.Setting, epsilon: float) -> str:
  return _ANSWERS[unknown].format(
    epsilon=_rounded(epsilon) if unknown == 'epsilon' else f'{epsilon:g}',
    delta=f'{setting.delta:.4g}',
    rounds=f'{setting.rounds:,} round{"s" if setting.rounds > 1 else ""}',
    clients=f'{setting.clients_per_round:,} of {setting.num_clients:,} clients',
    noise_multiplier=f'{setting.noise_multiplier:.4g}',
  )


def _table(setting: planning.Setting, given: Mapping[str, Any]) -> str:
  """Returns a row for each way to count, with epsilon after parts of the rounds."""
  parts = dict.fromkeys(math.ceil(part * setting.rounds) for part in _PARTS)
  rows = {**_gaussian_rows(setting)} if setting.mechanism == 'gaussian' else {_taking_turns(setting): setting.epsilon}
  if cohort := given['modelled_noise_cohort']:
    modelled = setting.modelled(cohort)
    rows[f'modelled: {cohort:,} clients a round, noise multiplier {modelled.noise_multiplier:.4g}'] = modelled.epsilon
  header = ['epsilon after', *(f'{part:,} rounds' for part in parts)]
  return markdown_table.render(
    header, ([name, *(_rounded(epsilon(part)) for part in parts)] for name, epsilon in rows.items())
  )


def _gaussian_rows(setting: planning.Setting) -> dict[str, Callable[[int], float]]:
  z, delta = setting.noise_multiplier, setting.delta
  cohort, population = setting.clients_per_round, setting.num_clients
  return {
    'Poisson sampling, as --privacy=gaussian assumes; add or remove one client': setting.epsilon,
    'fixed-size sampling without replacement; replace one client, which moves the sum twice as far': lambda after: (
      accounting.without_replacement(z, cohort, population, after, delta)
    ),
    'no amplification by sampling; add or remove one client': lambda after: accounting.poisson(z, 1.0, after, delta),
  }


def _taking_turns(setting: planning.Setting) -> str:
  times, apart = setting.most_participations, setting.plan.min_separation
  return (
    f'{setting.mechanism}: a client takes part {times} time{"s" if times > 1 else ""} at most, {apart} round'
    f'{"s" if apart > 1 else ""} apart; one client sends zeros instead'
  )


def _notes(setting: planning.Setting) -> str:
  noises = {'the means of all rounds together': setting.noise_after_all}
  if setting.mechanism == 'gaussian':
    noises = {'the mean of a round': setting.multiplier_of_mean, **noises}
  return (
    'Standard deviation of the noise in a coordinate, in units of the bound of a client: '
    f'{", ".join(f"{value:.4g} in {name}" for name, value in noises.items())}. Epsilon is rounded up; numbers of different '
    'neighbours are not to be compared.'
  )


def _rounded(epsilon: float) -> str:
  return f'{accounting.rounded_up(epsilon):.4g}' if 0 < epsilon < math.inf else f'{epsilon:g}'


if __name__ == '__main__':
  launch.launch(main, FLAGS)
