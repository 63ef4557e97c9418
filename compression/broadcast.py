"""The download: model weights encoded at the server, broadcast, decoded at every client, and counted.

Clients train from what they decoded. Beside the weights travel the seeds of the round, so that whatever a client draws
is a function of (seed, round, client); they are protocol and not counted, like headers.
"""

import collections
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import delivery as delivery_lib
from compression import presence
from compression import update_codec as update_codec_lib

_AT_CLIENTS = (delivery_lib.Way.KEPT, delivery_lib.Way.HELD)


def build_broadcast(
  weights_type: tff.types.StructType,
  codec: update_codec_lib.UpdateCodec,
  seed: int,
  deliveries: Sequence[delivery_lib.Delivery] | None = None,
) -> tff.learning.templates.DistributionProcess:
  """Builds the distribution process of a run.

  Args:
    weights_type: `tff.learning.models.ModelWeights` of float32 tensors of static shape.
    codec: Encodes each trainable variable; non-trainable ones travel as they are.
    seed: The run's seed. The process' state counts rounds, from 1.
    deliveries: How each trainable variable reaches clients; by default all are sent. Those that a client holds or has
      kept it is handed here as they are, because a simulated client keeps nothing, and they are not counted.

  Returns:
    A process from `weights_type@SERVER` to `{<weights=weights_type, round_seed=int64[2], round_number=int64>}@CLIENTS`
    which measures `download_bytes`, int64 at the server: the payload once for every client that receives it.
  """
  deliveries = deliveries or [delivery_lib.SENT] * len(weights_type.trainable)
  encode = _build_encode(weights_type, codec, seed, deliveries)
  sent_type = encode.type_signature.result
  decode = _build_decode(weights_type, codec, sent_type, deliveries)

  @tff.tensorflow.computation(sent_type)
  def num_bytes(sent):
    return sent['uncounted']['num_bytes']

  @tff.tensorflow.computation(np.int64)
  def next_round(round_number):
    return round_number + 1

  @tff.federated_computation()
  def initialize():
    return tff.federated_value(np.int64(1), tff.SERVER)

  @tff.federated_computation(tff.FederatedType(np.int64, tff.SERVER), tff.FederatedType(weights_type, tff.SERVER))
  def next_fn(round_number, weights):
    sent = tff.federated_broadcast(tff.federated_map(encode, (weights, round_number)))
    received = tff.federated_sum(tff.federated_map(num_bytes, sent))
    return tff.templates.MeasuredProcessOutput(
      tff.federated_map(next_round, round_number),
      tff.federated_map(decode, sent),
      tff.federated_zip(collections.OrderedDict(download_bytes=received)),
    )

  return tff.learning.templates.DistributionProcess(initialize, next_fn)


def round_seed(seed: int, round_number: tf.Tensor) -> tf.Tensor:
  """Returns the seed of a round, int64[2], from that of the run and the number of the round, int64 [] from 1."""
  return tf.random.experimental.stateless_fold_in(tf.constant([seed, 0], tf.int64), round_number)


def received(
  codec: update_codec_lib.UpdateCodec, tensors: Sequence[tf.Tensor], shared_seed: tf.Tensor
) -> tuple[list[tf.Tensor], tf.Tensor]:
  """Encodes tensors as if they were broadcast; returns what clients decode of them, and the bytes of the payload, int64 [].

  Args:
    codec: Encodes them.
    tensors: float32, of static shape.
    shared_seed: int64[2], from which server and clients draw.
  """
  everything = tf.fill([len(tensors)], True)
  sent = codec.encode(tensors, everything, shared_seed, shared_seed)
  update = update_codec_lib.Sent(tuple(sent.payloads), presence.pack(everything))
  specs = [tf.TensorSpec(tensor.shape) for tensor in tensors]
  return codec.decode(update, specs, shared_seed), codec_lib.num_bytes(list(sent.payloads))


def _build_encode(
  weights_type: tff.types.StructType,
  codec: update_codec_lib.UpdateCodec,
  seed: int,
  deliveries: Sequence[delivery_lib.Delivery],
) -> tff.Computation:
  """Builds the server's computation from (weights, round) to what is broadcast, and the count of it."""

  @tff.tensorflow.computation(weights_type, np.int64)
  def encode(weights, round_number):
    seed_of_round = round_seed(seed, round_number)
    tensors = _delivered(weights.trainable, deliveries, delivery_lib.Way.SENT)
    sent = codec.encode(tensors, tf.fill([len(tensors)], True), seed_of_round, seed_of_round)
    num_bytes = codec_lib.num_bytes([sent.payloads, list(weights.non_trainable)])
    return collections.OrderedDict(
      payloads=tuple((payload.values, payload.side) for payload in sent.payloads),
      non_trainable=weights.non_trainable,
      uncounted=collections.OrderedDict(
        round_seed=seed_of_round,
        round_number=round_number,
        num_bytes=num_bytes,
        kept=tuple(_delivered(weights.trainable, deliveries, *_AT_CLIENTS)),
      ),
    )

  return encode


def _build_decode(
  weights_type: tff.types.StructType,
  codec: update_codec_lib.UpdateCodec,
  sent_type: tff.types.Type,
  deliveries: Sequence[delivery_lib.Delivery],
) -> tff.Computation:
  """Builds the clients' computation from what was broadcast to the weights and the round's seed."""
  members = _delivered(weights_type.trainable, deliveries, delivery_lib.Way.SENT)
  specs = [tf.TensorSpec(member.shape) for member in members]

  @tff.tensorflow.computation(sent_type)
  def decode(sent):
    payloads = tuple(codec_lib.Payload(*payload) for payload in sent['payloads'])
    update = update_codec_lib.Sent(payloads, presence.pack(tf.fill([len(specs)], True)))
    round_seed = sent['uncounted']['round_seed']
    decoded, kept = iter(codec.decode(update, specs, round_seed)), iter(sent['uncounted']['kept'])
    travelled = {delivery_lib.Way.SENT: decoded} | dict.fromkeys(_AT_CLIENTS, kept)
    weights = tuple(each.make() if each.make else next(travelled[each.way]) for each in deliveries)
    return collections.OrderedDict(
      weights=tff.learning.models.ModelWeights(weights, sent['non_trainable']),
      round_seed=round_seed,
      round_number=sent['uncounted']['round_number'],
    )

  return decode


def _delivered(
  members: Iterable[Any], deliveries: Sequence[delivery_lib.Delivery], *ways: delivery_lib.Way
) -> list[Any]:
  """Returns the values, or types, of the trainable variables that reach clients in one of some ways."""
  return [member for member, each in zip(members, deliveries, strict=True) if each.way in ways]
