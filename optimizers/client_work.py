"""What a client does in a round: local training by a TFF optimizer on explicit weights.

    for batch in local batches:  w <- optimizer(w, grad loss(w, batch))
    update = w_received - w;  weight = number of examples

An update with a value that is not finite, and that of a client without examples, does not travel at all.
"""

import collections
import functools
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from models import task as task_lib
from optimizers import federated_types
from optimizers import local_batches
from optimizers import randomness


def build_client_work(
  task: task_lib.Task, optimizer: tff.learning.optimizers.Optimizer, batches: local_batches.LocalBatches
) -> tff.learning.templates.ClientWorkProcess:
  """Builds the client work `next(S@SERVER, {<weights, round_seed>}@CLIENTS, {example*}@CLIENTS)`.

  Args:
    task: What is trained.
    optimizer: The local optimizer; its state begins anew each round.
    batches: How a client goes through its examples.

  Returns:
    A process whose client result is an update of `compression.partial_mean.update_type` and the number of examples
    as its float32 weight. Its measurements are sums over clients, at the server: `num_clients`, `num_examples`,
    `dropped_updates`, `trained_parameters` (int64) and the task's measures (float32).
  """
  received_type = tff.types.to_type(
    collections.OrderedDict(
      weights=tff.learning.models.ModelWeights(federated_types.weights(task.model), ()),
      round_seed=tff.TensorType(np.int64, [2]),
    )
  )
  examples_type = federated_types.examples(task)

  @tff.tensorflow.computation(received_type, examples_type)
  def train(received, examples):
    local_round = tf.function(functools.partial(train_locally, task, optimizer, batches))
    return local_round(received['weights'].trainable, received['round_seed'], examples)

  @tff.federated_computation()
  def initialize():
    return tff.federated_value((), tff.SERVER)

  @tff.federated_computation(
    initialize.type_signature.result,
    tff.FederatedType(received_type, tff.CLIENTS),
    tff.FederatedType(examples_type, tff.CLIENTS),
  )
  def next_fn(state, received, examples):
    result, measures = tff.federated_map(train, (received, examples))
    return tff.templates.MeasuredProcessOutput(state, result, tff.federated_sum(measures))

  return tff.learning.templates.ClientWorkProcess(initialize, next_fn)


def train_locally(
  task: task_lib.Task,
  optimizer: tff.learning.optimizers.Optimizer,
  batches: local_batches.LocalBatches,
  initial_weights: tuple[tf.Tensor, ...],
  round_seed: tf.Tensor,
  examples: tf.data.Dataset,
) -> tuple[tff.learning.templates.ClientResult, Any]:
  """Does one client's round, in plain TensorFlow.

  Args:
    task: As for `build_client_work`.
    optimizer: Likewise.
    batches: Likewise.
    initial_weights: What the client received, in the model's order.
    round_seed: int64[2].
    examples: The client's examples, unbatched.

  Returns:
    The result and the measurements of the client, as `build_client_work` describes them.
  """
  client_key = local_batches.client_key(examples)
  seeds = {purpose: randomness.client_seed(round_seed, client_key, purpose) for purpose in randomness.Purpose}
  weights, measures, num_examples = _local_sgd(
    task,
    optimizer,
    batches.of(examples, seeds[randomness.Purpose.SHUFFLING]),
    initial_weights,
    seeds[randomness.Purpose.DROPOUT],
  )
  delta = tf.nest.map_structure(tf.subtract, initial_weights, weights)
  finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(x)) for x in [*delta, *measures.values()]])
  sent = tf.logical_and(finite, num_examples > 0)
  weight = tf.where(sent, tf.cast(num_examples, tf.float32), 0.0)
  update = collections.OrderedDict(
    delta=delta,
    trained=tf.fill([len(delta)], sent),
    client_seed=seeds[randomness.Purpose.ENCODING],
    shared_seed=round_seed,
  )
  measures = collections.OrderedDict((name, tf.where(finite, value, 0.0)) for name, value in measures.items())
  counts = collections.OrderedDict(
    num_clients=tf.constant(1, tf.int64),
    num_examples=num_examples,
    dropped_updates=tf.cast(tf.logical_not(finite), tf.int64),
    trained_parameters=tf.where(sent, tf.constant(task.model.num_parameters, tf.int64), 0),
  )
  return tff.learning.templates.ClientResult(update, weight), collections.OrderedDict(**counts, **measures)


def _local_sgd(
  task: task_lib.Task,
  optimizer: tff.learning.optimizers.Optimizer,
  batches: tf.data.Dataset,
  weights: tuple[tf.Tensor, ...],
  dropout_seed: tf.Tensor,
) -> tuple[tuple[tf.Tensor, ...], task_lib.Measures, tf.Tensor]:
  """Runs the local steps; returns the weights, the summed measures and the number of examples."""

  def step(state: Any, batch: task_lib.Batch) -> Any:
    weights, optimizer_state, measures, num_examples, index = state
    seed = tf.random.experimental.stateless_fold_in(dropout_seed, index)
    with tf.GradientTape() as tape:
      tape.watch(weights)
      batch_measures = task.evaluate(weights, batch, seed)
      loss = tf.math.divide_no_nan(batch_measures['loss_sum'], batch_measures['weight_sum'])
    gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    optimizer_state, weights = optimizer.next(optimizer_state, weights, gradients)
    measures = tf.nest.map_structure(tf.add, measures, batch_measures)
    batch_size = tf.shape(batch['client_key'], tf.int64)[0]
    return weights, optimizer_state, measures, num_examples + batch_size, index + 1

  specs = tf.nest.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), weights)
  state = (
    weights,
    optimizer.initialize(specs),
    task_lib.zero_measures(),
    tf.constant(0, tf.int64),
    tf.constant(0, tf.int64),
  )
  for batch in iter(batches):  # An iterator: `Dataset.reduce` costs up to a quarter more time a step.
    state = step(state, batch)
  weights, _, measures, num_examples, _ = state
  return weights, measures, num_examples
