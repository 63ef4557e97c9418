"""The mean of updates of which the server sees only the sum: `partial_mean.PartialMeanFactory`'s secure counterpart.

    mean_v = sum_k decode(round(encode(delta_{k,v}))) / clients that sent, or of those that trained v

All clients count alike. Who trained what is summed unseen, too.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import counted_sum
from compression import denominators as denominators_lib
from compression import sent_update
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from compression.secure_sums import modular
from compression.secure_sums import secure_sum as secure_sum_lib
from data import arguments
from models import model as model_lib


class SecureMeanFactory(tff.aggregators.WeightedAggregationFactory):
  """Builds an aggregation process as `partial_mean.PartialMeanFactory` does, of whole variables.

  Weights say whether a client has anything to add; those that are positive count alike. Where too few clients answer, the
  result says that nothing was trained. Measurements besides those of bytes, int64 at the server: `upload_bytes_keys` and
  `download_bytes_keys`, of the protocol by its formula (`protocol`); `wrapped_values` of the sum, which did not fit the
  field; `cut_values` of clients, beyond the grid; `aborted_rounds`, 1 where too few answered. `upload_bytes` has the
  keys, `upload_bytes_values` the masked values, and `upload_bytes_side` the counts.
  """

  def __init__(
    self,
    codec: update_codec_lib.UpdateCodec,
    plan: modular.SumPlan,
    could_send: Callable[[tf.Tensor], Sequence[bool | tf.Tensor]] | None = None,
    measure_distortion: bool = False,
    variables: Sequence[model_lib.Variable] | None = None,
    denominator: str = 'trained',
    together: Sequence[int] | None = None,
  ):
    """Configures the factory; see `partial_mean.PartialMeanFactory` for what is not told here.

    Args:
      codec: Encodes updates by linear stages.
      plan: Grid and field.
      could_send: From the number of a round, int64 [], whether any client could send each variable; all by default.
      measure_distortion: Makes every client decode what it sends.
      variables: Those of the model.
      denominator: `trained` or `all`.
      together: Which variables clients train together always.

    Raises:
      ValueError: For another denominator, and without a limit, since nothing else bounds a value.
    """
    if plan.limit is None:
      raise ValueError('a mean that is not private needs a limit on the values of its secure sum')
    arguments.check_one_of(denominators_lib.CHOICES, denominator=denominator)
    self._codec, self._plan, self._could_send = codec, plan, could_send
    self._measure_distortion, self._denominator, self._together = measure_distortion, denominator, together
    self._sub_models = None if variables is None else sub_models_lib.SubModels(variables)

  def create(self, value_type: tff.types.Type, weight_type: tff.types.Type) -> tff.templates.AggregationProcess:
    """Creates the process for a value type made by `sent_update.update_type` and a float32 weight.

    Raises:
      TypeError: For other types.
      ValueError: If the variables are not of the update's shapes.
    """
    tff.types.to_type(np.float32).check_assignable_from(weight_type)
    parts = sent_update.Parts.of(value_type, self._codec, self._sub_models, self._together)
    num_flags = 1 + (len(parts.sub_models.specs) if self._denominator == 'trained' else 0)
    summation = secure_sum_lib.SecureSum(
      parts, self._plan, self._could_send, num_flags, measure_distortion=self._measure_distortion
    )
    tell, next_round = _build_server(summation)
    send = _build_send(summation, value_type, tell.type_signature.result, num_flags)
    zero, accumulate, merge = counted_sum.build_accumulation(
      send.type_signature.result, summation.nothing, summation.add
    )
    report = _build_report(summation, zero.type_signature.result)

    @tff.federated_computation()
    def initialize():
      return tff.federated_value(np.int64(1), tff.SERVER)

    @tff.federated_computation(
      initialize.type_signature.result,
      tff.FederatedType(value_type, tff.CLIENTS),
      tff.FederatedType(weight_type, tff.CLIENTS),
    )
    def next_fn(round_number, updates, weights):
      told = tff.federated_broadcast(tff.federated_map(tell, round_number))
      sent = tff.federated_map(send, (updates, weights, told))
      total = tff.federated_aggregate(sent, zero(), accumulate, merge, report)
      return tff.templates.MeasuredProcessOutput(
        tff.federated_map(next_round, round_number), total['result'], total['measurements']
      )

    return tff.templates.AggregationProcess(initialize, next_fn)


def _build_server(summation: secure_sum_lib.SecureSum) -> tuple[tff.Computation, tff.Computation]:
  """Builds what a round's number tells clients, and the next one."""

  @tff.tensorflow.computation(np.int64)
  def tell(round_number):
    return summation.given(round_number, tf.constant(0.0))

  @tff.tensorflow.computation(np.int64)
  def next_round(round_number):
    return round_number + 1

  return tell, next_round


def _build_send(
  summation: secure_sum_lib.SecureSum, value_type: tff.types.Type, given_type: tff.types.Type, num_flags: int
) -> tff.Computation:
  @tff.tensorflow.computation(value_type, np.float32, given_type)
  def send(update, weight, given):
    flags = tf.concat([[weight > 0.0], update['trained']], axis=0)[:num_flags]
    return summation.send(update, weight, flags, given)

  return send


def _build_report(summation: secure_sum_lib.SecureSum, accumulator_type: tff.types.Type) -> tff.Computation:
  @tff.tensorflow.computation(accumulator_type)
  def report(total):
    added, counted = total['added'], counted_sum.measurements(total)
    summed = summation.finish(added, total['shared'])
    return collections.OrderedDict(
      result=_mean(summed.tensors, summed.counts, summed.is_known, total['shared']['travels']),
      measurements=summation.measurements(counted, added),
    )

  return report


def _mean(
  tensors: Sequence[tf.Tensor], counts: tf.Tensor, is_known: tf.Tensor, travels: tf.Tensor
) -> collections.OrderedDict[str, Any]:
  """Divides by who trained each variable where clients said so, else by all that had anything to add."""
  num_variables = len(tensors)
  of_variables = counts[1:] if counts.shape[0] > 1 else tf.where(travels, counts[0], 0)
  divisors = tf.unstack(tf.cast(of_variables, tf.float32), num_variables)
  return collections.OrderedDict(
    delta=tuple(tf.math.divide_no_nan(each, divisor) for each, divisor in zip(tensors, divisors, strict=True)),
    trained=tf.logical_and(of_variables > 0, is_known),
  )
