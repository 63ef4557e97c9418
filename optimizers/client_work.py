"""What clients do in a round, as the client-work slot of a TFF learning process.

An update with a value that is not finite, and that of a client without examples, does not travel at all: the client
sends its weight and that nothing is present. One that vanished, see `client_dropout`, sends not even that.
"""

import collections
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from compression import slices
from optimizers import federated_types
from optimizers import local_training


def build_client_work(
  local: local_training.LocalTraining, received_type: tff.types.StructType
) -> tff.learning.templates.ClientWorkProcess:
  """Builds the client work `next(S@SERVER, {received}@CLIENTS, {example*}@CLIENTS)`.

  Args:
    local: How clients train.
    received_type: `<weights, round_seed, round_number>` of `compression.broadcast`.

  Returns:
    A process whose client result is an update of `compression.sent_update.update_type` and the number of examples
    as its float32 weight. An update holds the difference of the weights and, if the optimizer's state is shared, then
    the gradient of each variable. Its measurements are sums over clients, at the server: `num_clients`, `num_examples`,
    `dropped_updates`, `trained_parameters` (int64) and the task's measures (float32).
  """
  train = build_training(local, received_type)
  examples_type = federated_types.examples(local.task)

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


def build_training(local: local_training.LocalTraining, received_type: tff.types.StructType) -> tff.Computation:
  """Builds a client's computation from what it received and its examples to (`ClientResult`, measures).

  Args:
    local: How clients train.
    received_type: `<weights, round_seed, round_number>`, and `units` if the clients chose some.

  Returns:
    The computation.
  """
  has_units = 'units' in dir(received_type)
  is_sliced = bool(slices.largest_counts(local.layouts))

  @tff.tensorflow.computation(received_type, federated_types.examples(local.task))
  def train(received, examples):
    done = tf.function(local.__call__, autograph=False)(
      local_training.Received(
        received['weights'].trainable,
        received['round_seed'],
        received['round_number'],
        received['units'] if has_units else {},
        received['weights'].non_trainable,
      ),
      examples,
    )
    return tff.learning.templates.ClientResult(
      _update(done, received['round_seed'], is_sliced), done.weight
    ), done.measures

  return train


def _update(done: local_training.Result, round_seed: tf.Tensor, is_sliced: bool) -> collections.OrderedDict[str, Any]:
  parts = [part for part in (done.delta, done.gradient) if part]
  update = collections.OrderedDict(
    delta=sum(parts, ()),
    trained=tf.tile(done.trained, [len(parts)]),
    client_seed=done.client_seed,
    shared_seed=round_seed,
    answers=done.answers,
  )
  if is_sliced:
    update.update(layout=done.layout, units=done.units)
  return update
