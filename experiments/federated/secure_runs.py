"""The secure sum of a run: its field, for as many clients as a round may have."""

from scipy import stats

from compression.privacy import plans
from compression.secure_sums import modular
from experiments.command import failures

_FEWEST = 2  # The sum of one client, who may come alone by coins, is that client.
_RARE = 1e-9  # How often more clients than the field has room for come by coins.


def planned(
  secure_sum: modular.Modular, privacy: plans.PrivacyPlan | None, num_clients: int, clients_per_round: int
) -> modular.SumPlan:
  """Returns the plan.

  Args:
    secure_sum: What `--secure_sum` names.
    privacy: What makes the run private; None if nothing does.
    num_clients: All of the run.
    clients_per_round: Those that are expected in a round.

  Raises:
    UsageError: If a round is of one client, no field is large enough, or nothing says how large values are.
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
    return secure_sum.planned(most, least_answers, variance, privacy.noise_seed)
  except ValueError as error:
    raise failures.UsageError(f'--secure_sum: {error}') from error


def _most_by_coins(num_clients: int, clients_per_round: int) -> int:
  return int(stats.binom.isf(_RARE, num_clients, clients_per_round / num_clients))
