"""Clients that receive the model and are then gone: their network, their battery or their owner's patience ran out.

Such a client computes no local step and sends no update. What it received counts, and so do the keys of units that it
asked for, which went up before their slices came down; keys of blocks, which otherwise the presence bits of an update
tell, do not.
"""

import dataclasses

import tensorflow as tf

from data import arguments
from optimizers import randomness


@dataclasses.dataclass(frozen=True)
class ClientDropout:
  """Which clients vanish in a round: each by a draw of its own, whoever else takes part.

  Attributes:
    rate: The probability, in [0, 1).
  """

  rate: float = 0.0

  def __post_init__(self):
    arguments.check_within('[0, 1)', rate=self.rate)

  def vanishes(self, round_seed: tf.Tensor, client_key: tf.Tensor) -> tf.Tensor:
    """Draws, at a client, whether it vanishes in this round.

    Args:
      round_seed: int64[2], broadcast by the server.
      client_key: int64 [].

    Returns:
      bool [].
    """
    seed = randomness.client_seed(round_seed, client_key, randomness.Purpose.CLIENT_DROPOUT)
    return tf.random.stateless_uniform([], seed) < self.rate


def none() -> ClientDropout:
  """Returns the dropout of nobody: every client sends its update."""
  return NONE


def bernoulli(rate: float) -> ClientDropout:
  """Configures clients that vanish at random, in each round anew.

  Args:
    rate: The probability, in [0, 1).

  Returns:
    The dropout.

  Raises:
    ValueError: For a value out of range.
  """
  return ClientDropout(rate)


NONE = ClientDropout()
