"""The secure sum of a run: on which grid its clients round, and in which field the server adds up without seeing any of them."""

import dataclasses
import math

from compression.secure_sums import grid as grid_lib
from data import arguments

_MOST_FIELD_BITS = 31  # What `compression.bitpack` packs.
_MOST_VARIANCE = 1e13  # Beyond, TensorFlow's Poisson numbers are no longer what they should be.
_NOISE_DEVIATIONS = 8.0  # Of the sum of the clients' noise, that the field has room for.


@dataclasses.dataclass(frozen=True)
class SumPlan:
  """A secure sum, its field known.

  Attributes:
    grid: On which all clients round.
    field_bits: Bits of a sum, modulo 2**field_bits, and of every value that travels.
    limit: What the largest level stands for; None for the bound of private rounds.
    threshold: The fraction of a round's clients that have to answer, or nothing is learned.
    least_answers: How many have to, whatever their number.
    noise_variance: Variance of the noise that each client adds to each of its levels; 0 for none.
    noise_seed: The seed from which clients draw it.
  """

  grid: grid_lib.Grid
  field_bits: int
  limit: float | None
  threshold: float
  least_answers: int = 0
  noise_variance: float = 0.0
  noise_seed: int = 0


@dataclasses.dataclass(frozen=True)
class Modular:
  """A sum modulo a power of two, of updates that are rounded on one grid (Bonawitz et al. 2017, arXiv 1611.04482).

  Attributes:
    bits: Bits of a value on the grid, its sign included, 2 to 24; the field has more, so that the sum of a round's clients fits.
    limit: Largest magnitude of a value; what is larger is cut. By default the clip of --privacy.
    threshold: Fraction of a round's clients that have to answer, in (0.5, 1]; else the round changes nothing.
  """

  bits: int = 16
  limit: float | None = None
  threshold: float = 2 / 3

  def __post_init__(self):
    grid_lib.Grid(self.bits)
    if self.limit is not None:
      arguments.check_within('[1e-9, 1e9]', limit=self.limit)
    arguments.check_within('(0.5, 1]', threshold=self.threshold)

  @property
  def grid(self) -> grid_lib.Grid:
    """The grid on which all clients round."""
    return grid_lib.Grid(self.bits)

  def radius(self, clip: float) -> float:
    """Returns the largest norm of the levels of a client whose norm is bounded."""
    return self.grid.top * (1.0 if self.limit is None else clip / self.limit)

  def least_answers(self, num_clients: int) -> int:
    """Returns how many of a round's clients have to answer."""
    return math.ceil(self.threshold * num_clients - 1e-9)

  def planned(
    self, most_clients: int, least_answers: int = 0, noise_variance: float = 0.0, noise_seed: int = 0
  ) -> SumPlan:
    """Returns the sum of a run.

    Args:
      most_clients: The largest number of a round's clients.
      least_answers: How many have to answer, whatever their number.
      noise_variance: Variance of each client's noise, in levels squared.
      noise_seed: The seed from which they draw it.

    Returns:
      The plan.

    Raises:
      ValueError: If no field is large enough, or noise cannot be drawn exactly.
    """
    noise = math.ceil(_NOISE_DEVIATIONS * math.sqrt(most_clients * noise_variance))
    without_noise = 2 * most_clients * self.grid.top
    field_bits = (without_noise + 2 * noise).bit_length()
    if without_noise.bit_length() > _MOST_FIELD_BITS:
      raise ValueError(
        f'the sum of {most_clients} clients with {self.bits} bits each needs a field of {field_bits} bits, and '
        f'{_MOST_FIELD_BITS} is the most: lower bits'
      )
    if noise_variance > _MOST_VARIANCE or field_bits > _MOST_FIELD_BITS:
      raise ValueError(
        f'noise of {math.sqrt(noise_variance):,.0f} levels in each value of a client is more than can be drawn and summed: '
        'lower bits, or raise limit'
      )
    return SumPlan(self.grid, field_bits, self.limit, self.threshold, least_answers, noise_variance, noise_seed)
