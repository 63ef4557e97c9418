"""The aggregation of compressed, possibly partial updates: a weighted mean over the clients that trained each variable.

    mean_v = sum_k weight_k decode(encode(delta_{k,v})) / sum_k weight_k     over the clients k that trained v

Clients encode; `tff.federated_aggregate` decodes each payload as it adds it up, but leading linear stages only once,
after the sum; every byte that travels is counted from the payload itself. A client of a sub-model sends slices, which
are put back where they belong, and the denominator is one for each unit. That denominators differ within an update is
why this cannot sit under `tff.aggregators.MeanFactory`, which has one weight for all of it.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import codec as codec_lib
from compression import counted_sum
from compression import denominators as denominators_lib
from compression import partial_sum
from compression import presence
from compression import slices
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from data import arguments
from models import model as model_lib


def update_type(
  delta_type: tff.types.StructType, layouts: Sequence[slices.Layout] = (slices.WHOLE,)
) -> tff.types.StructType:
  """Returns the type of the update that `PartialMeanFactory` takes from each client.

  Args:
    delta_type: The model difference: a tuple of float32 tensors of static shape.
    layouts: What clients may hold.

  Returns:
    `<delta=delta_type, trained=bool[n], client_seed=int64[2], shared_seed=int64[2], answers=bool>`: the difference, which
    of its n variables the client trained (the others do not travel), the seeds of `Stage.encode`, and whether the client
    answers at all; one that does not has trained nothing and has weight 0. If some layout slices, also
    `layout=int32`, which of them the client has, and `units`: for each axis that one slices, by name, int32 [largest
    count], of which the first are the client's; the difference is then still of full shape, and what lies outside of the
    client's units does not matter.
  """
  members = collections.OrderedDict(
    delta=delta_type,
    trained=tff.types.TensorType(np.bool_, [len(delta_type)]),
    client_seed=tff.types.TensorType(np.int64, [2]),
    shared_seed=tff.types.TensorType(np.int64, [2]),
    answers=tff.types.TensorType(np.bool_),
  )
  if counts := slices.largest_counts(layouts):
    members['layout'] = tff.types.TensorType(np.int32)
    members['units'] = collections.OrderedDict(
      (axis, tff.types.TensorType(np.int32, [count])) for axis, count in counts.items()
    )
  return tff.types.to_type(members)


def tensor_specs(delta_type: tff.types.StructType) -> list[tf.TensorSpec]:
  """Returns the specs of a tuple of float32 tensors of static shape; raises `TypeError` for anything else."""
  for member in delta_type:
    is_tensor = isinstance(member, tff.TensorType) and member.dtype == np.float32
    if not is_tensor or not tff.types.is_shape_fully_defined(member.shape):
      raise TypeError(f'an update is a tuple of float32 tensors of static shape; found {member}')
  return [tf.TensorSpec(member.shape, tf.float32) for member in delta_type]


class PartialMeanFactory(tff.aggregators.WeightedAggregationFactory):
  """Builds the aggregation process `next(S@SERVER, {update_type}@CLIENTS, {float32}@CLIENTS)`.

  Its result is `<delta=delta_type, trained=bool[n]>@SERVER`: the mean, and which variables a client of positive weight
  trained; what nobody trained is zero. If some layout slices, also `units=<bool[count], ...>`: for each variable that one
  slices, in their order, which of its units such a client held and trained.
  Its measurements are int64 at the server, summed over clients unless named otherwise: `upload_bytes` =
  `upload_bytes_values` + `upload_bytes_side` (side information of the stages, the presence bitmap, a vote, and of
  sub-models the layout, a byte if there are several, and the units that clients chose) + `upload_bytes_weights`, and
  `upload_bytes_per_client_max`; with `measure_distortion` also the float32 `upload_distortion`: sum of squared errors
  over sum of squared values, of what was sent. Of a client that does not answer, only the units that it chose count.
  """

  def __init__(
    self,
    codec: update_codec_lib.UpdateCodec | adaptive.AdaptiveCodec,
    measure_distortion: bool = False,
    variables: Sequence[model_lib.Variable] | None = None,
    layouts: Sequence[slices.Layout] = (slices.WHOLE,),
    denominator: str = 'trained',
    units_per_key: Mapping[str, int] | None = None,
    together: Sequence[int] | None = None,
  ):
    """Configures the factory.

    Args:
      codec: Encodes updates. Whether a variable is small, it tells by the whole of it.
      measure_distortion: Makes every client decode what it encoded.
      variables: Those of the model that the update is of; needed if some layout slices.
      layouts: What clients may hold of it; a client's update names its own.
      denominator: `trained` or `all`, see `compression.denominators`.
      units_per_key: How many neighbouring units a key stands for, on axes whose units clients choose and keys travel.
      together: Which variables clients train together always, see `UpdateCodec`; None if nothing is known.

    Raises:
      ValueError: For layouts that do not fit the variables, and for another denominator.
    """
    if variables is None and (slices.largest_counts(layouts) or units_per_key):
      raise ValueError('layouts that hold a part of an axis need variables: those know their units')
    arguments.check_one_of(denominators_lib.CHOICES, denominator=denominator)
    self._codec = codec if isinstance(codec, adaptive.AdaptiveCodec) else adaptive.Fixed(codec)
    self._measure_distortion = measure_distortion
    self._sub_models = None if variables is None else sub_models_lib.SubModels(variables, layouts, units_per_key)
    self._denominator = denominator
    self._together = None if together is None else tuple(together)

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `update_type` and a float32 weight.

    Raises:
      TypeError: For other types.
      ValueError: If the variables are not of the update's shapes.
    """
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    delta_type = value_type['delta']
    parts = self._parts(delta_type)
    update_type(delta_type, parts.sub_models.layouts).check_assignable_from(value_type)
    encode = _build_encode(parts, value_type, self._measure_distortion)
    zero, accumulate, merge = _build_accumulation(parts, encode.type_signature.result)
    report = _build_report(parts, zero.type_signature.result, self._measure_distortion)

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
        tff.federated_map(next_parameter, (parameter, total['votes'])), total['result'], total['measurements']
      )

    return tff.templates.AggregationProcess(initialize, next_fn)

  def _parts(self, delta_type: tff.types.StructType) -> '_Parts':
    specs, sub_models = tensor_specs(delta_type), self._sub_models
    if sub_models is None:
      variables = [model_lib.Variable(str(i), tuple(spec.shape), model_lib.zeros) for i, spec in enumerate(specs)]
      sub_models = sub_models_lib.SubModels(variables)
    elif sub_models.specs != specs:
      raise ValueError(f'an update of {delta_type} is not of variables of shapes {[s.shape for s in sub_models.specs]}')
    if self._together is not None and len(self._together) != len(specs):
      raise ValueError(f'together is of {len(self._together)} variables, the update of {len(specs)}')
    denominators = denominators_lib.Denominators(sub_models, self._denominator)
    return _Parts(self._codec, sub_models, denominators, self._together)


