"""The base of a run: variables that nobody ever trains, which each client receives once and holds from then on.

    at the start    frozen <- decode(encode(frozen));   base_bytes <- bytes of that payload
    each round      download_bytes_frozen <- base_bytes x clients of the round that took part in no earlier one

So the server's model is the one that clients have, whatever the download loses. A simulated client keeps nothing: it is
handed what it would hold (see `compression.broadcast`), and the server keeps the list of who took part, by client key.
"""

import collections
from collections.abc import Sequence
import functools
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from compression import broadcast
from compression import update_codec
from optimizers import local_batches


def hold(
  process: tff.learning.templates.LearningProcess,
  frozen: Sequence[int],
  codec: update_codec.UpdateCodec,
  seed: int,
) -> tff.learning.templates.LearningProcess:
  """Wraps a process so that what its clients hold is encoded once, and counted once a client.

  Args:
    process: One that hands clients these variables uncounted, and measures `download_bytes` in its distributor.
    frozen: The indices of these variables, which no step changes.
    codec: Encodes them, all together.
    seed: The run's.

  Returns:
    A process whose frozen weights, when it is initialized and when weights are set, become what clients decode of them.
    The distributor of its state has, beside that of `process`, `base_bytes`, int64 [], and `holders`, int64 [n]: the keys
    of all clients that took part, ascending; those without examples share the key 0. The distributor of its metrics has
    `download_bytes_frozen`, int64 [], which is part of its `download_bytes`.
  """
  begin, set_model_weights = _build_begin(process, functools.partial(_held, frozen, codec, seed))
  state_type, examples_type = begin.type_signature.result, process.next.type_signature.parameter[1]
  finish, gather = _build_finish(process, state_type), _build_gather(examples_type)

  @tff.tensorflow.computation(state_type)
  def inner(state):
    return state._replace(distributor=state.distributor['process'])

  @tff.federated_computation()
  def initialize():
    return tff.federated_map(begin, process.initialize())

  @tff.federated_computation(tff.FederatedType(state_type, tff.SERVER), examples_type)
  def next_fn(state, examples):
    output = process.next(tff.federated_map(inner, state), examples)
    finished = tff.federated_map(finish, (state, output.state, gather(examples), output.metrics))
    return tff.learning.templates.LearningProcessOutput(finished[0], finished[1])

  @tff.tensorflow.computation(state_type)
  def get_model_weights(state):
    return state.global_model_weights

  return tff.learning.templates.LearningProcess(initialize, next_fn, get_model_weights, set_model_weights)


def _held(
  frozen: Sequence[int], codec: update_codec.UpdateCodec, seed: int, weights: tff.learning.models.ModelWeights
) -> tuple[tff.learning.models.ModelWeights, tf.Tensor]:
  """Returns weights with what clients decode of the frozen ones, and the bytes of the payload."""
  trainable = list(weights.trainable)
  before_the_first_round = broadcast.round_seed(seed, tf.constant(0, tf.int64))
  decoded, num_bytes = broadcast.received(codec, [trainable[index] for index in frozen], before_the_first_round)
  for index, tensor in zip(frozen, decoded, strict=True):
    trainable[index] = tensor
  return tff.learning.models.ModelWeights(tuple(trainable), weights.non_trainable), num_bytes


def _build_begin(process: tff.learning.templates.LearningProcess, held: Any) -> tuple[tff.Computation, tff.Computation]:
  """Builds what makes a state of that of the wrapped process, and what sets the weights of a state."""
  inner_type = process.initialize.type_signature.result.member

  @tff.tensorflow.computation(inner_type)
  def begin(state):
    weights, base_bytes = held(state.global_model_weights)
    nobody = _ascending(tf.zeros([0], tf.int64))
    return _replaced(state, weights, state.distributor, base_bytes, nobody)

  @tff.tensorflow.computation(begin.type_signature.result, inner_type.global_model_weights)
  def set_model_weights(state, weights):
    weights, base_bytes = held(weights)
    return _replaced(state, weights, state.distributor['process'], base_bytes, state.distributor['holders'])

  return begin, set_model_weights


def _build_finish(process: tff.learning.templates.LearningProcess, state_type: tff.StructType) -> tff.Computation:
  """Builds what makes of a state before a round, and of what the round gave, the next state and the metrics."""
  after_type, metrics_type = (each.member for each in process.next.type_signature.result)
  keys_type = state_type.distributor['holders']

  @tff.tensorflow.computation(state_type, after_type, keys_type, metrics_type)
  def finish(before, after, keys, metrics):
    base_bytes, held_before = before.distributor['base_bytes'], before.distributor['holders']
    holders = _ascending(tf.concat([held_before, keys], axis=0))
    frozen_bytes = base_bytes * (tf.size(holders, tf.int64) - tf.size(held_before, tf.int64))
    download_bytes = metrics['distributor']['download_bytes'] + frozen_bytes
    state = _replaced(after, after.global_model_weights, after.distributor, base_bytes, holders)
    measured = collections.OrderedDict(download_bytes=download_bytes, download_bytes_frozen=frozen_bytes)
    return state, collections.OrderedDict(metrics, distributor=measured)

  return finish


def _build_gather(examples_type: tff.FederatedType) -> tff.Computation:
  """Builds what brings the keys of a round's clients to the server, int64 [n], ascending."""

  @tff.tensorflow.computation(examples_type.member)
  def key_of(examples):
    return local_batches.client_key(examples)

  @tff.tensorflow.computation
  def nobody():
    return _ascending(tf.zeros([0], tf.int64))

  keys_type = nobody.type_signature.result

  @tff.tensorflow.computation(keys_type, key_of.type_signature.result)
  def add(keys, key):
    return tf.concat([keys, key[tf.newaxis]], axis=0)

  @tff.tensorflow.computation(keys_type, keys_type)
  def merge(keys, others):
    return tf.concat([keys, others], axis=0)

  @tff.tensorflow.computation(keys_type)
  def report(keys):
    return _ascending(keys)

  @tff.federated_computation(examples_type)
  def gather(examples):
    return tff.federated_aggregate(tff.federated_map(key_of, examples), nobody(), add, merge, report)

  return gather


def _replaced(state: Any, weights: Any, inner: Any, base_bytes: tf.Tensor, holders: tf.Tensor) -> Any:
  distributor = collections.OrderedDict(process=inner, base_bytes=base_bytes, holders=holders)
  return state._replace(global_model_weights=weights, distributor=distributor)


def _ascending(keys: tf.Tensor) -> tf.Tensor:
  """Returns each key once, as a tensor whose length the graph does not know."""
  return tf.compat.v1.placeholder_with_default(tf.sort(tf.unique(keys).y), [None])
