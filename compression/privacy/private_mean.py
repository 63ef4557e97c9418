"""The aggregation of private rounds: what a client sends is bounded before it is encoded and again once it is decoded.

    mean = (sum_k clip(decode(encode(clip(delta_k, bound))), bound) + noise_multiplier bound noise) / num_clients

So no client changes the sum by more than the bound, whatever its codec makes of it. The divisor does not depend on who
takes part, and the noise goes on every value that any client could have sent, whether one did or not.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import counted_sum
from compression import sent_update
from compression import slices
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from compression.privacy import clipping
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise as noise_lib
from models import model as model_lib

_NOISE, _COUNT_NOISE = 1, 2  # Keep the draws of the two noises apart.


class PrivateMeanFactory(tff.aggregators.WeightedAggregationFactory):
  """Builds an aggregation process as `partial_mean.PartialMeanFactory` does, private to each client.

  Weights of clients decide nothing: all count alike. `trained`, and `units` of the result say what could have been sent.
  Measurements besides those of bytes, float32 at the server: `clip`, the bound of the round; `clipped_fraction` of the
  updates that were longer; `noise_stddev`, the root of the mean square of the noise on the mean; `signal_to_noise`, the norm of the sum of the bounded
  updates over that of its noise. Two of them are exact, for whoever runs the simulation: to publish them costs privacy.
  """

  def __init__(
    self,
    codec: update_codec_lib.UpdateCodec,
    mechanism: mechanism_lib.Mechanism,
    measure_distortion: bool = False,
    variables: Sequence[model_lib.Variable] | None = None,
    layouts: Sequence[slices.Layout] = (slices.WHOLE,),
    units_per_key: Mapping[str, int] | None = None,
    together: Sequence[int] | None = None,
    fixed_units: bool = False,
  ):
    """Configures the factory; see `partial_mean.PartialMeanFactory` for what is not told here.

    Args:
      codec: Encodes updates.
      mechanism: What makes a round private.
      measure_distortion: Makes every client decode what it encoded, which it compares with the bounded update.
      variables: Those of the model.
      layouts: What clients may hold of it.
      units_per_key: How many units a key stands for.
      together: Which variables clients train together always.
      fixed_units: Whether clients hold the first units of each axis, the same in all rounds, so that others get no noise.
    """
    self._codec, self._mechanism, self._measure_distortion = codec, mechanism, measure_distortion
    self._sub_models = None if variables is None else sub_models_lib.SubModels(variables, layouts, units_per_key)
    self._together, self._fixed_units = together, fixed_units

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `sent_update.update_type` and a float32 weight.

    Raises:
      TypeError: For other types.
      ValueError: If the variables are not of the update's shapes.
    """
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    parts = sent_update.Parts.of(value_type, self._codec, self._sub_models, self._together)
    send = _build_send(parts, value_type, self._mechanism.quantile is not None, self._measure_distortion)
    zero, accumulate, merge = _build_accumulation(parts, send.type_signature.result)
    report = _build_report(zero.type_signature.result)
    initial_state, finish = _build_server(
      _Noisy(self._mechanism, parts.sub_models, self._fixed_units),
      report.type_signature.result,
      self._measure_distortion,
    )

    @tff.federated_computation()
    def initialize():
      return tff.federated_eval(initial_state, tff.SERVER)

    @tff.federated_computation(
      initialize.type_signature.result,
      tff.FederatedType(value_type, tff.CLIENTS),
      tff.FederatedType(weight_type, tff.CLIENTS),
    )
    def next_fn(state, updates, weights):
      sent = tff.federated_map(send, (updates, weights, tff.federated_broadcast(state['bound'])))
      total = tff.federated_aggregate(sent, zero(), accumulate, merge, report)
      state, result, measurements = tff.federated_map(finish, (state, total))
      return tff.templates.MeasuredProcessOutput(state, result, measurements)

    return tff.templates.AggregationProcess(initialize, next_fn)


class _Noisy:
  """Which values of the variables get noise."""

  def __init__(self, mechanism: mechanism_lib.Mechanism, sub_models: sub_models_lib.SubModels, fixed_units: bool):
    self.mechanism, self._sub_models, self._fixed_units = mechanism, sub_models, fixed_units
    with tf.Graph().as_default():
      flags = self.could_send(tf.constant(1, tf.int64))
    self.indices = [index for index, flag in enumerate(flags) if flag is not False]
    self.specs = [sub_models.specs[index] for index in self.indices]

  def could_send(self, round_number: tf.Tensor) -> Sequence[bool | tf.Tensor]:
    """Returns whether any client could send each variable in a round."""
    could_send = self.mechanism.could_send
    return [True] * len(self._sub_models.specs) if could_send is None else could_send(round_number)

  def num_values(self, round_number: tf.Tensor) -> tf.Tensor:
    """Returns how many values get noise in a round, float32 [], at least 1."""
    ones = self.spread([tf.ones(spec.shape) for spec in self.specs], round_number)
    return tf.maximum(tf.add_n([tf.reduce_sum(each) for each in ones]), 1.0)

  def units(self) -> tuple[tf.Tensor, ...]:
    """Returns which units of each sliced variable any client could hold: bool [count] each."""
    counts = self._sub_models.counts
    return tuple(
      tf.range(units.count) < (counts[units.axis] if self._fixed_units else units.count)
      for units in (self._sub_models.variables[index].units for index in self._sub_models.sliced)
    )

  def spread(self, noise: Sequence[tf.Tensor], round_number: tf.Tensor) -> list[tf.Tensor]:
    """Returns noise for each variable: that of `specs` where a client could send, and zeros elsewhere."""
    sliced = dict(zip(self._sub_models.sliced, self.units(), strict=True))
    flags, spread = self.could_send(round_number), [tf.zeros(spec.shape) for spec in self._sub_models.specs]
    for index, each in zip(self.indices, noise, strict=True):
      spread[index] = tf.where(flags[index], each, 0.0)
      if index in sliced:
        variable = self._sub_models.variables[index]
        spread[index] = tf.where(slices.spread(sliced[index], variable.units, variable.shape), spread[index], 0.0)
    return spread


