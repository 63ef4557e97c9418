"""The aggregation of compressed, possibly partial updates: a weighted mean over the clients that trained each variable.

    mean_v = sum_k weight_k decode(encode(delta_{k,v})) / sum_k weight_k     over the clients k that trained v

Clients encode; `tff.federated_aggregate` decodes each payload as it adds it up, but leading linear stages only once,
after the sum; every byte that travels is counted from the payload itself. The denominator per variable is why this
cannot sit under `tff.aggregators.MeanFactory`, which has one weight for all of an update.
"""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import codec as codec_lib
from compression import counted_sum
from compression import presence
from compression import update_codec as update_codec_lib


def update_type(delta_type: tff.types.StructType) -> tff.types.StructType:
  """Returns the type of the update that `PartialMeanFactory` takes from each client.

  Args:
    delta_type: The model difference: a tuple of float32 tensors of static shape.

  Returns:
    `<delta=delta_type, trained=bool[n], client_seed=int64[2], shared_seed=int64[2]>`: the difference, which of its n
    variables the client trained (the others do not travel), and the seeds of `Stage.encode`.
  """
  return tff.types.to_type(
    collections.OrderedDict(
      delta=delta_type,
      trained=tff.types.TensorType(np.bool_, [len(delta_type)]),
      client_seed=tff.types.TensorType(np.int64, [2]),
      shared_seed=tff.types.TensorType(np.int64, [2]),
    )
  )


def tensor_specs(delta_type: tff.types.StructType) -> list[tf.TensorSpec]:
  """Returns the specs of a tuple of float32 tensors of static shape; raises `TypeError` for anything else."""
  for member in delta_type:
    is_tensor = isinstance(member, tff.TensorType) and member.dtype == np.float32
    if not is_tensor or not tff.types.is_shape_fully_defined(member.shape):
      raise TypeError(f'an update is a tuple of float32 tensors of static shape; found {member}')
  return [tf.TensorSpec(member.shape, tf.float32) for member in delta_type]


class PartialMeanFactory(tff.aggregators.WeightedAggregationFactory):
  """Builds the aggregation process `next(S@SERVER, {update_type}@CLIENTS, {float32}@CLIENTS)`.

  Its result is `delta_type@SERVER`; a variable that no client trained is zero. Its measurements are int64 at the server,
  summed over clients unless named otherwise: `upload_bytes` = `upload_bytes_values` + `upload_bytes_side` (side
  information of the stages, the presence bitmap, and a vote) + `upload_bytes_weights`, and `upload_bytes_per_client_max`; with
  `measure_distortion` also the float32 `upload_distortion`: sum of squared errors over sum of squared values.
  """

  def __init__(self, codec: update_codec_lib.UpdateCodec | adaptive.AdaptiveCodec, measure_distortion: bool = False):
    """Configures the factory; measuring distortion makes every client decode what it encoded."""
    self._codec = codec if isinstance(codec, adaptive.AdaptiveCodec) else adaptive.Fixed(codec)
    self._measure_distortion = measure_distortion

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `update_type` and a float32 weight."""
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    delta_type = value_type['delta']
    update_type(delta_type).check_assignable_from(value_type)
    specs = tensor_specs(delta_type)
    encode = _build_encode(self._codec, specs, value_type, self._measure_distortion)
    zero, accumulate, merge = _build_accumulation(self._codec, specs, encode.type_signature.result)
    report = _build_report(self._codec, specs, zero.type_signature.result, self._measure_distortion)

    @tff.tensorflow.computation(np.float32, report.type_signature.result['votes'])
    def next_parameter(parameter, votes):
      return self._codec.next_parameter(parameter, votes)

    @tff.federated_computation()
    def initialize():
      return tff.federated_value(np.float32(self._codec.initial_parameter), tff.SERVER)

    @tff.federated_computation(
      initialize.type_signature.result,
      tff.FederatedType(value_type, tff.CLIENTS),
      tff.FederatedType(weight_type, tff.CLIENTS),
    )
    def next_fn(parameter, updates, weights):
      sent = tff.federated_map(encode, (updates, weights, tff.federated_broadcast(parameter)))
      total = tff.federated_aggregate(sent, zero(), accumulate, merge, report)
      return tff.templates.MeasuredProcessOutput(
        tff.federated_map(next_parameter, (parameter, total['votes'])), total['mean'], total['measurements']
      )

    return tff.templates.AggregationProcess(initialize, next_fn)


def _build_encode(
  codec: adaptive.AdaptiveCodec,
  specs: list[tf.TensorSpec],
  value_type: tff.types.Type,
  measure_distortion: bool,
) -> tff.Computation:
  """Builds the client's computation from (update, weight, parameter) to what travels, and the count of it."""

  @tff.tensorflow.computation(value_type, np.float32, np.float32)
  def encode(update, weight, parameter):
    delta, client_seed, shared_seed = list(update['delta']), update['client_seed'], update['shared_seed']
    update_codec = codec.at(parameter)
    sent = update_codec.encode(delta, update['trained'], client_seed, shared_seed)
    vote = tf.cond(
      tf.reduce_any(update['trained']),
      lambda: codec.vote(delta, parameter, client_seed, shared_seed),
      lambda: tf.zeros([0], tf.uint8),
    )
    values, side = update_codec_lib.num_bytes(sent)
    side += codec_lib.num_bytes(vote)
    squares = update_codec.squared_error(delta, sent, specs, shared_seed) if measure_distortion else tf.zeros([2])
    return collections.OrderedDict(
      payloads=tuple((payload.values, payload.side) for payload in sent.payloads),
      bitmap=sent.bitmap,
      vote=vote,
      weight=weight,
      uncounted=counted_sum.uncounted(
        shared=dict(seed=shared_seed, parameter=parameter),
        num_bytes=dict(values=values, side=side, weights=codec_lib.num_bytes(weight)),
        squares=squares,
      ),
    )

  return encode


