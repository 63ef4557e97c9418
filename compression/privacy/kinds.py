"""The kinds of privacy of `--privacy`: what bounds a client, which noise the server adds, and who may take part.

All are of clients: what a run publishes, the models of all its rounds, would be about as likely without any one of them.

gaussian       noise drawn anew in each round, amplified by sampling
adaptive_clip  the same, whose bound follows a quantile of the clients' norms
tree           DP-FTRL: noise of sums of rounds, of which a tree reuses parts; no sampling needed
blt            the same by a buffered linear Toeplitz factorization, which needs less noise and less memory

`distributed` has clients add the noise, and a file of its own.
"""

import abc
from collections.abc import Callable
import dataclasses
import functools
from typing import Any

from compression.privacy import accounting
from compression.privacy import blt_factors
from compression.privacy import blt_noise
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise as noise_lib
from compression.privacy import plans
from compression.privacy import tree_noise
from data import arguments

_COUNT_NOISE = (
  0.05  # Standard deviation of the noise on the count of short updates, in clients of a round; TFF's default.
)


@dataclasses.dataclass(frozen=True)
class Gaussian(plans.Privacy):
  """Independent noise in each round, amplified by Poisson sampling (McMahan et al. 2018, arXiv 1710.06963).

  Epsilon is that of the privacy loss distribution, composed over rounds.

  Attributes:
    clip: Largest global L2 norm of what a client sends.
    noise_multiplier: Standard deviation of the noise on the sum, over the clip; by default it follows from epsilon.
    epsilon: What the whole run may come to; by default it follows from the noise.
    delta: The probability at which epsilon may fail, in (0, 1); by default the number of clients to the power of -1.1.
  """

  clip: float

  neighbours = 'one client more or less'
  sampling = 'each client with the same probability, by a coin of its own in each round'

  def __post_init__(self):
    super().__post_init__()
    arguments.check_within(plans.CLIPS, clip=self.clip)

  def epsilon_after(self, rounds: int, noise_multiplier: float, delta: float, cohort: plans.Cohort) -> float:
    """Returns what some rounds come to."""
    return accounting.poisson(noise_multiplier, cohort.clients_per_round / cohort.num_clients, rounds, delta)

  def mechanism(self, noise_multiplier: float, cohort: plans.Cohort, seed: int) -> mechanism_lib.Mechanism:
    """Returns what makes each round private."""
    return mechanism_lib.Mechanism(
      noise_lib.Independent(), noise_multiplier, float(self.clip), cohort.clients_per_round, seed
    )


@dataclasses.dataclass(frozen=True)
class AdaptiveClip(plans.Privacy):
  """The Gaussian mechanism with a bound that follows a quantile of the norms (Andrew et al. 2021, arXiv 1905.03871).

  The noise multiplier is that of the whole; the part that counting short updates needs makes the updates' noise larger:
  (multiplier^-2 - (2 count_stddev)^-2)^(-1/2), their theorem 1.

  Attributes:
    clip: The bound of the first round.
    quantile: The share of clients whose norm the bound is to reach, in (0, 1).
    learning_rate: How fast it follows.
    count_stddev: Standard deviation of the noise on the count, in clients; by default a twentieth of a round's clients.
    noise_multiplier: Standard deviation of the noise on the sum, over the clip; by default it follows from epsilon.
    epsilon: What the whole run may come to; by default it follows from the noise.
    delta: The probability at which epsilon may fail, in (0, 1); by default the number of clients to the power of -1.1.
  """

  clip: float = 0.1
  quantile: float = 0.5
  learning_rate: float = 0.2
  count_stddev: float | None = None

  neighbours = Gaussian.neighbours
  sampling = Gaussian.sampling
  epsilon_after = Gaussian.epsilon_after

  def __post_init__(self):
    super().__post_init__()
    arguments.check_within(plans.CLIPS, clip=self.clip)
    arguments.check_within('(0, 10]', learning_rate=self.learning_rate)
    arguments.check_within('(0, 1)', quantile=self.quantile)
    if self.count_stddev is not None:
      arguments.check_within('(0, 1e9]', count_stddev=self.count_stddev)

  def mechanism(self, noise_multiplier: float, cohort: plans.Cohort, seed: int) -> mechanism_lib.Mechanism:
    """Returns what makes each round private; raises `ValueError` if counting alone would take all of the privacy."""
    stddev = self.count_stddev or _COUNT_NOISE * cohort.clients_per_round
    if noise_multiplier >= 2.0 * stddev:
      raise ValueError(
        f'a noise multiplier of {noise_multiplier:g} needs count_stddev above {noise_multiplier / 2.0:g}, and it is '
        f'{stddev:g}: raise it, or the clients of a round'
      )
    return mechanism_lib.Mechanism(
      noise_lib.Independent(),
      (noise_multiplier**-2 - (2.0 * stddev) ** -2) ** -0.5,
      float(self.clip),
      cohort.clients_per_round,
      seed,
      quantile=mechanism_lib.Quantile(self.quantile, self.learning_rate, stddev),
    )