def _build_send(
  parts: sent_update.Parts, value_type: tff.types.Type, votes: bool, measure_distortion: bool
) -> tff.Computation:
  """Builds the client's computation from (update, weight, bound) to what travels, and the count of it."""

  @tff.tensorflow.computation(value_type, np.float32, np.float32)
  def send(update, weight, bound):
    delta, norm = clipping.clip(update['delta'], bound)
    within = norm <= bound
    vote = tf.cast([within], tf.uint8) if votes else tf.zeros([0], tf.uint8)
    update = collections.OrderedDict(update, delta=delta)
    sent = sent_update.encode(parts, update, weight, bound, lambda _: vote, measure_distortion)
    is_sent = tf.reduce_any(update['trained'])
    sent['uncounted']['norms'] = tf.cast(tf.stack([is_sent & within, is_sent & ~within]), tf.int64)
    return sent

  return send


def _build_accumulation(parts: sent_update.Parts, sent_type: tff.types.Type) -> counted_sum.Accumulation:
  def nothing():
    added = collections.OrderedDict(
      updates=tuple(tf.zeros(spec.shape) for spec in parts.sub_models.specs),
      norms=tf.zeros([2], tf.int64),
      squares=tf.zeros([2]),
    )
    return added, dict(seed=tf.zeros([2], tf.int64), parameter=tf.constant(0.0))

  def add(added, sent):
    shared, alone = sent['uncounted']['shared'], parts.sum(tf.constant(1.0))
    update = update_codec_lib.Sent(sent_update.payloads(sent), sent['bitmap'])
    claim = sub_models_lib.Claim(sent['layout'], sent['keys'], sent['uncounted']['units'])
    terms, _ = alone.add(alone.zero(), update, claim, tf.constant(1.0), shared['seed'])
    bounded, _ = clipping.clip(alone.finish(terms, shared['seed']), shared['parameter'])
    return collections.OrderedDict(
      updates=tuple(map(tf.add, added['updates'], bounded)),
      norms=added['norms'] + sent['uncounted']['norms'],
      squares=added['squares'] + sent['uncounted']['squares'],
    )

  return counted_sum.build_accumulation(sent_type, nothing, add)


def _build_report(accumulator_type: tff.types.Type) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    return collections.OrderedDict(added=total['added'], measurements=counted_sum.measurements(total))

  return report


def _build_server(
  noisy: _Noisy, total_type: tff.types.Type, measure_distortion: bool
) -> tuple[tff.Computation, tff.Computation]:
  """Builds what makes the server's first state, and what takes (state, total) to (state, result, measurements)."""
  mechanism = noisy.mechanism

  @tff.tensorflow.computation
  def initial_state():
    return _state(tf.constant(1, tf.int64), tf.constant(mechanism.bound), mechanism.noise.initial_state(noisy.specs))

  @tff.tensorflow.computation(initial_state.type_signature.result, total_type)
  def finish(state, total):
    round_number, bound, added = state['round_number'], state['bound'], total['added']
    seed = tf.constant([mechanism.seed, _NOISE], tf.int64)
    drawn, noise_state = mechanism.noise.next(state['noise'], seed, round_number, noisy.specs)
    stddev = mechanism.noise_multiplier * bound
    noise = [stddev * each for each in noisy.spread(drawn, round_number)]
    sums = added['updates']
    flags = [tf.convert_to_tensor(flag, tf.bool) for flag in noisy.could_send(round_number)]
    result = collections.OrderedDict(
      delta=tuple((each + noise_of_it) / mechanism.num_clients for each, noise_of_it in zip(sums, noise, strict=True)),
      trained=tf.stack(flags),
    )
    if units := noisy.units():
      result['units'] = units
    measurements = total['measurements']
    if measure_distortion:
      measurements['upload_distortion'] = tf.math.divide_no_nan(added['squares'][0], added['squares'][1])
    measurements.update(
      clip=bound,
      clipped_fraction=tf.math.divide_no_nan(
        tf.cast(added['norms'][1], tf.float32), tf.cast(tf.reduce_sum(added['norms']), tf.float32)
      ),
      noise_stddev=tf.linalg.global_norm(noise) / tf.sqrt(noisy.num_values(round_number)) / mechanism.num_clients,
      signal_to_noise=tf.math.divide_no_nan(tf.linalg.global_norm(sums), tf.linalg.global_norm(noise)),
    )
    next_state = _state(round_number + 1, _next_bound(mechanism, bound, added['norms'], round_number), noise_state)
    return next_state, result, measurements

  return initial_state, finish


def _next_bound(
  mechanism: mechanism_lib.Mechanism, bound: tf.Tensor, norms: tf.Tensor, round_number: tf.Tensor
) -> tf.Tensor:
  if mechanism.quantile is None:
    return bound
  seed = tf.constant([mechanism.seed, _COUNT_NOISE], tf.int64)
  (noise,) = noise_lib.draw([tf.TensorSpec([])], seed, round_number)
  return mechanism.quantile.next_bound(bound, norms, noise, mechanism.num_clients)


def _state(round_number: tf.Tensor, bound: tf.Tensor, noise: Any) -> collections.OrderedDict[str, Any]:
  return collections.OrderedDict(round_number=round_number, bound=bound, noise=noise)
