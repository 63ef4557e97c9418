"""What a client sends of its update, possibly partial or of a sub-model: its type, and the encoding that counts it."""

import collections
from collections.abc import Callable
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
from compression import partial_sum
from compression import slices
from compression import sub_models as sub_models_lib
from compression import update_codec as update_codec_lib
from models import model as model_lib


def update_type(
  delta_type: tff.types.StructType, layouts: Sequence[slices.Layout] = (slices.WHOLE,)
) -> tff.types.StructType:
  """Returns the type of the update that an aggregation takes from each client.

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


class Parts(NamedTuple):
  """What the computations at clients and server are made of.

  Attributes:
    codec: Encodes updates, by a parameter.
    sub_models: What clients may hold of the variables.
    together: See `UpdateCodec`.
  """

  codec: adaptive.AdaptiveCodec
  sub_models: sub_models_lib.SubModels
  together: tuple[int, ...] | None

  @classmethod
  def of(
    cls,
    value_type: tff.types.StructType,
    codec: update_codec_lib.UpdateCodec | adaptive.AdaptiveCodec,
    sub_models: sub_models_lib.SubModels | None,
    together: Sequence[int] | None,
  ) -> 'Parts':
    """Returns the parts for updates of a type; without sub-models all clients hold the whole.

    Raises:
      TypeError: For a type that `update_type` does not make.
      ValueError: If the variables are not of the update's shapes.
    """
    specs = tensor_specs(value_type['delta'])
    if sub_models is None:
      variables = [model_lib.Variable(str(i), tuple(spec.shape), model_lib.zeros) for i, spec in enumerate(specs)]
      sub_models = sub_models_lib.SubModels(variables)
    elif sub_models.specs != specs:
      raise ValueError(
        f'an update of {value_type["delta"]} is not of variables of shapes {[s.shape for s in sub_models.specs]}'
      )
    if together is not None and len(together) != len(specs):
      raise ValueError(f'together is of {len(together)} variables, the update of {len(specs)}')
    update_type(value_type['delta'], sub_models.layouts).check_assignable_from(value_type)
    codec = codec if isinstance(codec, adaptive.AdaptiveCodec) else adaptive.Fixed(codec)
    return cls(codec, sub_models, None if together is None else tuple(together))

  def update_codec(self, parameter: tf.Tensor) -> update_codec_lib.UpdateCodec:
    """Returns the codec for a parameter, float32 []."""
    sizes = tuple(spec.shape.num_elements() for spec in self.sub_models.specs)
    return dataclasses.replace(self.codec.at(parameter), sizes=sizes, together=self.together)

  def sum(self, parameter: tf.Tensor) -> partial_sum.PartialSum:
    """Returns what adds up updates of that codec."""
    return partial_sum.PartialSum(self.sub_models, self.update_codec(parameter))


def encode(
  parts: Parts,
  update: Any,
  weight: tf.Tensor,
  parameter: tf.Tensor,
  vote: Callable[[adaptive.Ballot], tf.Tensor],
  measure_distortion: bool,
) -> collections.OrderedDict[str, Any]:
  """Encodes a client's update, and counts what travels.

  Args:
    parts: The parts.
    update: The members of an `update_type`.
    weight: float32 [].
    parameter: float32 [], the server's for this round.
    vote: What the client says besides, uint8 of rank 1, if it trained anything; it counts as side information.
    measure_distortion: Whether the client decodes what it encoded.

  Returns:
    What it sends, with a member made by `counted_sum.uncounted`, whose `shared` are the round's seed and parameter.
  """
  has_units = bool(parts.sub_models.counts)
  layout, units = (update['layout'], update['units']) if has_units else (tf.constant(0), {})
  sent = parts.sub_models.switch(
    layout, functools.partial(_encode_slices, parts, update, units, parameter, vote, measure_distortion)
  )
  claim = parts.sub_models.claim(layout, sent['keys'], units)
  values, side = update_codec_lib.num_bytes(update_codec_lib.Sent(payloads(sent), sent['bitmap']))
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


def kept_norm(parts: Parts, update: Any) -> tf.Tensor:
  """Returns the norm of those values of a client's update that its codec keeps, float64 []."""
  has_units = bool(parts.sub_models.counts)
  layout, units = (update['layout'], update['units']) if has_units else (tf.constant(0), {})

  def norm(layout: slices.Layout) -> tf.Tensor:
    tensors, _ = _held(parts, update, units, layout)
    codec = parts.update_codec(tf.constant(1.0))
    return codec.kept_norm(tensors, update['trained'], update['client_seed'], update['shared_seed'])

  return parts.sub_models.switch(layout, norm)


def _held(
  parts: Parts, update: Any, units: Mapping[str, tf.Tensor], layout: slices.Layout
) -> tuple[list[tf.Tensor], dict[str, tf.Tensor]]:
  """Returns what a client of a layout has of its update, and the indices of its units."""
  indices = parts.sub_models.indices(layout, units)
  tensors = [
    layout.take(variable, tensor, indices)
    for variable, tensor in zip(parts.sub_models.variables, update['delta'], strict=True)
  ]
  return tensors, indices


def _encode_slices(
  parts: Parts,
  update: Any,
  units: Mapping[str, tf.Tensor],
  parameter: tf.Tensor,
  vote: Callable[[adaptive.Ballot], tf.Tensor],
  measure_distortion: bool,
  layout: slices.Layout,
) -> collections.OrderedDict[str, Any]:
  """Encodes what a client of one layout has; the structure does not depend on the layout, the lengths do."""
  trained, client_seed, shared_seed = update['trained'], update['client_seed'], update['shared_seed']
  tensors, indices = _held(parts, update, units, layout)
  update_codec = parts.update_codec(parameter)
  sent = update_codec.encode(tensors, trained, client_seed, shared_seed)
  ballot = adaptive.Ballot(parts.update_codec, tensors, trained, parameter, client_seed, shared_seed)
  said = tf.cond(tf.reduce_any(trained), lambda: vote(ballot), lambda: tf.zeros([0], tf.uint8))
  specs = parts.sub_models.specs_in(layout)
  return collections.OrderedDict(
    payloads=tuple((payload.values, payload.side) for payload in sent.payloads),
    bitmap=sent.bitmap,
    vote=said,
    keys=parts.sub_models.pack(layout, indices, tf.logical_or(trained, tf.logical_not(update['answers']))),
    squares=update_codec.squared_error(tensors, sent, specs, shared_seed) if measure_distortion else tf.zeros([2]),
  )


def payloads(sent: Mapping[str, Any]) -> tuple[codec_lib.Payload, ...]:
  """Returns the payloads of what a client sent."""
  return tuple(codec_lib.Payload(*payload) for payload in sent['payloads'])
