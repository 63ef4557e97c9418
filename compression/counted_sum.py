"""Adding up what clients send while counting its bytes: the computations of `tff.federated_aggregate`.

A client sends a struct with a member `uncounted` beside the payload: the round's shared seed, because server values are
not visible where payloads are decoded, and the number of bytes in each column, because only the client knows them for
certain (see `presence`). The caller says how one client is added up; bytes and the seed are kept here.
"""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
import tensorflow_federated as tff


class Accumulation(NamedTuple):
  """The arguments `zero`, `accumulate` and `merge` of `tff.federated_aggregate`.

  The accumulator is `<added=..., num_bytes=<int64 per column>, num_bytes_max=int64, shared_seed=int64[2]>`.
  """

  zero: tff.Computation
  accumulate: tff.Computation
  merge: tff.Computation


def uncounted(shared_seed: tf.Tensor, **num_bytes: tf.Tensor) -> collections.OrderedDict[str, Any]:
  """Returns the member `uncounted` of what a client sends.

  Args:
    shared_seed: int64[2].
    **num_bytes: int64 []: the bytes of each column, by name.
  """
  return collections.OrderedDict(shared_seed=shared_seed, num_bytes=collections.OrderedDict(num_bytes))


def build_accumulation(
  sent_type: tff.types.StructType, zero_added: Callable[[], Any], add: Callable[[Any, Any], Any]
) -> Accumulation:
  """Builds the computations.

  Args:
    sent_type: The type of what a client sends; has a member made by `uncounted`.
    zero_added: Returns the sum over no clients, a structure of tensors that may be added up.
    add: Takes such a sum and what a client sent; returns the sum with that client.

  Returns:
    What `tff.federated_aggregate` takes.
  """
  columns = [name for name, _ in sent_type['uncounted']['num_bytes'].items()]

  @tff.tensorflow.computation
  def zero():
    nothing = tf.constant(0, tf.int64)
    return collections.OrderedDict(
      added=zero_added(),
      num_bytes=collections.OrderedDict((column, nothing) for column in columns),
      num_bytes_max=nothing,
      shared_seed=tf.zeros([2], tf.int64),
    )

  accumulator_type = zero.type_signature.result

  @tff.tensorflow.computation(accumulator_type, sent_type)
  def accumulate(total, sent):
    num_bytes = sent['uncounted']['num_bytes']
    return collections.OrderedDict(
      added=add(total['added'], sent),
      num_bytes=_sum(total['num_bytes'], num_bytes),
      num_bytes_max=tf.maximum(total['num_bytes_max'], tf.add_n(list(num_bytes.values()))),
      shared_seed=sent['uncounted']['shared_seed'],
    )

  @tff.tensorflow.computation(accumulator_type, accumulator_type)
  def merge(left, right):
    left_has_clients = left['num_bytes_max'] > 0
    return collections.OrderedDict(
      added=_sum(left['added'], right['added']),
      num_bytes=_sum(left['num_bytes'], right['num_bytes']),
      num_bytes_max=tf.maximum(left['num_bytes_max'], right['num_bytes_max']),
      shared_seed=tf.where(left_has_clients, left['shared_seed'], right['shared_seed']),
    )

  return Accumulation(zero, accumulate, merge)


def measurements(total: Any) -> collections.OrderedDict[str, tf.Tensor]:
  """Returns, of an accumulator, `upload_bytes`, `upload_bytes_<column>` each, and `upload_bytes_per_client_max`."""
  num_bytes = total['num_bytes']
  return collections.OrderedDict(
    upload_bytes=tf.add_n(list(num_bytes.values())),
    **{f'upload_bytes_{column}': count for column, count in num_bytes.items()},
    upload_bytes_per_client_max=total['num_bytes_max'],
  )


def _sum(left: Any, right: Any) -> Any:
  return tf.nest.map_structure(tf.add, left, right)
