"""Privacy by noise that clients add to what they send, of which the server sees nothing but the sum.

No server has to be trusted with updates or with the noise. Each client adds so much that those who must answer, or else the
round is lost, add enough together.
"""

import dataclasses
from typing import Any

from compression.privacy import accounting
from compression.privacy import kinds
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise as noise_lib
from compression.privacy import plans
from compression.secure_sums import modular


@dataclasses.dataclass(frozen=True)
class Distributed(kinds.Rested):
  """Skellam noise of clients, under a secure sum (Agarwal et al. 2021, arXiv 2110.04995).

  Where we differ: rounding that would pass the bound goes towards zero instead of being drawn again, and clients rest
  instead of being sampled, since no tight bound on sampled Skellam noise is known here.

  Attributes:
    clip: Largest global L2 norm of what a client sends.
    separation: After how many rounds at least a client comes again; by default as many as the clients allow.
    noise_multiplier: Standard deviation of the noise on the sum, over the clip; by default it follows from epsilon.
    epsilon: What the whole run may come to; by default it follows from the noise.
    delta: The probability at which epsilon may fail, in (0, 1); by default the number of clients to the power of -1.1.
  """

  needs_secure_sum = True

  def facts(self, cohort: plans.Cohort) -> dict[str, Any]:
    """Returns the grid's part in the noise, and how many share in it."""
    return dict(radius=self._radius(cohort), least_answers=_sum(cohort).least_answers(cohort.clients_per_round))

  def epsilon_after(self, rounds: int, noise_multiplier: float, delta: float, cohort: plans.Cohort) -> float:
    """Returns what some rounds come to; raises `ValueError` without a secure sum."""
    return accounting.skellam(noise_multiplier, self._radius(cohort), self.most_participations(rounds, cohort), delta)

  def mechanism(self, noise_multiplier: float, cohort: plans.Cohort, seed: int) -> mechanism_lib.Mechanism:
    """Returns a round to which the server adds nothing; raises `ValueError` without a secure sum."""
    _sum(cohort)
    return mechanism_lib.Mechanism(noise_lib.Silent(), 0.0, float(self.clip), cohort.clients_per_round, seed)

  def client_variance(self, noise_multiplier: float, cohort: plans.Cohort) -> float:
    """Returns the variance of the noise of each client, in levels squared: enough if as many answer as must."""
    least_answers = _sum(cohort).least_answers(cohort.clients_per_round)
    return (noise_multiplier * self._radius(cohort)) ** 2 / least_answers

  def _radius(self, cohort: plans.Cohort) -> float:
    """Returns the largest norm of a client's levels."""
    return _sum(cohort).radius(self.clip)


def _sum(cohort: plans.Cohort) -> modular.Modular:
  if cohort.secure_sum is None:
    raise ValueError(
      'clients add the noise of distributed to what a secure sum hides: use it with --secure_sum=modular(...)'
    )
  return cohort.secure_sum