class _Parts(NamedTuple):
  """What the computations at clients and server are made of."""

  codec: adaptive.AdaptiveCodec
  sub_models: sub_models_lib.SubModels
  denominators: denominators_lib.Denominators
  together: tuple[int, ...] | None

  def update_codec(self, parameter: tf.Tensor) -> update_codec_lib.UpdateCodec:
    sizes = tuple(spec.shape.num_elements() for spec in self.sub_models.specs)
    return dataclasses.replace(self.codec.at(parameter), sizes=sizes, together=self.together)

  def sum(self, parameter: tf.Tensor) -> partial_sum.PartialSum:
    return partial_sum.PartialSum(self.sub_models, self.update_codec(parameter))


def _build_encode(parts: _Parts, value_type: tff.types.Type, measure_distortion: bool) -> tff.Computation:
  """Builds the client's computation from (update, weight, parameter) to what travels, and the count of it."""

  @tff.tensorflow.computation(value_type, np.float32, np.float32)
  def encode(update, weight, parameter):
    has_units = bool(parts.sub_models.counts)
    layout, units = (update['layout'], update['units']) if has_units else (tf.constant(0), {})
    sent = parts.sub_models.switch(
      layout, functools.partial(_encode_slices, parts, update, units, parameter, measure_distortion)
    )
    claim = parts.sub_models.claim(layout, sent['keys'], units)
    values, side = update_codec_lib.num_bytes(update_codec_lib.Sent(_payloads(sent), sent['bitmap']))
    side += codec_lib.num_bytes([claim.layout, sent['vote']])
    num_bytes = dict(values=values, side=side, weights=codec_lib.num_bytes(weight))
    num_bytes = {column: tf.where(update['answers'], count, 0) for column, count in num_bytes.items()}
    num_bytes['side'] += codec_lib.num_bytes(list(claim.keys.values()))
    return collections.OrderedDict(
      payloads=sent['payloads'],
      bitmap=sent['bitmap'],
      vote=sent['vote'],
      layout=claim.layout,
      keys=claim.keys,
      weight=weight,
      uncounted=counted_sum.uncounted(
        shared=dict(seed=update['shared_seed'], parameter=parameter),
        num_bytes=num_bytes,
        squares=sent['squares'],
        units=claim.known,
      ),
    )

  return encode


