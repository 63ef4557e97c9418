"""How private is a run, what does it take, and does it keep what it claims?

Question: which epsilon, noise, rounds, clients a round or delta follows from the others? Nothing is trained.

    python -m experiments.privacy --num_clients=3383 --clients_per_round=120 --rounds=100 --noise_multiplier=1.2
    python -m experiments.privacy --num_clients=1000000 --clients_per_round=5000 --rounds=2000 --epsilon=2 --delta=1e-6
    python -m experiments.privacy --mechanism=tree --num_clients=100000 --clients_per_round=400 --rounds=1000 --epsilon=8

Leave one of --epsilon, --noise_multiplier, --rounds, --clients_per_round and --delta out: it is found. Without --delta it is
--num_clients to the power of -1.1, unless it is the only one that is left out. Prints the answer, and a table of epsilon
after parts of the rounds, by who counts as a neighbour and how clients are drawn.

With --what=audit: how much of who took part can an attacker read from real private rounds, and is it more than is claimed?

    python -m experiments.privacy --what=audit --privacy='gaussian(clip=1, noise_multiplier=1, delta=1e-5)' \
      --upload='uniform(bits=8)' --num_clients=1000 --clients_per_round=1000 --rounds=1

Each of --canaries clients is in by a coin, and sends a direction of its own through codec, bounds and noise; the coins are
guessed from what the rounds publish. Prints the right guesses, the lower bound on epsilon that they prove at 95 %
confidence, and the epsilon that is claimed: 1.2 and 4.4 here, in some seconds. Exits with 1 if the bound is larger. It is
sharpest with all clients in each round, few rounds, and at least as many dimensions as canaries.
"""

from collections.abc import Callable
from collections.abc import Mapping
import math
from typing import Any

from compression.privacy import accounting
from compression.privacy import catalog
from compression.privacy import planning
from compression.privacy import plans
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.federated import audits
from experiments.results import markdown_table
from experiments.results import terminal

FLAGS = flag_table.FlagTable('privacy')
FLAGS.enum(
  'what',
  'plan',
  ['plan', 'audit'],
  'plan: find what is left out of a setting; audit: let canaries try out real rounds of --privacy.',
)
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
FLAGS.string(
  'privacy',
  'none',
  f'What is audited: {", ".join(catalog.PRIVACIES)}; for example gaussian(clip=1, noise_multiplier=1).',
)
FLAGS.string(
  'upload',
  'identity',
  "How updates are encoded in an audit: a chain of links joined by '|', for example uniform(bits=8).",
)
FLAGS.integer(
  'canaries',
  1000,
  'Clients whose presence an audit guesses, of --num_clients; half of them are guessed.',
  lower_bound=4,
)
FLAGS.integer(
  'dimensions',
  0,
  'Values of an update in an audit; 0 for four times --canaries, which then do not overlap.',
  lower_bound=0,
)
FLAGS.integer('seed', 0, 'Seed of the coins, clients, updates and noise of an audit.', lower_bound=0)
_ONLY = {  # Flags that mean nothing to the other question.
  'plan': ('mechanism', 'noise_multiplier', 'epsilon', 'delta', 'modelled_noise_cohort'),
  'audit': ('privacy', 'upload', 'canaries', 'dimensions', 'seed'),
}
_DIMENSIONS = 4  # Of an update, for each canary.
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
  'delta': 'Delta is {delta} or less for epsilon {epsilon}, after {rounds} of {clients} with noise multiplier {noise_multiplier}.',
}


def main(given: Mapping[str, Any]) -> None:
  """Prints what follows from the flags; raises `failures.RunEnded` where an audit refutes a claim."""
  _check(given)
  if given['what'] == 'plan':
    _show_plan(given)
  else:
    _show_audit(given)


def _check(given: Mapping[str, Any]) -> None:
  """Raises `UsageError` for flags of the other question, and for no clients or more than there are."""
  (other,) = set(_ONLY) - {given['what']}
  defaults = {name: flag.default for name, flag in FLAGS.shown().items()}
  for name in _ONLY[other]:
    if given[name] != defaults[name]:
      remedy = ': write it into --privacy, which says all of that' if other == 'plan' else ''
      raise failures.UsageError(f'--{name} is of --what={other}, and does not apply to --what={given["what"]}{remedy}')
  num_clients = given['num_clients']
  if not num_clients:
    raise failures.UsageError('--num_clients is missing: say how many clients a round may draw from')
  for name in ('clients_per_round', 'modelled_noise_cohort'):
    if given[name] > num_clients:
      raise failures.UsageError(
        f'--{name}={given[name]} is more than --num_clients={num_clients}: a round draws from the clients there are'
      )


def _show_audit(given: Mapping[str, Any]) -> None:
  """Prints what an audit finds."""
  for name in _COUNTS:
    if not given[name]:
      raise failures.UsageError(f'--{name} is missing: an audit needs all of the run')
  cohort = plans.Cohort(given['num_clients'], given['clients_per_round'], given['rounds'])
  dimensions = given['dimensions'] or _DIMENSIONS * given['canaries']
  found = audits.audit(given['privacy'], given['upload'], cohort, given['canaries'], dimensions, given['seed'])
  terminal.show(audits.told(found))
  audits.check(found)


def _show_plan(given: Mapping[str, Any]) -> None:
  """Prints what is left out of a setting, and what follows from it."""
  unknown = _unknown(given)
  setting, epsilon = _solved(unknown, given)
  budget = epsilon if unknown == 'epsilon' else given['epsilon']
  terminal.show('\n\n'.join([_answer(unknown, setting, budget), _table(setting, given), _notes(setting)]))


def _unknown(given: Mapping[str, Any]) -> str:
  """Returns the flag whose value is to be found."""
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
