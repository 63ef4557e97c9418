"""The aggregation of compressed, possibly partial updates: a weighted mean over the clients that trained each variable.

    mean_v = sum_k weight_k decode(encode(delta_{k,v})) / sum_k weight_k     over the clients k that trained v

Clients encode; `tff.federated_aggregate` decodes each payload as it adds it up; every byte that travels is counted from
the payload itself. The denominator per variable is why this cannot sit under `tff.aggregators.MeanFactory`, which has
one weight for all of an update.
"""

import collections
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import presence


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


class PartialMeanFactory(tff.aggregators.WeightedAggregationFactory):
  """Builds the aggregation process `next(S@SERVER, {update_type}@CLIENTS, {float32}@CLIENTS)`.

  Its result is `delta_type@SERVER`; a variable that no client trained is zero. Its measurements are int64 at the server,
  summed over clients unless named otherwise: `upload_bytes` = `upload_bytes_values` + `upload_bytes_side` (side
  information of the stages, and the presence bitmap) + `upload_bytes_weights`, and `upload_bytes_per_client_max`.
  """

  def __init__(self, codec: codec_lib.Codec):
    self._codec = codec

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `update_type` and a float32 weight."""
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    delta_type = value_type['delta']
    update_type(delta_type).check_assignable_from(value_type)
    specs = _specs(delta_type)
    encode = _build_encode(self._codec, specs, value_type)
    zero, accumulate, merge = _build_accumulation(self._codec, specs, encode.type_signature.result)
    report = _build_report(len(specs), zero.type_signature.result)

    @tff.federated_computation()
    def initialize():
      return tff.federated_value((), tff.SERVER)

    @tff.federated_computation(
      initialize.type_signature.result,
      tff.FederatedType(value_type, tff.CLIENTS),
      tff.FederatedType(weight_type, tff.CLIENTS),
    )
    def next_fn(state, updates, weights):
      sent = tff.federated_map(encode, (updates, weights))
      total = tff.federated_aggregate(sent, zero(), accumulate, merge, report)
      return tff.templates.MeasuredProcessOutput(state, total['mean'], total['measurements'])

    return tff.templates.AggregationProcess(initialize, next_fn)


def _specs(delta_type: tff.types.StructType) -> list[tf.TensorSpec]:
  for member in delta_type:
    is_tensor = isinstance(member, tff.TensorType) and member.dtype == np.float32
    if not is_tensor or not tff.types.is_shape_fully_defined(member.shape):
      raise TypeError(f'an update is a tuple of float32 tensors of static shape; found {member}')
  return [tf.TensorSpec(member.shape, tf.float32) for member in delta_type]


def _build_encode(codec: codec_lib.Codec, specs: list[tf.TensorSpec], value_type: tff.types.Type) -> tff.Computation:
  """Builds the client's computation from (update, weight) to what travels, and the count of it."""

  @tff.tensorflow.computation(value_type, np.float32)
  def encode(update, weight):
    payloads = []
    for index, (spec, delta) in enumerate(zip(specs, update['delta'], strict=True)):
      seed = tf.random.experimental.stateless_fold_in(update['client_seed'], tf.constant(index, tf.int64))
      payloads.append(
        tf.cond(
          update['trained'][index],
          lambda delta=delta, seed=seed: codec.encode(delta, seed, update['shared_seed']),
          lambda spec=spec: codec.empty_payload(spec),
        )
      )
    bitmap = presence.pack(update['trained'])
    num_bytes = collections.OrderedDict(
      values=codec_lib.num_bytes([payload.values for payload in payloads]),
      side=codec_lib.num_bytes([[payload.side for payload in payloads], bitmap]),
      weights=codec_lib.num_bytes(weight),
    )
    return collections.OrderedDict(
      payloads=tuple((payload.values, payload.side) for payload in payloads),
      bitmap=bitmap,
      weight=weight,
      shared_seed=update['shared_seed'],
      num_bytes=num_bytes,
    )

  return encode


def _build_accumulation(
  codec: codec_lib.Codec, specs: list[tf.TensorSpec], sent_type: tff.types.Type
) -> tuple[tff.Computation, tff.Computation, tff.Computation]:
  """Builds the three computations of `tff.federated_aggregate`; the accumulator is the server's."""

  @tff.tensorflow.computation
  def zero():
    nothing = tf.constant(0, tf.int64)
    return collections.OrderedDict(
      sums=tuple(tf.zeros(spec.shape) for spec in specs),
      weights=tf.zeros([len(specs)]),
      num_bytes=collections.OrderedDict(values=nothing, side=nothing, weights=nothing),
      num_bytes_max=nothing,
    )

  accumulator_type = zero.type_signature.result

  @tff.tensorflow.computation(accumulator_type, sent_type)
  def accumulate(total, sent):
    present = presence.unpack(sent['bitmap'], len(specs))
    sums = []
    for index, spec in enumerate(specs):
      payload = codec_lib.Payload(*sent['payloads'][index])

      def add(payload=payload, spec=spec, index=index):
        decoded = codec.decode(payload, spec, sent['shared_seed'])
        return tf.ensure_shape(total['sums'][index] + sent['weight'] * decoded, spec.shape)

      sums.append(tf.cond(present[index], add, lambda index=index: total['sums'][index]))
    return collections.OrderedDict(
      sums=tuple(sums),
      weights=total['weights'] + sent['weight'] * tf.cast(present, tf.float32),
      num_bytes=_added(total['num_bytes'], sent['num_bytes']),
      num_bytes_max=tf.maximum(total['num_bytes_max'], tf.add_n(list(sent['num_bytes'].values()))),
    )

  @tff.tensorflow.computation(accumulator_type, accumulator_type)
  def merge(left, right):
    added = _added(
      {k: left[k] for k in ('sums', 'weights', 'num_bytes')}, {k: right[k] for k in ('sums', 'weights', 'num_bytes')}
    )
    return collections.OrderedDict(
      sums=added['sums'],
      weights=added['weights'],
      num_bytes=added['num_bytes'],
      num_bytes_max=tf.maximum(left['num_bytes_max'], right['num_bytes_max']),
    )

  return zero, accumulate, merge


def _build_report(num_variables: int, accumulator_type: tff.types.Type) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    num_bytes = total['num_bytes']
    return collections.OrderedDict(
      mean=tuple(tf.math.divide_no_nan(total['sums'][i], total['weights'][i]) for i in range(num_variables)),
      measurements=collections.OrderedDict(
        upload_bytes=tf.add_n(list(num_bytes.values())),
        upload_bytes_values=num_bytes['values'],
        upload_bytes_side=num_bytes['side'],
        upload_bytes_weights=num_bytes['weights'],
        upload_bytes_per_client_max=total['num_bytes_max'],
      ),
    )

  return report


def _added(left: Any, right: Any) -> Any:
  return tf.nest.map_structure(tf.add, left, right)
