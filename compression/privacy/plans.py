"""The privacy of a run: a kind, planned for the clients that there are, with its noise and what its rounds come to."""

import abc
import dataclasses
import functools
import math
from typing import Any
from typing import NamedTuple

from compression.privacy import accounting
from compression.privacy import mechanism as mechanism_lib
from compression.secure_sums import modular
from data import arguments

_MOST_DEFAULT_DELTA = 0.01
_MULTIPLIERS = '[0.001, 10000]'  # Beyond, noise is none, or all there is; float32 has both ends times any `CLIPS`.
CLIPS = '[1e-9, 1e9]'


class Cohort(NamedTuple):
  """Who takes part in a run.

  Attributes:
    num_clients: Clients that may.
    clients_per_round: Those that are expected in a round.
    rounds: All rounds of the run, at least 1.
    secure_sum: What hides a client's part in the sum; None if nothing does.
  """

  num_clients: int
  clients_per_round: int
  rounds: int
  secure_sum: modular.Modular | None = None


@dataclasses.dataclass(frozen=True)
class Privacy(abc.ABC):
  """A kind of privacy; give its noise by `noise_multiplier`, or by the `epsilon` that all rounds may come to.

  Attributes:
    noise_multiplier: Standard deviation of the noise over the bound.
    epsilon: What the whole run may come to; it decides the multiplier.
    delta: The probability at which epsilon may fail, in (0, 1); by default the number of clients to the power of -1.1.
  """

  noise_multiplier: float | None = dataclasses.field(default=None, kw_only=True)
  epsilon: float | None = dataclasses.field(default=None, kw_only=True)
  delta: float | None = dataclasses.field(default=None, kw_only=True)

  def __post_init__(self):
    given = {name: getattr(self, name) for name in ('noise_multiplier', 'epsilon') if getattr(self, name) is not None}
    if len(given) != 1:
      raise ValueError('give noise_multiplier or epsilon, and not both: one decides the other')
    arguments.check_positive(**given)
    if self.noise_multiplier is not None:
      arguments.check_within(_MULTIPLIERS, noise_multiplier=self.noise_multiplier)
    if self.delta is not None:
      arguments.check_within('(0, 1)', delta=self.delta)

  neighbours = ''  # What epsilon compares, in words.
  sampling = ''  # How the clients of a round are drawn, in words.
  needs_secure_sum = False  # Whether clients hide in one.

  @abc.abstractmethod
  def epsilon_after(self, rounds: int, noise_multiplier: float, delta: float, cohort: Cohort) -> float:
    """Returns what some rounds come to."""

  @abc.abstractmethod
  def mechanism(self, noise_multiplier: float, cohort: Cohort, seed: int) -> mechanism_lib.Mechanism:
    """Returns what makes each round private; raises `ValueError` if the cohort does not fit."""

  def client_variance(self, noise_multiplier: float, cohort: Cohort) -> float:
    """Returns the variance of the noise that each client adds itself, in levels of the secure sum squared; 0 for none."""
    del noise_multiplier, cohort
    return 0.0

  def min_separation(self, cohort: Cohort) -> int | None:
    """Returns after how many rounds at least a client comes again; None if each comes by a coin of its own in each round."""
    del cohort

  def most_participations(self, rounds: int, cohort: Cohort) -> int:
    """Returns how often a client takes part in some rounds at most."""
    separation = self.min_separation(cohort)
    return rounds if separation is None else math.ceil(rounds / separation)

  def facts(self, cohort: Cohort) -> dict[str, Any]:
    """Returns what decides the noise besides."""
    del cohort
    return {}

  def planned(self, cohort: Cohort) -> 'PrivacyPlan':
    """Returns the privacy of a run; raises `ValueError` if epsilon cannot be reached, or the cohort does not fit."""
    delta = self.delta or accounting.default_delta(cohort.num_clients)
    if self.delta is None and delta > _MOST_DEFAULT_DELTA:
      raise ValueError(f'of {cohort.num_clients} clients delta would be {delta:.2g}: give one, such as delta=1e-5')
    self.min_separation(cohort)  # Raises, as `mechanism` below, what is wrong with the cohort.
    multiplier = self.noise_multiplier
    if multiplier is None:
      epsilon_of = functools.partial(self._epsilon_at_end, delta, cohort)
      multiplier = accounting.noise_multiplier_for(self.epsilon, delta, epsilon_of)
    plan = PrivacyPlan(self, cohort, float(multiplier), delta)
    plan.mechanism(seed=0)
    return plan

  def _epsilon_at_end(self, delta: float, cohort: Cohort, noise_multiplier: float) -> float:
    return self.epsilon_after(cohort.rounds, noise_multiplier, delta, cohort)


@dataclasses.dataclass(frozen=True)
class PrivacyPlan:
  """The privacy of a run, its noise known.

  Attributes:
    privacy: Its kind.
    cohort: Who takes part.
    noise_multiplier: Standard deviation of the noise over the bound.
    delta: The probability at which epsilon may fail.
    noise_seed: From which the noise of the run is drawn; no two runs whose models are published may share it.
  """

  privacy: Privacy
  cohort: Cohort
  noise_multiplier: float
  delta: float
  noise_seed: int = 0

  @property
  def min_separation(self) -> int | None:
    """See `Privacy.min_separation`."""
    return self.privacy.min_separation(self.cohort)

  @property
  def client_variance(self) -> float:
    """See `Privacy.client_variance`."""
    return self.privacy.client_variance(self.noise_multiplier, self.cohort)

  def mechanism(self, seed: int) -> mechanism_lib.Mechanism:
    """See `Privacy.mechanism`."""
    return self.privacy.mechanism(self.noise_multiplier, self.cohort, seed)

  def epsilon_after(self, rounds: int) -> float:
    """Returns what the run has come to after some rounds."""
    return self.privacy.epsilon_after(rounds, self.noise_multiplier, self.delta, self.cohort)

  def rounds_within(self, epsilon: float) -> int:
    """Returns how many of the run's rounds come to `epsilon` at most."""
    low, high = 0, self.cohort.rounds
    while low < high:
      middle = (low + high + 1) // 2
      low, high = (middle, high) if self.epsilon_after(middle) <= epsilon else (low, middle - 1)
    return low

  def facts(self) -> dict[str, Any]:
    """Returns what decides epsilon, and must not change when a run continues."""
    return dict(
      kind=type(self.privacy).__name__,
      noise_multiplier=self.noise_multiplier,
      delta=self.delta,
      num_clients=self.cohort.num_clients,
      clients_per_round=self.cohort.clients_per_round,
      min_separation=self.min_separation,
      **self.privacy.facts(self.cohort),
    )

  def told(self, rounds: int) -> dict[str, Any]:
    """Returns what there is to say of the run after some rounds, for `summary.json`."""
    return dict(
      epsilon=self.epsilon_after(rounds),
      delta=self.delta,
      neighbours=self.privacy.neighbours,
      sampling=self.privacy.sampling,
      noise_multiplier=self.noise_multiplier,
      num_clients=self.cohort.num_clients,
      clients_per_round=self.cohort.clients_per_round,
      min_separation=self.min_separation,
      most_participations=self.privacy.most_participations(rounds, self.cohort),
      rounds=rounds,
    )
