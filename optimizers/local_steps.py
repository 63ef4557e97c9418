"""The local steps of a client, and the target that some tasks compare its model with.

    for batch in local batches:  w <- optimizer(w, grad loss(w, target, batch));   target <- m target + (1 - m) w

m is the task's `target_momentum`. The target begins each round as the weights with which the client begins, and ends with
the round: a client keeps nothing from one round to the next, and no target travels. Only what is trained has an average;
the rest is the same in both.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import tensorflow as tf

from models import gradients
from models import task as task_lib
from optimizers import local_batches
from optimizers import local_optimizer
from optimizers import optimizer_slots


@dataclasses.dataclass(frozen=True)
class LocalSteps:
  """The local steps of a client of one tier, of its model.

  Attributes:
    task_of_step: From the number of a step, int64 [], to what is trained in it, of the model that the client holds.
    optimizer: What makes a step.
    flags: Which of the model's variables are trained.
    dropout_seed: int64[2] of the client's round.
    target_momentum: That of the task.
  """

  task_of_step: Callable[[tf.Tensor], task_lib.Task]
  optimizer: local_optimizer.LocalOptimizer
  flags: Sequence[local_optimizer.TrainedFlag]
  dropout_seed: tf.Tensor
  target_momentum: float | None

  def __call__(
    self,
    batches: local_batches.Batches,
    weights: tuple[tf.Tensor, ...],
    round_number: tf.Tensor,
    slots: Sequence[optimizer_slots.Slots],
  ) -> tuple[tuple[tf.Tensor, ...], task_lib.Measures, tf.Tensor]:
    """Runs the steps; returns all weights, the summed measures and the number of examples."""
    chosen = [index for index, flag in enumerate(self.flags) if flag is not False]
    chosen_flags = [self.flags[index] for index in chosen]
    momentum = self.target_momentum

    def merged(trained: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
      by_index = dict(zip(chosen, trained, strict=True))
      return tuple(by_index.get(index, weight) for index, weight in enumerate(weights))

    def step(state: Any, batch: task_lib.Batch) -> Any:
      trained, averages, optimizer_states, measures, num_examples, index = state
      seed = tf.random.experimental.stateless_fold_in(self.dropout_seed, index)
      target = None if momentum is None else merged(averages)
      batch_measures, found = gradients.gradients(
        self.task_of_step(index), merged(trained), self.flags, batch, seed, target
      )
      found = [found[index] for index in chosen]
      optimizer_states, trained = self.optimizer.next(optimizer_states, trained, found, chosen_flags, received)
      if momentum is not None:
        averages = _moved(averages, trained, momentum)
      measures = tf.nest.map_structure(tf.add, measures, batch_measures)
      batch_size = tf.shape(batch['client_key'], tf.int64)[0]
      return trained, averages, optimizer_states, measures, num_examples + batch_size, index + 1

    received = tuple(weights[index] for index in chosen)
    states = self.optimizer.initialize(received, round_number, [slots[index] for index in chosen] if slots else ())
    zero = tf.constant(0, tf.int64)
    state = (received, () if momentum is None else received, states, task_lib.zero_measures(), zero, zero)
    trained, _, _, measures, num_examples, _ = batches.fold(step, state)
    return merged(trained), measures, num_examples


def _moved(averages: Sequence[tf.Tensor], weights: Sequence[tf.Tensor], momentum: float) -> tuple[tf.Tensor, ...]:
  """Moves averages towards the weights; one that equals its weight stays as it is, to the last bit."""
  return tuple(
    average + (1.0 - momentum) * (weight - average) for average, weight in zip(averages, weights, strict=True)
  )
