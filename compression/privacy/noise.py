"""Noise that the server adds to the sum of a round, at the scale of a client's bound: each kind is one class.

The noise of a round is a stateless function of (seed, round) and of the state that the rounds before it left, so that a
run that is resumed adds the same. Whoever knows the seed can take the noise off again: a deployment needs a secure source
of randomness, which the seed never leaves.
"""

import abc
from collections.abc import Sequence
from typing import Any

import tensorflow as tf


class Noise(abc.ABC):
  """Noise whose independent parts are of standard deviation 1."""

  @abc.abstractmethod
  def initial_state(self, specs: Sequence[tf.TensorSpec]) -> Any:
    """Returns the state before the first round: a structure of tensors of static shape.

    Args:
      specs: The tensors that noise is added to: float32, of static shape.
    """

  @abc.abstractmethod
  def next(
    self, state: Any, seed: tf.Tensor, round_number: tf.Tensor, specs: Sequence[tf.TensorSpec]
  ) -> tuple[tuple[tf.Tensor, ...], Any]:
    """Draws the noise of a round.

    Args:
      state: What the round before left.
      seed: int64[2], known to the server alone.
      round_number: int64 [], from 1.
      specs: See `initial_state`.

    Returns:
      A tensor for each spec, and the next state, like the one before.
    """

  @abc.abstractmethod
  def prefix_variance(self, round_number: int) -> float:
    """Returns the variance of the sum of the noise of the first so many rounds, in a coordinate."""

  def largest_prefix_variance(self, rounds: int) -> float:
    """Returns the largest of `prefix_variance` over so many rounds."""
    return max(self.prefix_variance(number) for number in range(1, rounds + 1))


class Independent(Noise):
  """Noise drawn anew in each round: the Gaussian mechanism, composed."""

  def initial_state(self, specs: Sequence[tf.TensorSpec]) -> tuple[()]:
    """Returns nothing."""
    del specs
    return ()

  def next(
    self, state: tuple[()], seed: tf.Tensor, round_number: tf.Tensor, specs: Sequence[tf.TensorSpec]
  ) -> tuple[tuple[tf.Tensor, ...], tuple[()]]:
    """Draws the noise of a round."""
    return draw(specs, seed, round_number), state

  def prefix_variance(self, round_number: int) -> float:
    """Returns the number of the rounds."""
    return float(round_number)


class Silent(Independent):
  """No noise: of rounds whose clients add it."""

  def next(
    self, state: tuple[()], seed: tf.Tensor, round_number: tf.Tensor, specs: Sequence[tf.TensorSpec]
  ) -> tuple[tuple[tf.Tensor, ...], tuple[()]]:
    """Returns zeros."""
    del seed, round_number
    return tuple(tf.zeros(spec.shape) for spec in specs), state

  def prefix_variance(self, round_number: int) -> float:
    """Returns 0."""
    del round_number
    return 0.0


def draw(specs: Sequence[tf.TensorSpec], seed: tf.Tensor, *numbers: tf.Tensor) -> tuple[tf.Tensor, ...]:
  """Draws standard normal tensors, one for each spec, that depend on a seed, int64[2], and some numbers, int64 [] each."""
  fold_in = tf.random.experimental.stateless_fold_in
  for number in numbers:
    seed = fold_in(seed, number)
  return tuple(
    tf.random.stateless_normal(spec.shape, fold_in(seed, tf.constant(index, tf.int64)))
    for index, spec in enumerate(specs)
  )
