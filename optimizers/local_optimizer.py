"""A client's optimizer: any TFF optimizer on the variables that this client trains, along one clipped gradient.

    g <- g min(1, clip_norm / ||g||)          (Pascanu et al. 2013, arXiv 1211.5063), over all trained variables

Every variable has an optimizer state of its own, so that one that is not trained has none, and costs no step.
"""

from collections.abc import Sequence
import dataclasses
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

Trained = bool | tf.Tensor  # Whether a client trains a variable: known when its graph is built, or only when it runs.


@dataclasses.dataclass(frozen=True)
class LocalOptimizer:
  """Steps of a client.

  Attributes:
    optimizer: What makes a step of a clipped gradient.
    clip_norm: Largest global norm of the gradient of a step; infinity does not clip.
  """

  optimizer: tff.learning.optimizers.Optimizer
  clip_norm: float = float('inf')

  def initialize(self, weights: Sequence[tf.Tensor]) -> tuple[Any, ...]:
    """Returns the optimizer state of each of the trained variables."""
    return tuple(self.optimizer.initialize(tf.TensorSpec(weight.shape, weight.dtype)) for weight in weights)

  def next(
    self,
    states: Sequence[Any],
    weights: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    trained: Sequence[Trained],
  ) -> tuple[tuple[Any, ...], tuple[tf.Tensor, ...]]:
    """Makes a step.

    Args:
      states: Of each variable.
      weights: float32, of static shape.
      gradients: Like the weights, or empty (float32 [0]) for a variable that turns out not to be trained.
      trained: Whether each is trained.

    Returns:
      The states and weights after the step; those that are not trained as they were.
    """
    scale = self._scale(gradients)
    stepped = [self._next(scale, *each) for each in zip(states, weights, gradients, trained, strict=True)]
    return tuple(state for state, _ in stepped), tuple(weight for _, weight in stepped)

  def _scale(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    if self.clip_norm == float('inf'):
      return tf.constant(1.0)
    norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(gradient)) for gradient in gradients]))
    return self.clip_norm / tf.maximum(norm, self.clip_norm)

  def _next(
    self, scale: tf.Tensor, state: Any, weight: tf.Tensor, gradient: tf.Tensor, trained: Trained
  ) -> tuple[Any, tf.Tensor]:
    def step() -> tuple[Any, tf.Tensor]:
      return self.optimizer.next(state, weight, scale * tf.reshape(gradient, weight.shape))

    if isinstance(trained, bool):
      return step() if trained else (state, weight)
    return tf.cond(trained, step, lambda: (state, weight))
