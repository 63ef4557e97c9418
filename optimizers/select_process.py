"""A learning process whose clients receive, train and send a part of the model: `tff.federated_select` made ready.

    client:  keys -> server          a key stands for a few neighbouring units of an axis, see `selection`
    server:  the slices of these keys -> client, by `tff.federated_select`; all other weights by the usual broadcast
    client:  trains the sub-model; sends the update of its slices -> server, which adds them up in their places

The keys depend on the client's data or tier, which TFF's distribution slot never sees; so this is a process of its own
beside `compose_learning_process`, with the same state, slots and metrics.
"""

import collections
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from optimizers import client_work
from optimizers import federated_types
from optimizers import local_training
from optimizers import slice_download


def compose(
  initial_weights: tff.Computation,
  distributor: tff.learning.templates.DistributionProcess,
  slices: slice_download.SliceDownload,
  local: local_training.LocalTraining,
  build_aggregator: Callable[[tff.Type, tff.Type], tff.templates.AggregationProcess],
  finalizer: tff.learning.templates.FinalizerProcess,
) -> tff.learning.templates.LearningProcess:
  """Composes the process.

  Args:
    initial_weights: Returns the server's first `tff.learning.models.ModelWeights`.
    distributor: Sends what is not sliced, see `compression.broadcast`.
    slices: Sends what is.
    local: How clients train.
    build_aggregator: From the types of a client's update and weight to the aggregation process.
    finalizer: The server's step.

  Returns:
    The process; `download_bytes` of its metrics counts the broadcast and the slices.
  """
  examples_type = federated_types.examples(local.task)
  train = client_work.build_training(local, slices.received_type)
  aggregator = build_aggregator(*train.type_signature.result[0])

  @tff.federated_computation()
  def initialize():
    return tff.federated_zip(
      tff.learning.templates.LearningAlgorithmState(
        tff.federated_eval(initial_weights, tff.SERVER),
        distributor.initialize(),
        tff.federated_value((), tff.SERVER),
        aggregator.initialize(),
        finalizer.initialize(),
      )
    )

  @tff.federated_computation(initialize.type_signature.result, tff.FederatedType(examples_type, tff.CLIENTS))
  def next_fn(state, examples):
    weights = state.global_model_weights
    distributed = distributor.next(state.distributor, weights)
    received, slice_bytes = slices.send(weights, distributed.result, examples)
    result, measures = tff.federated_map(train, (received, examples))
    aggregated = aggregator.next(state.aggregator, result.update, result.update_weight)
    finalized = finalizer.next(state.finalizer, weights, aggregated.result)
    next_state = tff.learning.templates.LearningAlgorithmState(
      finalized.result, distributed.state, state.client_work, aggregated.state, finalized.state
    )
    download_bytes = tff.federated_map(_build_add(), (distributed.measurements.download_bytes, slice_bytes))
    metrics = collections.OrderedDict(
      distributor=tff.federated_zip(collections.OrderedDict(download_bytes=download_bytes)),
      client_work=tff.federated_sum(measures),
      aggregator=aggregated.measurements,
      finalizer=finalized.measurements,
    )
    return tff.learning.templates.LearningProcessOutput(tff.federated_zip(next_state), tff.federated_zip(metrics))

  return tff.learning.templates.LearningProcess(
    initialize, next_fn, *_weights_access(initialize.type_signature.result.member)
  )


def _weights_access(state_type: tff.StructType) -> tuple[tff.Computation, tff.Computation]:
  """Builds how a learning process gets and sets the model's weights in its state."""

  @tff.tensorflow.computation(state_type)
  def get_model_weights(state):
    return state.global_model_weights

  @tff.tensorflow.computation(state_type, state_type.global_model_weights)
  def set_model_weights(state, weights):
    return tff.learning.templates.LearningAlgorithmState(
      weights, state.distributor, state.client_work, state.aggregator, state.finalizer
    )

  return get_model_weights, set_model_weights


def _build_add() -> tff.Computation:
  @tff.tensorflow.computation(np.int64, np.int64)
  def add(left, right):
    return tf.add(left, right)

  return add
