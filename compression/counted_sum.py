"""Adding up what clients send while counting its bytes: the computations of `tff.federated_aggregate`.

What a client sends is a struct with a member `uncounted` beside the payload. It holds what all clients of a round share,
such as a seed, because server values are not visible where payloads are decoded, and the bytes of each column, because
only the client knows them for certain (see `presence`). The caller says how to add up one client; the rest is kept here.
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import tensorflow as tf
import tensorflow_federated as tff


class Accumulation(NamedTuple):
  """The arguments `zero`, `accumulate` and `merge` of `tff.federated_aggregate`.

  The accumulator is `<added=..., shared=..., num_bytes=<int64 per column>, num_bytes_max=int64>`.
  """

  zero: tff.Computation
  accumulate: tff.Computation
  merge: tff.Computation


def uncounted(
  shared: Mapping[str, tf.Tensor], num_bytes: Mapping[str, tf.Tensor], **more: tf.Tensor
) -> collections.OrderedDict[str, Any]:
  """Returns the member `uncounted` of what a client sends.

  Args:
    shared: Equal for all clients of a round.
    num_bytes: int64 []: the bytes of each column, by name.
    **more: What else the sum needs, such as errors that were measured.
  """
  return collections.OrderedDict(
    shared=collections.OrderedDict(shared), num_bytes=collections.OrderedDict(num_bytes), **more
  )


def build_accumulation(
  sent_type: tff.types.StructType, nothing: Callable[[], tuple[Any, Mapping[str, tf.Tensor]]], add: Callable[..., Any]
) -> Accumulation:
  """Builds the computations.

  Args:
    sent_type: The type of what a client sends; has a member made by `uncounted`.
    nothing: Returns the sum over no clients, a structure of tensors that may be added up, and what stands for `shared`.
    add: Takes such a sum and what a client sent; returns the sum with that client.

  Returns:
    What `tff.federated_aggregate` takes.
  """
  columns = list(tff.types.structure_from_tensor_type_tree(lambda _: None, sent_type['uncounted']['num_bytes']))

  @tff.tensorflow.computation
  def zero():
    added, shared = nothing()
    return collections.OrderedDict(
      added=added,
      shared=collections.OrderedDict(shared),
      num_bytes=collections.OrderedDict((column, tf.constant(0, tf.int64)) for column in columns),
      num_bytes_max=tf.constant(0, tf.int64),
    )

  accumulator_type = zero.type_signature.result

  @tff.tensorflow.computation(accumulator_type, sent_type)
  def accumulate(total, sent):
    num_bytes = sent['uncounted']['num_bytes']
    return collections.OrderedDict(
      added=add(total['added'], sent),
      shared=sent['uncounted']['shared'],
      num_bytes=_sum(total['num_bytes'], num_bytes),
      num_bytes_max=tf.maximum(total['num_bytes_max'], tf.add_n(list(num_bytes.values()))),
    )

  @tff.tensorflow.computation(accumulator_type, accumulator_type)
  def merge(left, right):
    left_has_clients = left['num_bytes_max'] > 0
    return collections.OrderedDict(
      added=_sum(left['added'], right['added']),
      shared=tf.nest.map_structure(
        lambda *either: tf.where(left_has_clients, *either), left['shared'], right['shared']
      ),
      num_bytes=_sum(left['num_bytes'], right['num_bytes']),
      num_bytes_max=tf.maximum(left['num_bytes_max'], right['num_bytes_max']),
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
