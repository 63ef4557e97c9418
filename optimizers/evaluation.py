"""Federated evaluation: clients score the server's weights on their own examples, the server adds the scores up.

TFF's `build_fed_eval` would embed a copy of the initial weights in its graph and compute the loss twice.
"""

import tensorflow as tf
import tensorflow_federated as tff

from models import task as task_lib
from optimizers import federated_types
from optimizers import local_batches
from optimizers import local_loop

_BATCH_SIZE = 64  # Changes only memory and speed, unless a task compares examples within a batch.


def build_evaluation(task: task_lib.Task) -> tff.Computation:
  """Builds `(weights@SERVER, {example*}@CLIENTS -> measures@SERVER)`; the weights are a tuple in the model's order."""
  weights_type = tff.types.to_type(federated_types.weights(task.model))
  examples_type = federated_types.examples(task)

  @tff.tensorflow.computation(weights_type, examples_type)
  def score(weights, examples):
    def add(total, batch):
      return tf.nest.map_structure(tf.add, total, task.evaluate(weights, batch))

    measured = tf.function(lambda batches: local_loop.fold(add, task_lib.zero_measures(), batches), autograph=False)
    return measured(local_batches.plain(examples.batch(_BATCH_SIZE)))

  @tff.federated_computation(tff.FederatedType(weights_type, tff.SERVER), tff.FederatedType(examples_type, tff.CLIENTS))
  def evaluate(weights, examples):
    return tff.federated_sum(tff.federated_map(score, (tff.federated_broadcast(weights), examples)))

  return evaluate
