"""The secure sum of a run: its field, for as many clients as a round may have."""

import math

from scipy import stats

from compression.privacy import plans
from compression.secure_sums import modular
from experiments.command import failures

_FEWEST = 2  # The sum of one client, who may come alone by coins, is that client.
_RARE = 1e-15  # How often more clients than the field has room for come by coins.
_SHARE_OF_DELTA = 0.01  # What rounds that coins abort may add to delta, which is told to two digits.
_A_PROMISE = 50.0  # The largest epsilon that says anything.


def planned(
  secure_sum: modular.Modular,
  privacy: plans.PrivacyPlan | None,
  num_clients: int,
  clients_per_round: int,
  clients_vanish: bool = False,
) -> modular.SumPlan:
  """Returns the plan.

  Args:
    secure_sum: What `--secure_sum` names.
    privacy: What makes the run private; None if nothing does.
    num_clients: All of the run.
    clients_per_round: Those that are expected in a round.
    clients_vanish: Whether some of them do not answer.

  Raises:
    UsageError: If a round is of one client, no field is large enough, nothing says how large values are, or epsilon does not
      cover that a round is aborted.
  """
  try:
    if clients_per_round < _FEWEST:
      raise ValueError('a sum of one client is that client: raise --clients_per_round')
    if privacy is None:
      if secure_sum.limit is None:
        raise ValueError(
          'without --privacy nothing says how large a value may be: give limit, as in modular(limit=0.1)'
        )
      return secure_sum.planned(clients_per_round)
    if secure_sum.limit is not None and privacy.mechanism(seed=0).quantile is not None:
      raise ValueError('limit does not follow a clip that changes from round to round: leave it out')
    most = clients_per_round if privacy.min_separation is not None else _most_by_coins(num_clients, clients_per_round)
    variance = privacy.client_variance
    least_answers = secure_sum.least_answers(clients_per_round) if variance else _FEWEST
    plan = secure_sum.planned(most, least_answers, variance, privacy.noise_seed)
    if privacy.min_separation is None:
      _check_aborts(privacy, num_clients, clients_per_round, clients_vanish)
    return plan
  except ValueError as error:
    raise failures.UsageError(f'--secure_sum: {error}') from error


def _check_aborts(privacy: plans.PrivacyPlan, num_clients: int, clients_per_round: int, clients_vanish: bool) -> None:
  """Raises `ValueError` unless rounds of clients that come by coins are all but sure to be summed.

  Whether a round is aborted depends on how many clients came, and everybody sees it: nothing has changed. Where clients
  take turns, those of a round are as many whatever they send. A mechanism that is another one with probability `other` is
  private with a delta that is larger by (1 + e^epsilon) other at most.
  """
  remedy = 'use tree, blt or distributed, whose clients take turns'
  if clients_vanish:
    raise ValueError(
      f'epsilon would not cover that too few answer where clients come by coins: leave --client_dropout out, or {remedy}'
    )
  # Of one client less, the neighbour to which that happens more often.
  alone = stats.binom.cdf(_FEWEST - 1, num_clients - 1, clients_per_round / num_clients)
  epsilon = min(privacy.epsilon_after(privacy.cohort.rounds), _A_PROMISE)
  if privacy.cohort.rounds * alone * (1.0 + math.exp(epsilon)) > _SHARE_OF_DELTA * privacy.delta:
    raise ValueError(
      f'of {clients_per_round} clients that are expected, coins bring one or none too often, and epsilon would not cover '
      f'that such a round is aborted: raise --clients_per_round, or {remedy}'
    )


def _most_by_coins(num_clients: int, clients_per_round: int) -> int:
  return int(stats.binom.isf(_RARE, num_clients, clients_per_round / num_clients))
