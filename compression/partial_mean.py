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

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import counted_sum
from compression import denominators as denominators_lib
from compression import presence
from compression import sent_update
from compression import slices
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from data import arguments
from models import model as model_lib


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
    self._codec = codec
    self._measure_distortion = measure_distortion
    self._sub_models = None if variables is None else sub_models_lib.SubModels(variables, layouts, units_per_key)
    self._denominator = denominator
    self._together = together

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `update_type` and a float32 weight.

    Raises:
      TypeError: For other types.
      ValueError: If the variables are not of the update's shapes.
    """
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    parts = sent_update.Parts.of(value_type, self._codec, self._sub_models, self._together)
    denominators = denominators_lib.Denominators(parts.sub_models, self._denominator)
    encode = _build_encode(parts, value_type, self._measure_distortion)
    zero, accumulate, merge = _build_accumulation(parts, denominators, encode.type_signature.result)
    report = _build_report(parts, denominators, zero.type_signature.result, self._measure_distortion)

    @tff.tensorflow.computation(np.float32, report.type_signature.result['votes'])
    def next_parameter(parameter, votes):
      return parts.codec.next_parameter(parameter, votes)

    @tff.federated_computation()
    def initialize():
      return tff.federated_value(np.float32(parts.codec.initial_parameter), tff.SERVER)

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


def _build_encode(parts: sent_update.Parts, value_type: tff.types.Type, measure_distortion: bool) -> tff.Computation:
  """Builds the client's computation from (update, weight, parameter) to what travels, and the count of it."""

  @tff.tensorflow.computation(value_type, np.float32, np.float32)
  def encode(update, weight, parameter):
    return sent_update.encode(parts, update, weight, parameter, parts.codec.vote, measure_distortion)

  return encode


def _build_accumulation(
  parts: sent_update.Parts, denominators: denominators_lib.Denominators, sent_type: tff.types.Type
) -> counted_sum.Accumulation:
  def nothing():
    added = collections.OrderedDict(
      updates=parts.sum(tf.constant(1.0)).zero(),
      weights=denominators.zero(),
      votes=tf.zeros([parts.codec.num_options], tf.int64),
      squares=tf.zeros([2]),
    )
    return added, dict(seed=tf.zeros([2], tf.int64), parameter=tf.constant(parts.codec.initial_parameter))

  def add(added, sent):
    shared, weight = sent['uncounted']['shared'], sent['weight']
    update = update_codec_lib.Sent(sent_update.payloads(sent), sent['bitmap'])
    claim = sub_models_lib.Claim(sent['layout'], sent['keys'], sent['uncounted']['units'])
    updates, held = parts.sum(shared['parameter']).add(added['updates'], update, claim, weight, shared['seed'])
    trained = presence.unpack(sent['bitmap'], len(parts.sub_models.specs))
    return collections.OrderedDict(
      updates=updates,
      weights=denominators.add(added['weights'], weight, trained, held),
      votes=added['votes'] + tf.reduce_sum(tf.one_hot(sent['vote'], parts.codec.num_options, dtype=tf.int64), axis=0),
      squares=added['squares'] + sent['uncounted']['squares'],
    )

  return counted_sum.build_accumulation(sent_type, nothing, add)


def _build_report(
  parts: sent_update.Parts,
  denominators: denominators_lib.Denominators,
  accumulator_type: tff.types.Type,
  measure_distortion: bool,
) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    added, shared = total['added'], total['shared']
    sums = parts.sum(shared['parameter']).finish(added['updates'], shared['seed'])
    measurements = counted_sum.measurements(total)
    if measure_distortion:
      measurements['upload_distortion'] = tf.math.divide_no_nan(added['squares'][0], added['squares'][1])
    result = collections.OrderedDict(
      delta=denominators.mean(added['weights'], sums), trained=denominators.trained(added['weights'])
    )
    if parts.sub_models.sliced:
      result['units'] = denominators.trained_units(added['weights'])
    return collections.OrderedDict(result=result, votes=added['votes'], measurements=measurements)

  return report
