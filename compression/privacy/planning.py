"""Which noise, how many rounds, or how many clients a round keep a run's epsilon: one unknown, found from the rest."""

from collections.abc import Callable
import dataclasses
import math

from compression.privacy import accounting
from compression.privacy import kinds
from compression.privacy import plans
from data import arguments

MECHANISMS = {'gaussian': kinds.Gaussian, 'tree': kinds.Tree, 'blt': kinds.Blt}
UNKNOWNS = ('epsilon', 'noise_multiplier', 'rounds', 'clients_per_round', 'delta')
_MOST_ROUNDS = 20_000
_LEAST_DELTA = 1e-12  # Below, composition by floating-point numbers proves nothing.


@dataclasses.dataclass(frozen=True)
class Setting:
  """A run with noise.

  Attributes:
    mechanism: One of `MECHANISMS`: gaussian, whose rounds have noise of their own and are joined by independent coins; or
      tree or blt, whose rounds share noise and are joined by any clients who were not there for some rounds.
    num_clients: The population.
    clients_per_round: How many take part, at most all; with gaussian, on average.
    rounds: How many there are, at least 1.
    noise_multiplier: The standard deviation of the noise on a sum, over the bound on a client's part of it; positive.
    delta: The probability at which epsilon may fail, in (0, 1).
  """

  mechanism: str
  num_clients: int
  clients_per_round: int
  rounds: int
  noise_multiplier: float
  delta: float

  def check(self) -> None:
    """Raises `ValueError` for what cannot be."""
    arguments.check_one_of(tuple(MECHANISMS), mechanism=self.mechanism)
    arguments.check_whole(1, num_clients=self.num_clients, rounds=self.rounds)
    arguments.check_whole(1, self.num_clients, clients_per_round=self.clients_per_round)
    arguments.check_positive(noise_multiplier=self.noise_multiplier)
    arguments.check_within('(0, 1)', delta=self.delta)

  @property
  def plan(self) -> plans.PrivacyPlan:
    """The privacy of the run, whose bound does not matter here."""
    privacy = MECHANISMS[self.mechanism](clip=1.0, noise_multiplier=self.noise_multiplier, delta=self.delta)
    cohort = plans.Cohort(self.num_clients, self.clients_per_round, self.rounds)
    return plans.PrivacyPlan(privacy, cohort, self.noise_multiplier, self.delta)

  @property
  def most_participations(self) -> int:
    """How often a client takes part, at most."""
    return self.plan.privacy.most_participations(self.rounds, self.plan.cohort)

  @property
  def multiplier_of_mean(self) -> float:
    """The noise multiplier over the clients of a round: for a mean what the multiplier is for a sum."""
    return self.noise_multiplier / self.clients_per_round

  @property
  def noise_after_all(self) -> float:
    """The largest standard deviation of the noise in the means of rounds so far together, of a coordinate, in bounds."""
    noise = self.plan.mechanism(seed=0).noise
    return self.multiplier_of_mean * math.sqrt(noise.largest_prefix_variance(self.rounds))

  def epsilon(self, after: int | None = None) -> float:
    """Returns epsilon after so many rounds of the run, by default all."""
    return self.plan.epsilon_after(self.rounds if after is None else after)

  def modelled(self, num_clients: int) -> 'Setting':
    """Returns the setting in which so many clients take part in a round and the mean has the noise that it has here."""
    return dataclasses.replace(
      self, clients_per_round=num_clients, noise_multiplier=self.multiplier_of_mean * num_clients
    )


def solve(unknown: str, setting: Setting, epsilon: float | None = None) -> tuple[Setting, float]:
  """Finds what a setting leaves open.

  Args:
    unknown: Which of `UNKNOWNS`: the least epsilon, noise multiplier or delta, the most rounds, or the most clients a
      round while the noise on the sum stays.
    setting: All else; its value of the unknown is not looked at.
    epsilon: What may be spent; None if it is the unknown.

  Returns:
    The setting, and its epsilon.

  Raises:
    ValueError: If an argument is not what it should be, or nothing keeps epsilon.
  """
  arguments.check_one_of(UNKNOWNS, unknown=unknown)
  known = {'noise_multiplier': 1.0, 'rounds': 1, 'clients_per_round': 1, 'delta': 0.5}.get(unknown)
  setting = setting if known is None else dataclasses.replace(setting, **{unknown: known})
  setting.check()
  if unknown == 'epsilon':
    return setting, setting.epsilon()
  arguments.check_positive(epsilon=epsilon)

  def tried(value: float) -> float:
    return dataclasses.replace(setting, **{unknown: value}).epsilon()

  if unknown == 'noise_multiplier':
    found = accounting.noise_multiplier_for(epsilon, setting.delta, tried)
  elif unknown == 'delta':
    found = _least_delta(lambda delta: tried(delta) <= epsilon)
  else:
    found = _most(unknown, setting, epsilon, tried)
  solved = dataclasses.replace(setting, **{unknown: found})
  return solved, solved.epsilon()


def _most(unknown: str, setting: Setting, epsilon: float, tried: Callable[[int], float]) -> int:
  """Returns the largest whole number that keeps epsilon."""
  top = _MOST_ROUNDS if unknown == 'rounds' else setting.num_clients
  if tried(1) > epsilon:
    raise ValueError(
      f'one {"round" if unknown == "rounds" else "client a round"} spends epsilon {tried(1):.4g} already, more than '
      f'{epsilon:g}: allow a larger epsilon, or take a larger noise_multiplier'
    )
  low, high = 1, 2
  while high <= top and tried(high) <= epsilon:
    low, high = high, high * 2
  if high > top and tried(top) <= epsilon:
    if unknown == 'rounds':
      raise ValueError(f'{top:,} rounds spend less than epsilon {epsilon:g}: allow a smaller epsilon')
    return top
  high = min(high, top)
  while high - low > 1:
    middle = (low + high) // 2
    low, high = (middle, high) if tried(middle) <= epsilon else (low, middle)
  return low


def _least_delta(keeps: Callable[[float], bool]) -> float:
  """Returns the smallest delta that keeps epsilon, rounded up."""
  low, high = _LEAST_DELTA, 0.5
  if not keeps(high):
    raise ValueError('no delta up to 0.5 keeps this epsilon: allow a larger epsilon, or take a larger noise_multiplier')
  if keeps(low):
    return low
  while high > low * 1.0001:
    middle = math.sqrt(low * high)
    low, high = (low, middle) if keeps(middle) else (middle, high)
  return accounting.rounded_up(high)
