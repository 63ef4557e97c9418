"""A client's optimizer: any TFF optimizer on the variables that this client trains, along one clipped gradient.

    g <- g + mu (w - w_received)              (Li et al. 2018, arXiv 1812.06127: FedProx), unless mu is 0
    g <- g min(1, clip_norm / ||g||)          (Pascanu et al. 2013, arXiv 1211.5063), over all trained variables

Every variable has an optimizer state of its own, so that one that is not trained has none, and costs no step.
"""

import collections
from collections.abc import Sequence
import dataclasses
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from data import arguments
from optimizers import optimizer_slots
from optimizers import schedules

_INFINITY = float('inf')

TrainedFlag = (
  bool | tf.Tensor
)  # Whether a client trains a variable: known when its graph is built, or only when it runs.


@dataclasses.dataclass(frozen=True)
class LocalOptimizer:
  """Steps of a client.

  Attributes:
    optimizer: What makes a step of a clipped gradient.
    clip_norm: Largest global norm of the gradient of a step; infinity does not clip.
    proximal: The strength mu of the pull towards the received weights.
    schedule: How the learning rate changes over rounds.
    is_shared: Whether the slots of the state come from the server with the weights, and stay the same in all steps.
  """

  optimizer: tff.learning.optimizers.Optimizer
  clip_norm: float = _INFINITY
  proximal: float = 0.0
  schedule: schedules.Schedule = schedules.CONSTANT
  is_shared: bool = False

  def initialize(
    self, weights: Sequence[tf.Tensor], round_number: tf.Tensor, slots: Sequence[optimizer_slots.Slots]
  ) -> tuple[Any, ...]:
    """Returns the optimizer state of each of the trained variables.

    Args:
      weights: float32, of static shape.
      round_number: int64 [], from 1.
      slots: Those of each variable, if the state is shared; else empty.

    Returns:
      The states.
    """
    states = [self.optimizer.initialize(tf.TensorSpec(weight.shape, weight.dtype)) for weight in weights]
    if self.is_shared:
      states = [collections.OrderedDict(state, **own) for state, own in zip(states, slots, strict=True)]
    return tuple(self.schedule.scale(self.optimizer, state, round_number) for state in states)

  def next(
    self,
    states: Sequence[Any],
    weights: Sequence[tf.Tensor],
    gradients: Sequence[tf.Tensor],
    trained: Sequence[TrainedFlag],
    received: Sequence[tf.Tensor],
  ) -> tuple[tuple[Any, ...], tuple[tf.Tensor, ...]]:
    """Makes a step.

    Args:
      states: The state of each variable.
      weights: float32, of static shape.
      gradients: Like the weights, or empty (float32 [0]) for a variable that turns out not to be trained.
      trained: Whether each is trained.
      received: The weights at the beginning of the round.

    Returns:
      The states and weights after the step; those that are not trained as they were.
    """
    if self.proximal:
      gradients = [self._pulled(*each) for each in zip(gradients, weights, received, trained, strict=True)]
    scale = self._scale(gradients)
    stepped = [self._next(scale, *each) for each in zip(states, weights, gradients, trained, strict=True)]
    return tuple(state for state, _ in stepped), tuple(weight for _, weight in stepped)

  def _pulled(self, gradient: tf.Tensor, weight: tf.Tensor, received: tf.Tensor, trained: TrainedFlag) -> tf.Tensor:
    """Adds the proximal term; a gradient that is empty stays empty."""

    def pulled() -> tf.Tensor:
      return tf.reshape(gradient, weight.shape) + self.proximal * (weight - received)

    if isinstance(trained, bool):
      return pulled() if trained else gradient
    return tf.cond(trained, pulled, lambda: gradient)

  def _scale(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
    if self.clip_norm == _INFINITY:
      return tf.constant(1.0)
    norm = tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))
    return self.clip_norm / tf.maximum(norm, self.clip_norm)

  def _next(
    self, scale: tf.Tensor, state: Any, weight: tf.Tensor, gradient: tf.Tensor, trained: TrainedFlag
  ) -> tuple[Any, tf.Tensor]:
    def step() -> tuple[Any, tf.Tensor]:
      next_state, next_weight = self.optimizer.next(state, weight, scale * tf.reshape(gradient, weight.shape))
      return (state if self.is_shared else next_state), next_weight

    if isinstance(trained, bool):
      return step() if trained else (state, weight)
    return tf.cond(trained, step, lambda: (state, weight))


def clip_norm_or_infinity(clip_norm: float) -> float:
  """Returns the norm to clip at: infinity for 0, which stands for no clipping; raises `ValueError` for what is none."""
  arguments.check_not_negative(clip_norm=clip_norm)
  return float(clip_norm) or _INFINITY