def _encode_slices(
  parts: _Parts,
  update: Any,
  units: Mapping[str, tf.Tensor],
  parameter: tf.Tensor,
  measure_distortion: bool,
  layout: slices.Layout,
) -> collections.OrderedDict[str, Any]:
  """Encodes what a client of one layout has; the structure does not depend on the layout, the lengths do."""
  trained, client_seed, shared_seed = update['trained'], update['client_seed'], update['shared_seed']
  indices = parts.sub_models.indices(layout, units)
  tensors = [
    layout.take(variable, tensor, indices)
    for variable, tensor in zip(parts.sub_models.variables, update['delta'], strict=True)
  ]
  update_codec = parts.update_codec(parameter)
  sent = update_codec.encode(tensors, trained, client_seed, shared_seed)
  ballot = adaptive.Ballot(parts.update_codec, tensors, trained, parameter, client_seed, shared_seed)
  vote = tf.cond(tf.reduce_any(trained), lambda: parts.codec.vote(ballot), lambda: tf.zeros([0], tf.uint8))
  specs = parts.sub_models.specs_in(layout)
  return collections.OrderedDict(
    payloads=tuple((payload.values, payload.side) for payload in sent.payloads),
    bitmap=sent.bitmap,
    vote=vote,
    keys=parts.sub_models.pack(layout, indices, tf.logical_or(trained, tf.logical_not(update['answers']))),
    squares=update_codec.squared_error(tensors, sent, specs, shared_seed) if measure_distortion else tf.zeros([2]),
  )


def _build_accumulation(parts: _Parts, sent_type: tff.types.Type) -> counted_sum.Accumulation:
  def nothing():
    added = collections.OrderedDict(
      updates=parts.sum(tf.constant(1.0)).zero(),
      weights=parts.denominators.zero(),
      votes=tf.zeros([parts.codec.num_options], tf.int64),
      squares=tf.zeros([2]),
    )
    return added, dict(seed=tf.zeros([2], tf.int64), parameter=tf.constant(parts.codec.initial_parameter))

  def add(added, sent):
    shared, weight = sent['uncounted']['shared'], sent['weight']
    update = update_codec_lib.Sent(_payloads(sent), sent['bitmap'])
    claim = sub_models_lib.Claim(sent['layout'], sent['keys'], sent['uncounted']['units'])
    updates, held = parts.sum(shared['parameter']).add(added['updates'], update, claim, weight, shared['seed'])
    trained = presence.unpack(sent['bitmap'], len(parts.sub_models.specs))
    return collections.OrderedDict(
      updates=updates,
      weights=parts.denominators.add(added['weights'], weight, trained, held),
      votes=added['votes'] + tf.reduce_sum(tf.one_hot(sent['vote'], parts.codec.num_options, dtype=tf.int64), axis=0),
      squares=added['squares'] + sent['uncounted']['squares'],
    )

  return counted_sum.build_accumulation(sent_type, nothing, add)


def _build_report(parts: _Parts, accumulator_type: tff.types.Type, measure_distortion: bool) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    added, shared = total['added'], total['shared']
    sums = parts.sum(shared['parameter']).finish(added['updates'], shared['seed'])
    measurements = counted_sum.measurements(total)
    if measure_distortion:
      measurements['upload_distortion'] = tf.math.divide_no_nan(added['squares'][0], added['squares'][1])
    result = collections.OrderedDict(
      delta=parts.denominators.mean(added['weights'], sums), trained=parts.denominators.trained(added['weights'])
    )
    if parts.sub_models.sliced:
      result['units'] = parts.denominators.trained_units(added['weights'])
    return collections.OrderedDict(result=result, votes=added['votes'], measurements=measurements)

  return report


def _payloads(sent: Mapping[str, Any]) -> tuple[codec_lib.Payload, ...]:
  return tuple(codec_lib.Payload(*payload) for payload in sent['payloads'])