@dataclasses.dataclass(frozen=True)
class Rested(plans.Privacy):
  """Privacy that needs no sampling, but that clients rest between the rounds that they take part in.

  Attributes:
    clip: Largest global L2 norm of what a client sends.
    separation: After how many rounds at least a client comes again; by default as many as the clients allow.
  """

  clip: float
  separation: int | None = dataclasses.field(default=None, kw_only=True)

  neighbours = 'one client sends zeros instead'
  sampling = 'uniformly among clients that did not take part in the last rounds'

  def __post_init__(self):
    super().__post_init__()
    arguments.check_within(plans.CLIPS, clip=self.clip)
    if self.separation is not None:
      arguments.check_whole(1, separation=self.separation)

  def min_separation(self, cohort: plans.Cohort) -> int:
    """Returns after how many rounds a client comes again; raises `ValueError` if there are too few clients for that."""
    most = cohort.num_clients // cohort.clients_per_round
    if self.separation is not None and self.separation > most:
      raise ValueError(
        f'separation={self.separation} needs {self.separation * cohort.clients_per_round} clients or more, and there are '
        f'{cohort.num_clients}: with {cohort.clients_per_round} a round, {most} is the most'
      )
    return self.separation or most


@dataclasses.dataclass(frozen=True)
class _Correlated(Rested):
  """Noise that is correlated between rounds; epsilon is that of all its independent parts, released together."""

  @abc.abstractmethod
  def noise(self, cohort: plans.Cohort) -> tree_noise.TreeNoise | blt_noise.BltNoise:
    """Returns the noise of a run."""

  def facts(self, cohort: plans.Cohort) -> dict[str, Any]:
    """Returns the rounds of the run, for which the noise is made."""
    return dict(rounds=cohort.rounds)

  def epsilon_after(self, rounds: int, noise_multiplier: float, delta: float, cohort: plans.Cohort) -> float:
    """Returns what some rounds come to."""
    if not rounds:
      return 0.0
    return accounting.once(noise_multiplier, self._sensitivity(cohort)(rounds), delta)

  def mechanism(self, noise_multiplier: float, cohort: plans.Cohort, seed: int) -> mechanism_lib.Mechanism:
    """Returns what makes each round private."""
    return mechanism_lib.Mechanism(
      self.noise(cohort), noise_multiplier, float(self.clip), cohort.clients_per_round, seed
    )

  def _sensitivity(self, cohort: plans.Cohort) -> Callable[[int], float]:
    noise, separation = self.noise(cohort), self.min_separation(cohort)
    return lambda rounds: noise.sensitivity(rounds, separation, self.most_participations(rounds, cohort))


@dataclasses.dataclass(frozen=True)
class Tree(_Correlated):
  """DP-FTRL: noise of partial sums in a tree, from which each prefix sum takes few (Kairouz et al. 2021, arXiv 2103.00039).

  The server keeps a copy of what is trained for each level: 1 + log2 of the rounds.

  Attributes:
    clip: Largest global L2 norm of what a client sends.
    separation: After how many rounds at least a client comes again; by default as many as the clients allow.
    restart_every: Rounds after which a new tree begins; by default none does.
    noise_multiplier: Standard deviation of the noise on the sum, over the clip; by default it follows from epsilon.
    epsilon: What the whole run may come to; by default it follows from the noise.
    delta: The probability at which epsilon may fail, in (0, 1); by default the number of clients to the power of -1.1.
  """

  restart_every: int | None = dataclasses.field(default=None, kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    if self.restart_every is not None:
      arguments.check_whole(1, restart_every=self.restart_every)

  def noise(self, cohort: plans.Cohort) -> tree_noise.TreeNoise:
    """Returns the noise of a run."""
    return tree_noise.TreeNoise(cohort.rounds, self.restart_every)


@dataclasses.dataclass(frozen=True)
class Blt(_Correlated):
  """Noise by a buffered linear Toeplitz matrix (McMahan et al. 2024, arXiv 2408.08868), fitted to the run.

  The server keeps a copy of what is trained for each buffer.

  Attributes:
    clip: Largest global L2 norm of what a client sends.
    separation: After how many rounds at least a client comes again; by default as many as the clients allow.
    buffers: How many.
    noise_multiplier: Standard deviation of the noise on the sum, over the clip; by default it follows from epsilon.
    epsilon: What the whole run may come to; by default it follows from the noise.
    delta: The probability at which epsilon may fail, in (0, 1); by default the number of clients to the power of -1.1.
  """

  buffers: int = dataclasses.field(default=3, kw_only=True)

  def __post_init__(self):
    super().__post_init__()
    arguments.check_whole(1, 8, buffers=self.buffers)

  def noise(self, cohort: plans.Cohort) -> blt_noise.BltNoise:
    """Returns the noise of a run."""
    separation = self.min_separation(cohort)
    return _fitted(cohort.rounds, separation, self.most_participations(cohort.rounds, cohort), self.buffers)


_fitted = functools.lru_cache(blt_factors.optimized)
