"""An optimizer's state that the server shares with its clients and updates by the gradient of all their data.

    s <- slots after a step along mean_k full_gradient_k

The slots are the non-trainable part of the model's weights: they are broadcast with them as they are, counted, and kept
in checkpoints, and an evaluation does not see them. The update that clients send is twice as long: the difference of
each weight, then the gradient of each.
"""

import collections
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_federated as tff

from optimizers import finalizer as finalizer_lib
from optimizers import optimizer_slots


def build_finalizer(
  finalizer: tff.learning.templates.FinalizerProcess, optimizer: tff.learning.optimizers.Optimizer
) -> tff.learning.templates.FinalizerProcess:
  """Wraps a finalizer that steps the weights into one that also steps the shared slots.

  Args:
    finalizer: Made by `finalizer.build_finalizer`.
    optimizer: Whose slots are shared.

  Returns:
    A process of the same state and weights that takes an update of twice as many tensors and flags. The slots of a
    variable that no client of the round trained stay as they are.
  """
  state_type, weights_type, _ = finalizer.next.type_signature.parameter
  doubled_type = finalizer_lib.update_type(
    tff.types.to_type(collections.OrderedDict(trainable=2 * tuple(weights_type.member.trainable)))
  )

  @tff.tensorflow.computation(doubled_type)
  def halves(update):
    count = len(update['delta']) // 2
    return (
      collections.OrderedDict(delta=update['delta'][:count], trained=update['trained'][:count]),
      collections.OrderedDict(gradient=update['delta'][count:], trained=update['trained'][count:]),
    )

  @tff.tensorflow.computation(weights_type.member, halves.type_signature.result[1])
  def step(weights, update):
    slots = _step(optimizer, weights.non_trainable, update['gradient'], tf.unstack(update['trained']))
    return tff.learning.models.ModelWeights(weights.trainable, slots)

  @tff.federated_computation(state_type, weights_type, tff.FederatedType(doubled_type, tff.SERVER))
  def next_fn(state, weights, update):
    differences, gradients = tff.federated_map(halves, update)
    stepped = finalizer.next(state, weights, differences)
    return tff.templates.MeasuredProcessOutput(
      stepped.state, tff.federated_map(step, (stepped.result, gradients)), stepped.measurements
    )

  return tff.learning.templates.FinalizerProcess(finalizer.initialize, next_fn)


def _step(
  optimizer: tff.learning.optimizers.Optimizer,
  slots: Sequence[optimizer_slots.Slots],
  gradients: Sequence[tf.Tensor],
  trained: Sequence[tf.Tensor],
) -> tuple[optimizer_slots.Slots, ...]:
  return tuple(
    tf.cond(
      is_trained,
      lambda own=own, gradient=gradient: optimizer_slots.step(optimizer, own, gradient),
      lambda own=own: own,
    )
    if own
    else ()
    for own, gradient, is_trained in zip(slots, gradients, trained, strict=True)
  )
