"""The server's step: any TFF optimizer on the mean update, variable by variable.

A variable that no client of the round trained skips the round: its weight and its optimizer's state stay bit-identical,
where a server momentum would move it along old updates. A variable that no client may ever train has no state at all.
A schedule of the learning rate follows the rounds, however often a variable was trained.
"""

import collections
from collections.abc import Sequence
import functools
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from optimizers import schedules


def update_type(weights_type: tff.types.StructType) -> tff.types.StructType:
  """Returns the type of what the finalizer takes: `<delta=the trainable weights' type, trained=bool[n]>`."""
  trainable = weights_type.trainable
  return tff.types.to_type(collections.OrderedDict(delta=trainable, trained=tff.TensorType(np.bool_, [len(trainable)])))


def build_finalizer(
  optimizer: tff.learning.optimizers.Optimizer,
  weights_type: tff.types.StructType,
  trainable: Sequence[bool],
  schedule: schedules.Schedule = schedules.CONSTANT,
) -> tff.learning.templates.FinalizerProcess:
  """Builds `next(state@SERVER, weights_type@SERVER, update_type@SERVER)`; its result are the next weights.

  Args:
    optimizer: The server optimizer; takes the mean of received minus trained weights as its gradient.
    weights_type: `tff.learning.models.ModelWeights` of float32 tensors of static shape.
    trainable: For each variable, whether clients ever train it.
    schedule: Of the server's learning rate.

  Returns:
    The process. Its state is one optimizer state for each variable, empty for those that are never trained; with a
    schedule it is `<round_number=int64, states=those>`, and the number that of the round that comes next.
  """
  specs = [tf.TensorSpec(member.shape, member.dtype) for member in weights_type.trainable]

  @tff.tensorflow.computation
  def initial_state():
    states = tuple(optimizer.initialize(spec) if ever else () for spec, ever in zip(specs, trainable, strict=True))
    return states if schedule.is_constant else _with_round(tf.constant(1, tf.int64), states)

  @tff.tensorflow.computation(initial_state.type_signature.result, weights_type, update_type(weights_type))
  def step(state, weights, update):
    states, round_number = (state, None) if schedule.is_constant else (state['states'], state['round_number'])
    next_ = functools.partial(_next, optimizer, schedule, round_number)
    apply = tf.function(functools.partial(_apply, next_, trainable), autograph=False)
    states, trained_weights = apply(states, weights.trainable, update['delta'], update['trained'])
    next_state = states if schedule.is_constant else _with_round(round_number + 1, states)
    return next_state, tff.learning.models.ModelWeights(trained_weights, weights.non_trainable)

  @tff.federated_computation()
  def initialize():
    return tff.federated_eval(initial_state, tff.SERVER)

  @tff.federated_computation(
    initialize.type_signature.result,
    tff.FederatedType(weights_type, tff.SERVER),
    tff.FederatedType(update_type(weights_type), tff.SERVER),
  )
  def next_fn(state, weights, update):
    state, weights = tff.federated_map(step, (state, weights, update))
    return tff.templates.MeasuredProcessOutput(state, weights, tff.federated_value((), tff.SERVER))

  return tff.learning.templates.FinalizerProcess(initialize, next_fn)


def _with_round(round_number: tf.Tensor, states: Any) -> collections.OrderedDict[str, Any]:
  return collections.OrderedDict(round_number=round_number, states=states)


def _apply(
  next_: Any, trainable: Sequence[bool], states: Any, weights: Any, deltas: Any, trained: tf.Tensor
) -> tuple[tuple[Any, ...], tuple[tf.Tensor, ...]]:
  """Steps those variables that were trained; returns all states and weights."""

  # A function, so that variables of one shape are traced once.
  @tf.function(autograph=False, experimental_attributes={'_noinline': True})
  def step(is_trained: tf.Tensor, state: Any, weight: tf.Tensor, delta: tf.Tensor) -> tuple[Any, tf.Tensor]:
    return tf.cond(is_trained, lambda: next_(state, weight, delta), lambda: (state, weight))

  stepped = [
    step(trained[index], state, weight, delta) if trainable[index] else (state, weight)
    for index, (state, weight, delta) in enumerate(zip(states, weights, deltas, strict=True))
  ]
  return tuple(state for state, _ in stepped), tuple(weight for _, weight in stepped)


def _next(
  optimizer: tff.learning.optimizers.Optimizer,
  schedule: schedules.Schedule,
  round_number: tf.Tensor | None,
  state: Any,
  weight: tf.Tensor,
  delta: tf.Tensor,
) -> tuple[Any, tf.Tensor]:
  """Steps one variable at the learning rate of the round; the state keeps that of factor 1."""
  next_state, next_weight = optimizer.next(schedule.scale(optimizer, state, round_number), weight, delta)
  if schedule.is_constant:
    return next_state, next_weight
  return optimizer.set_hparams(next_state, optimizer.get_hparams(state)), next_weight
