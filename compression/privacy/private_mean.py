"""The aggregation of private rounds: what a client sends is bounded before it is encoded and again once it is decoded.

    mean = (sum_k clip(decode(encode(clip(delta_k, bound))), bound) + noise_multiplier bound noise) / num_clients

The inner bound is on the norm of what the codec keeps: of `topk` what it leaves, so that no noise is spent on what does not
travel. So no client changes the sum by more than the bound, whatever its codec makes of it; in a secure sum, which shows no
update by itself, clients bound what they have rounded (see `secure_sums.grid`). The divisor does not depend on who
takes part, and the noise goes on every value that any client could have sent, whether one did or not.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import client_sum
from compression import counted_sum
from compression import sent_update
from compression import slices
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from compression.privacy import clipping
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise as noise_lib
from compression.privacy import seen_sum
from compression.secure_sums import modular
from compression.secure_sums import secure_sum as secure_sum_lib
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
    secure_sum: modular.SumPlan | None = None,
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
      secure_sum: How clients are added up without being seen; by default they are seen.
    """
    self._codec, self._mechanism, self._measure_distortion = codec, mechanism, measure_distortion
    self._sub_models = None if variables is None else sub_models_lib.SubModels(variables, layouts, units_per_key)
    self._together, self._secure_sum = together, secure_sum

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `sent_update.update_type` and a float32 weight.

    Raises:
      TypeError: For other types.
      ValueError: If the variables are not of the update's shapes.
    """
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    parts = sent_update.Parts.of(value_type, self._codec, self._sub_models, self._together)
    num_flags = 0 if self._mechanism.quantile is None else 2
    summation = self._summation(parts, num_flags)
    tell = _build_tell(summation)
    send = _build_send(summation, value_type, tell.type_signature.result, num_flags)
    zero, accumulate, merge = _build_accumulation(summation, send.type_signature.result)
    report = _build_report(summation, zero.type_signature.result)
    noisy = _Noisy(self._mechanism, parts.sub_models)
    initial_state, finish = _build_server(noisy, summation, report.type_signature.result)

    @tff.federated_computation()
    def initialize():
      return tff.federated_eval(initial_state, tff.SERVER)

    @tff.federated_computation(
      initialize.type_signature.result,
      tff.FederatedType(value_type, tff.CLIENTS),
      tff.FederatedType(weight_type, tff.CLIENTS),
    )
    def next_fn(state, updates, weights):
      told = tff.federated_broadcast(tff.federated_map(tell, (state['round_number'], state['bound'])))
      sent = tff.federated_map(send, (updates, weights, told))
      total = tff.federated_aggregate(sent, zero(), accumulate, merge, report)
      state, result, measurements = tff.federated_map(finish, (state, total))
      return tff.templates.MeasuredProcessOutput(state, result, measurements)

    return tff.templates.AggregationProcess(initialize, next_fn)

  def _summation(self, parts: sent_update.Parts, num_flags: int) -> client_sum.ClientSum:
    if self._secure_sum is None:
      return seen_sum.SeenSum(parts, self._measure_distortion)
    return secure_sum_lib.SecureSum(
      parts, self._secure_sum, self._mechanism.could_send, num_flags, self._mechanism.bound, self._measure_distortion
    )


def _build_tell(summation: client_sum.ClientSum) -> tff.Computation:
  """Builds the server's computation from (round number, bound) to what it tells clients."""

  @tff.tensorflow.computation(np.int64, np.float32)
  def tell(round_number, bound):
    return summation.given(round_number, bound)

  return tell


