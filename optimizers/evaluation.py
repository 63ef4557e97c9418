"""Federated evaluation: clients score the server's weights on their own examples, the server adds the scores up.

TFF's `build_fed_eval` would embed a copy of the initial weights in its graph and compute the loss twice.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

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


def build_scores(
  task: task_lib.Task, examples_of: Callable[[tf.Tensor], tf.data.Dataset]
) -> Callable[[Sequence[tf.Tensor], tf.Tensor], tf.Tensor]:
  """Builds `(weights, id of a client) -> scores`, which runs in this process: who scored what, before it is added up.

  Args:
    task: How a client is judged.
    examples_of: From an id, a string, to the client's examples, unbatched; in a graph.

  Returns:
    A function to float32 [n, 3]: loss_sum, correct_sum and weight_sum of each example if `task.measure_each` knows them,
    else of each batch. They add up to what `build_evaluation` adds up.
  """
  judged = dataclasses.replace(task, measure=task.measure_each or task.measure)

  @tf.function(autograph=False)
  def scores(weights, client_id):
    def append(rows, batch):
      measured = judged.evaluate(weights, batch)
      columns = [tf.reshape(measured[name], [-1]) for name in task_lib.zero_measures()]
      return _of_any_length(tf.concat([rows, tf.stack(columns, axis=1)], axis=0))

    batches = local_batches.plain(examples_of(client_id).batch(_BATCH_SIZE))
    return local_loop.fold(append, _of_any_length(tf.zeros([0, 3])), batches)

  return scores


def _of_any_length(rows: tf.Tensor) -> tf.Tensor:
  """Returns rows whose number is not known when traced, as that of a loop that appends some is not."""
  return tf.compat.v1.placeholder_with_default(rows, [None, rows.shape[1]])
