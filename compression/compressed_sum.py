"""The sum of compressed values, every byte counted: fits under TFF's `MeanFactory` and every wrapper of TFF's.

    factory = CompressedSumFactory(update_codec.UpdateCodec(codec.Codec([uniform.Uniform(bits=8)])))
    mean = tff.aggregators.zeroing_factory(zeroing_norm, tff.aggregators.MeanFactory(factory))

Clients encode; `tff.federated_aggregate` decodes each payload as it adds it up, but leading linear stages only once, after
the sum. An aggregator does not know its client, so the client's seed comes from the value itself, see `value_seed`: equal
values draw equal noise, and a last-bit difference changes all of it. Hence resumable runs use `PartialMeanFactory`, whose
update carries the client's seed. `MeanFactory` also sends every client's weight, which is not counted here.
"""

import collections
import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import counted_sum
from compression import presence
from compression import update_codec as update_codec_lib
from compression import value_seed


class CompressedSumFactory(tff.aggregators.UnweightedAggregationFactory):
  """Builds the aggregation process `next(int64@SERVER, {value_type}@CLIENTS)`, whose state counts rounds.

  Its result is `value_type@SERVER`, zero if there are no clients. Values must be finite, as client work of TFF's makes
  them; its `zeroing_factory` zeroes infinite ones but lets NaN through. Its measurements are int64 at the server, summed
  over clients unless named otherwise: `upload_bytes` = `upload_bytes_values` + `upload_bytes_side` (side information of
  the stages), and `upload_bytes_per_client_max`.
  """

  def __init__(self, update_codec: update_codec_lib.UpdateCodec, seed: int = 0):
    """Configures the factory; whatever is drawn is a function of `seed`, the round and the client's value."""
    self._codec = update_codec
    self._seed = seed

  def create(self, value_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a tensor, or a nested struct of tensors, of float32 and static shape.

    Raises:
      TypeError: For other value types.
    """
    structure = _spec_structure(value_type)
    codec = dataclasses.replace(self._codec, together=(0,) * len(tf.nest.flatten(structure)))
    encode = _build_encode(codec, structure)
    accumulation = _build_accumulation(codec, structure, encode.type_signature.result)
    report = _build_report(codec, structure, accumulation.zero.type_signature.result)

    @tff.tensorflow.computation(np.int64)
    def draw_seed(round_number):
      # The 1 keeps these draws apart from those of the broadcast, which has a 0.
      return tf.random.experimental.stateless_fold_in(tf.constant([self._seed, 1], tf.int64), round_number)

    @tff.tensorflow.computation(np.int64)
    def next_round(round_number):
      return round_number + 1

    @tff.federated_computation()
    def initialize():
      return tff.federated_value(np.int64(1), tff.SERVER)

    @tff.federated_computation(initialize.type_signature.result, tff.FederatedType(value_type, tff.CLIENTS))
    def next_fn(round_number, value):
      shared_seed = tff.federated_broadcast(tff.federated_map(draw_seed, round_number))
      sent = tff.federated_map(encode, (value, shared_seed))
      total = tff.federated_aggregate(sent, accumulation.zero(), accumulation.accumulate, accumulation.merge, report)
      return tff.templates.MeasuredProcessOutput(
        tff.federated_map(next_round, round_number), total['sum'], total['measurements']
      )

    return tff.templates.AggregationProcess(initialize, next_fn)


def _spec_structure(value_type: tff.types.Type) -> tf.TensorSpec | collections.abc.Collection:
  """Returns the specs of a value in the structure of the value; raises `TypeError` for a type that is not supported."""

  def spec(member: tff.TensorType) -> tf.TensorSpec:
    if member.dtype != np.float32 or not tff.types.is_shape_fully_defined(member.shape):
      raise TypeError(f'a compressed sum takes float32 tensors of static shape; found {member} in {value_type}')
    return tf.TensorSpec(member.shape, tf.float32)

  if not tff.types.is_structure_of_tensors(value_type):
    raise TypeError(f'a compressed sum takes a tensor or a struct of tensors, not {value_type}')
  structure = tff.types.structure_from_tensor_type_tree(spec, value_type)
  if not tf.nest.flatten(structure):
    raise TypeError('a compressed sum takes at least one tensor')
  return structure


def _build_encode(
  codec: update_codec_lib.UpdateCodec, structure: tf.TensorSpec | collections.abc.Collection
) -> tff.Computation:
  """Builds the client's computation from (value, shared seed) to what travels, and the count of it."""

  @tff.tensorflow.computation(tff.types.tensorflow_to_type(structure), tff.TensorType(np.int64, [2]))
  def encode(value, shared_seed):
    tensors = tf.nest.flatten(value)
    client_seed = value_seed.fold_values(shared_seed, tensors)
    payloads = codec.encode(tensors, tf.fill([len(tensors)], True), client_seed, shared_seed).payloads
    return collections.OrderedDict(
      payloads=tuple((payload.values, payload.side) for payload in payloads),
      uncounted=counted_sum.uncounted(
        shared=dict(seed=shared_seed),
        num_bytes=dict(
          values=codec_lib.num_bytes([payload.values for payload in payloads]),
          side=codec_lib.num_bytes([payload.side for payload in payloads]),
        ),
      ),
    )

  return encode


def _build_accumulation(
  codec: update_codec_lib.UpdateCodec,
  structure: tf.TensorSpec | collections.abc.Collection,
  sent_type: tff.types.StructType,
) -> counted_sum.Accumulation:
  specs = tf.nest.flatten(structure)

  def add(terms, sent):
    # No bitmap travels, since every tensor does.
    bitmap = presence.pack(tf.fill([len(specs)], True))
    update = update_codec_lib.Sent(tuple(codec_lib.Payload(*payload) for payload in sent['payloads']), bitmap)
    return codec.add(terms, update, tf.constant(1.0), specs, sent['uncounted']['shared']['seed'])

  def nothing():
    return codec.zero_terms(specs), dict(seed=tf.zeros([2], tf.int64))

  return counted_sum.build_accumulation(sent_type, nothing, add)


def _build_report(
  codec: update_codec_lib.UpdateCodec,
  structure: tf.TensorSpec | collections.abc.Collection,
  accumulator_type: tff.types.StructType,
) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    tensors = codec.finish(total['added'], tf.nest.flatten(structure), total['shared']['seed'])
    return collections.OrderedDict(
      sum=tf.nest.pack_sequence_as(structure, tensors), measurements=counted_sum.measurements(total)
    )

  return report
