"""The server's step: any TFF optimizer on the mean update, variable by variable.

A variable that no client of the round trained skips the round: its weight and its optimizer's state stay bit-identical,
where a server momentum would move it along old updates. A variable that no client may ever train has no state at all.
"""

import collections
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff


def update_type(weights_type: tff.types.StructType) -> tff.types.StructType:
  """Returns the type of what the finalizer takes: `<delta=the trainable weights' type, trained=bool[n]>`."""
  trainable = weights_type.trainable
  return tff.types.to_type(collections.OrderedDict(delta=trainable, trained=tff.TensorType(np.bool_, [len(trainable)])))


def build_finalizer(
  optimizer: tff.learning.optimizers.Optimizer, weights_type: tff.types.StructType, trainable: Sequence[bool]
) -> tff.learning.templates.FinalizerProcess:
  """Builds `next(states@SERVER, weights_type@SERVER, update_type@SERVER)`; its result are the next weights.

  Args:
    optimizer: The server optimizer; takes the mean of received minus trained weights as its gradient.
    weights_type: `tff.learning.models.ModelWeights` of float32 tensors of static shape.
    trainable: For each variable, whether clients ever train it.

  Returns:
    The process. Its state is one optimizer state for each variable, empty for those that are never trained.
  """
  specs = [tf.TensorSpec(member.shape, member.dtype) for member in weights_type.trainable]

  @tff.tensorflow.computation
  def initial_states():
    return tuple(optimizer.initialize(spec) if ever else () for spec, ever in zip(specs, trainable, strict=True))

  states_type = initial_states.type_signature.result

  @tff.tensorflow.computation(states_type, weights_type, update_type(weights_type))
  def step(states, weights, update):
    @tf.function
    def apply(states, weights, deltas, trained):
      stepped = []
      for index, (state, weight, delta) in enumerate(zip(states, weights, deltas, strict=True)):
        stepped.append(
          tf.cond(
            trained[index],
            lambda each=(state, weight, delta): optimizer.next(*each),
            lambda state=state, weight=weight: (state, weight),
          )
          if trainable[index]
          else (state, weight)
        )
      return tuple(state for state, _ in stepped), tuple(weight for _, weight in stepped)

    states, trained_weights = apply(states, weights.trainable, update['delta'], update['trained'])
    return states, tff.learning.models.ModelWeights(trained_weights, weights.non_trainable)

  @tff.federated_computation()
  def initialize():
    return tff.federated_eval(initial_states, tff.SERVER)

  @tff.federated_computation(
    initialize.type_signature.result,
    tff.FederatedType(weights_type, tff.SERVER),
    tff.FederatedType(update_type(weights_type), tff.SERVER),
  )
  def next_fn(states, weights, update):
    states, weights = tff.federated_map(step, (states, weights, update))
    return tff.templates.MeasuredProcessOutput(states, weights, tff.federated_value((), tff.SERVER))

  return tff.learning.templates.FinalizerProcess(initialize, next_fn)
