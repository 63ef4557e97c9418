"""Clipping of each local step's gradient by its global norm (Pascanu et al. 2013, arXiv 1211.5063), around any TFF optimizer.

g <- g min(1, clip_norm / ||g||)
"""

from typing import Any

import tensorflow as tf
import tensorflow_federated as tff


class ClippedOptimizer(tff.learning.optimizers.Optimizer):
  """Clips gradients, then does what the wrapped optimizer does; its state is that of the wrapped one."""

  def __init__(self, optimizer: tff.learning.optimizers.Optimizer, clip_norm: float):
    self._optimizer = optimizer
    self._clip_norm = clip_norm

  def initialize(self, specs: Any) -> Any:
    """Returns the wrapped optimizer's state for weights of `specs`."""
    return self._optimizer.initialize(specs)

  def next(self, state: Any, weights: Any, gradients: Any) -> tuple[Any, Any]:
    """Returns the wrapped optimizer's (state, weights) after a step along the clipped gradients."""
    clipped, _ = tf.clip_by_global_norm(tf.nest.flatten(gradients), self._clip_norm)
    return self._optimizer.next(state, weights, tf.nest.pack_sequence_as(gradients, clipped))

  def get_hparams(self, state: Any) -> Any:
    """Returns the wrapped optimizer's hyperparameters."""
    return self._optimizer.get_hparams(state)

  def set_hparams(self, state: Any, hparams: Any) -> Any:
    """Returns the state with the wrapped optimizer's hyperparameters replaced."""
    return self._optimizer.set_hparams(state, hparams)