class _Noisy:
  """Which values of the variables get noise."""

  def __init__(self, mechanism: mechanism_lib.Mechanism, sub_models: sub_models_lib.SubModels):
    self.mechanism, self._sub_models = mechanism, sub_models
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

  def units(self, round_number: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns which units of each sliced variable any client could hold in a round: bool [count] each."""
    held = {} if self.mechanism.held_units is None else self.mechanism.held_units(round_number)
    units = [self._sub_models.variables[index].units for index in self._sub_models.sliced]
    return tuple(tf.range(each.count) < held.get(each.axis, each.count) for each in units)

  def spread(self, noise: Sequence[tf.Tensor], round_number: tf.Tensor) -> list[tf.Tensor]:
    """Returns noise for each variable: that of `specs` where a client could send, and zeros elsewhere."""
    sliced = dict(zip(self._sub_models.sliced, self.units(round_number), strict=True))
    flags, spread = self.could_send(round_number), [tf.zeros(spec.shape) for spec in self._sub_models.specs]
    for index, each in zip(self.indices, noise, strict=True):
      spread[index] = tf.where(flags[index], each, 0.0)
      if index in sliced:
        variable = self._sub_models.variables[index]
        spread[index] = tf.where(slices.spread(sliced[index], variable.units, variable.shape), spread[index], 0.0)
    return spread


def _build_send(
  summation: client_sum.ClientSum, value_type: tff.types.Type, given_type: tff.types.Type, num_flags: int
) -> tff.Computation:
  """Builds the client's computation from (update, weight, what the server told) to what travels, and the count of it."""

  @tff.tensorflow.computation(value_type, np.float32, given_type)
  def send(update, weight, given):
    delta, norm = clipping.clip(update['delta'], given['bound'], summation.norm(update))
    within, is_sent = norm <= given['bound'], tf.reduce_any(update['trained'])
    flags = tf.stack([is_sent & within, is_sent & ~within])
    sent = summation.send(collections.OrderedDict(update, delta=delta), weight, flags[:num_flags], given)
    sent['uncounted']['norms'] = tf.cast(flags, tf.int64)
    return sent

  return send


def _build_accumulation(summation: client_sum.ClientSum, sent_type: tff.types.Type) -> counted_sum.Accumulation:
  def nothing():
    added, shared = summation.nothing()
    return collections.OrderedDict(sum=added, norms=tf.zeros([2], tf.int64)), shared

  def add(added, sent):
    return collections.OrderedDict(
      sum=summation.add(added['sum'], sent), norms=added['norms'] + sent['uncounted']['norms']
    )

  return counted_sum.build_accumulation(sent_type, nothing, add)


def _build_report(summation: client_sum.ClientSum, accumulator_type: tff.types.Type) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    counted = counted_sum.measurements(total)
    return collections.OrderedDict(
      added=total['added'],
      shared=total['shared'],
      measurements=summation.measurements(counted, total['added']['sum']),
    )

  return report


def _build_server(
  noisy: _Noisy, summation: client_sum.ClientSum, total_type: tff.types.Type
) -> tuple[tff.Computation, tff.Computation]:
  """Builds what makes the server's first state, and what takes (state, total) to (state, result, measurements)."""
  mechanism = noisy.mechanism

  @tff.tensorflow.computation
  def initial_state():
    return _state(tf.constant(1, tf.int64), tf.constant(mechanism.bound), mechanism.noise.initial_state(noisy.specs))

  @tff.tensorflow.computation(initial_state.type_signature.result, total_type)
  def finish(state, total):
    round_number, bound, norms = state['round_number'], state['bound'], total['added']['norms']
    seed = tf.constant([mechanism.seed, _NOISE], tf.int64)
    drawn, noise_state = mechanism.noise.next(state['noise'], seed, round_number, noisy.specs)
    stddev = mechanism.noise_multiplier * bound
    noise = [stddev * each for each in noisy.spread(drawn, round_number)]
    summed = summation.finish(total['added']['sum'], total['shared'])
    flags = [tf.convert_to_tensor(flag, tf.bool) for flag in noisy.could_send(round_number)]
    result = collections.OrderedDict(
      delta=tuple(
        (each + noise_of_it) / mechanism.num_clients for each, noise_of_it in zip(summed.tensors, noise, strict=True)
      ),
      trained=tf.logical_and(tf.stack(flags), summed.is_known),
    )
    if units := noisy.units(round_number):
      result['units'] = units
    measurements = collections.OrderedDict(
      total['measurements'],
      clip=bound,
      clipped_fraction=tf.math.divide_no_nan(tf.cast(norms[1], tf.float32), tf.cast(tf.reduce_sum(norms), tf.float32)),
      **_loudness(summed, noise, noisy.num_values(round_number), mechanism.num_clients),
    )
    next_bound = tf.where(summed.is_known, _next_bound(mechanism, bound, norms, round_number), bound)
    return _state(round_number + 1, next_bound, noise_state), result, measurements

  return initial_state, finish


def _loudness(
  summed: client_sum.Summed, noise: Sequence[tf.Tensor], num_values: tf.Tensor, num_clients: int
) -> dict[str, tf.Tensor]:
  """Measures the noise, of server and clients together; zeros if nothing is added to the model."""
  norm = tf.linalg.global_norm(
    [of_server + of_clients for of_server, of_clients in zip(noise, summed.noise, strict=True)]
  )
  signal = tf.linalg.global_norm([each - of_it for each, of_it in zip(summed.tensors, summed.noise, strict=True)])
  stddev, ratio = norm / tf.sqrt(num_values) / num_clients, tf.math.divide_no_nan(signal, norm)
  return dict(
    noise_stddev=tf.where(summed.is_known, stddev, 0.0), signal_to_noise=tf.where(summed.is_known, ratio, 0.0)
  )


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
