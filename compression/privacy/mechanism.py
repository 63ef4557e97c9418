"""How one round is made private: the bound of a client, the noise, and the number by which the sum is divided."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from compression.privacy import noise as noise_lib

_BOUNDS = (1e-9, 1e9)  # Float32 has their squares.


@dataclasses.dataclass(frozen=True)
class Quantile:
  """A bound that follows a quantile of the clients' norms (Andrew et al. 2021, arXiv 1905.03871, algorithm 1).

      share = 1/2 + (sum over clients of (1 if its norm is at most the bound else 0) - 1/2, and noise) / clients
      bound <- bound exp(-learning_rate (share - quantile)), within 1e-9 and 1e9

  Attributes:
    quantile: The share of clients whose norm the bound is to reach, in (0, 1).
    learning_rate: How fast it follows, positive.
    count_stddev: Standard deviation of the noise on the sum, in clients.
  """

  quantile: float
  learning_rate: float
  count_stddev: float

  def next_bound(self, bound: tf.Tensor, votes: tf.Tensor, noise: tf.Tensor, num_clients: int) -> tf.Tensor:
    """Returns the bound of the next round.

    Args:
      bound: float32 [], that of this round.
      votes: int64 [2]: clients whose norm is at most the bound, and others.
      noise: float32 [], standard normal.
      num_clients: Clients that are expected in a round.

    Returns:
      float32 [].
    """
    centred = tf.cast(votes[0] - votes[1], tf.float32) / 2.0
    share = 0.5 + (centred + self.count_stddev * noise) / num_clients
    return tf.clip_by_value(bound * tf.exp(-self.learning_rate * (share - self.quantile)), *_BOUNDS)


@dataclasses.dataclass(frozen=True)
class Mechanism:
  """The private mean of a round: (sum of the clients' bounded updates + noise_multiplier bound noise) / num_clients.

  Attributes:
    noise: Its kind, of standard deviation 1.
    noise_multiplier: Standard deviation of the noise over the bound.
    bound: Largest global L2 norm of what a client sends, in the first round.
    num_clients: Clients that are expected in a round; it does not depend on who takes part.
    seed: That of the noise, known to the server alone.
    could_send: From the number of a round, int64 [], whether any client could send each variable: bool [] or a plain bool
      each. Noise goes on what could be sent, and the server's optimizer steps that. By default all of them.
    held_units: From the number of a round, of each axis that clients hold in part how many units, its first, any of them
      holds, int32 []; by default any could hold any.
    quantile: How the bound changes; by default it does not.
  """

  noise: noise_lib.Noise
  noise_multiplier: float
  bound: float
  num_clients: int
  seed: int
  could_send: Callable[[tf.Tensor], Sequence[bool | tf.Tensor]] | None = None
  held_units: Callable[[tf.Tensor], Mapping[str, tf.Tensor]] | None = None
  quantile: Quantile | None = None