def _build_accumulation(
  codec: adaptive.AdaptiveCodec, specs: list[tf.TensorSpec], sent_type: tff.types.Type
) -> counted_sum.Accumulation:
  def nothing():
    added = collections.OrderedDict(
      terms=codec.at(tf.constant(1.0)).zero_terms(specs),
      votes=tf.zeros([codec.num_options], tf.int64),
      weights=tf.zeros([len(specs)]),
      squares=tf.zeros([2]),
    )
    return added, dict(seed=tf.zeros([2], tf.int64), parameter=tf.constant(codec.initial_parameter))

  def add(added, sent):
    update = update_codec_lib.Sent(tuple(codec_lib.Payload(*payload) for payload in sent['payloads']), sent['bitmap'])
    shared = sent['uncounted']['shared']
    present = tf.cast(presence.unpack(sent['bitmap'], len(specs)), tf.float32)
    return collections.OrderedDict(
      terms=codec.at(shared['parameter']).add(added['terms'], update, sent['weight'], specs, shared['seed']),
      votes=added['votes'] + tf.reduce_sum(tf.one_hot(sent['vote'], codec.num_options, dtype=tf.int64), axis=0),
      weights=added['weights'] + sent['weight'] * present,
      squares=added['squares'] + sent['uncounted']['squares'],
    )

  return counted_sum.build_accumulation(sent_type, nothing, add)


def _build_report(
  codec: adaptive.AdaptiveCodec,
  specs: list[tf.TensorSpec],
  accumulator_type: tff.types.Type,
  measure_distortion: bool,
) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    added, shared = total['added'], total['shared']
    sums = codec.at(shared['parameter']).finish(added['terms'], specs, shared['seed'])
    measurements = counted_sum.measurements(total)
    if measure_distortion:
      measurements['upload_distortion'] = tf.math.divide_no_nan(added['squares'][0], added['squares'][1])
    mean = tuple(tf.math.divide_no_nan(x, added['weights'][index]) for index, x in enumerate(sums))
    return collections.OrderedDict(mean=mean, votes=added['votes'], measurements=measurements)

  return report
