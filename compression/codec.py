"""A codec: a chain of stages from a tensor to the payload that travels, and back.

codec = Codec([Uniform(bits=8)])
payload = codec.encode(delta, client_seed, shared_seed)
codec.decode(payload, tf.TensorSpec.from_tensor(delta), shared_seed)   # about delta
num_bytes(payload)                                                     # delta.size + 8
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from compression import bitpack
from compression import stage as stage_lib


class Payload(NamedTuple):
  """What travels for one tensor.

  Attributes:
    values: Rank 1: what the last stage left of the tensor; levels are packed into bytes.
    side: For each stage, its side information: tensors of rank 1.
  """

  values: tf.Tensor
  side: tuple[stage_lib.Side, ...]


class Codec:
  """Encodes float32 tensors by its stages in order; with no stage, the values travel as they are."""

  def __init__(self, stages: Sequence[stage_lib.Stage] = ()):
    """Chains stages.

    Args:
      stages: In the order of encoding.

    Raises:
      ValueError: If a stage cannot encode what the one before it leaves, or not so many levels.
    """
    self._stages = tuple(stages)
    kind, before = stage_lib.Kind.FLOATS, None
    for stage in self._stages:
      if stage.takes != kind:
        given = f'{_name(before)} leaves {kind.value}' if before else 'an update is floats'
        raise ValueError(f'{_name(stage)} encodes {stage.takes.value}, but {given}: such a chain makes no sense')
      kind, before = stage.gives, stage
    self._num_linear = next((i for i, stage in enumerate(self._stages) if not stage.linear), len(self._stages))
    self._traced: dict[tuple[int, ...], Callable[..., Payload]] = {}
    self.forms(tf.TensorSpec([1]))  # Stages refuse here what no tensor would make sense of, such as too many levels.

  def __str__(self) -> str:
    return '|'.join(_name(stage) for stage in self._stages) or 'identity'

  @property
  def not_linear(self) -> str | None:
    """The name of the first stage whose payloads cannot be added up before they are decoded; None if there is none."""
    stages = self._stages[self._num_linear :]
    return _name(stages[0]) if stages else None

  def encode(self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> Payload:
    """Encodes a float32 tensor of static shape; the seeds are int64[2], see `Stage.encode`."""
    values, side = self.encode_by_stages(x, client_seed, shared_seed)
    form = self.forms(tf.TensorSpec(x.shape))[-1]
    if form.kind == stage_lib.Kind.LEVELS:
      return Payload(bitpack.pack_levels(values[-1], form.num_levels), side)
    return Payload(values[-1], side)

  def kept(self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the values of a tensor that the leading stages which keep some leave, rank 1: all of them without such."""
    forms, values = self.forms(tf.TensorSpec(x.shape)), tf.reshape(x, [-1])
    for index, stage in enumerate(self._stages):
      if not stage.keeps:
        break
      values, _ = stage.encode(values, forms[index], _fold(client_seed, index), _fold(shared_seed, index))
    return values

  def encode_by_stages(
    self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[list[tf.Tensor], tuple[stage_lib.Side, ...]]:
    """Returns the values before the first stage and after each, whose forms `forms` returns, and side information."""
    forms, values, side = self.forms(tf.TensorSpec(x.shape)), [tf.reshape(x, [-1])], []
    for index, stage in enumerate(self._stages):
      x, stage_side = stage.encode(values[-1], forms[index], _fold(client_seed, index), _fold(shared_seed, index))
      values.append(x)
      side.append(stage_side)
    return values, tuple(side)

  def decode(self, payload: Payload, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Inverts `encode`; the result has `spec`'s shape, its leading axis perhaps unknown to the graph.

    Raises:
      InvalidArgumentError: When the graph runs, for a payload whose size is not one that this codec makes.
    """
    return self.decode_sum(self.decode_term(payload, spec, shared_seed), spec, shared_seed)

  def decode_term(self, payload: Payload, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Undoes all but the leading linear stages: what may be added up over clients before `decode_sum`.

    Returns:
      float32 [term_size(spec)], its length perhaps unknown to the graph.
    """
    forms = self.forms(spec)
    with tf.control_dependencies(self._size_checks(payload, spec)):
      x = tf.identity(payload.values)
    if forms[-1].kind == stage_lib.Kind.LEVELS:
      x = bitpack.unpack_levels(x, forms[-1].num_levels, forms[-1].size)
    for index in reversed(range(self._num_linear, len(self._stages))):
      x = self._stages[index].decode(x, payload.side[index], forms[index], _fold(shared_seed, index))
    return x

  def decode_sum(self, x: tf.Tensor, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Undoes the leading linear stages of a term or of a weighted sum of terms."""
    forms = self.forms(spec)
    for index in reversed(range(self._num_linear)):
      x = self._stages[index].decode(x, (), forms[index], _fold(shared_seed, index))
    return _shaped(x, spec)

  def term_size(self, spec: tf.TensorSpec) -> int:
    """Returns the number of values of what `decode_term` makes of a payload for `spec`."""
    return self.forms(spec)[self._num_linear].size

  def empty_payload(self, spec: tf.TensorSpec) -> Payload:
    """Returns the payload of a tensor of `spec` that is not sent: no bytes at all, in the structure of one that is."""
    return tf.nest.map_structure(lambda tensor: tf.zeros([0], tensor.dtype), self.payload_spec(spec))

  def payload_spec(self, spec: tf.TensorSpec) -> Payload:
    """Returns the dtypes of a payload, and those of its lengths that are fixed."""
    return tf.nest.map_structure(tf.TensorSpec.from_tensor, self.traced_encode(spec).structured_outputs)

  def traced_encode(self, spec: tf.TensorSpec) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], Payload]:
    """Returns `encode` for tensors of one shape, traced once for all graphs, since tracing takes long."""
    key = tuple(spec.shape)
    if key not in self._traced:
      seed = tf.TensorSpec([2], tf.int64)
      self._traced[key] = tf.function(self.encode, autograph=False).get_concrete_function(spec, seed, seed)
    return self._traced[key]

  def _size_checks(self, payload: Payload, spec: tf.TensorSpec) -> list[tf.Operation]:
    expected, found = tf.nest.flatten(self.payload_spec(spec)), tf.nest.flatten(payload)
    return [
      tf.debugging.assert_equal(tf.size(tensor), length.shape[0], f'this payload is not one of codec {self}')
      for length, tensor in zip(expected, found, strict=True)
      if length.shape[0] is not None
    ]

  def forms(self, spec: tf.TensorSpec) -> list[stage_lib.Form]:
    """Returns the form before each stage, and that after the last."""
    forms = [stage_lib.Form(stage_lib.Kind.FLOATS, spec.shape.num_elements())]
    for stage in self._stages:
      forms.append(stage.form(forms[-1]))
    return forms


def num_bytes(tensors: tf.Tensor | Sequence) -> tf.Tensor:
  """Counts the bytes that a structure of tensors holds: int64 []."""
  sizes = [tf.size(tensor, tf.int64) * tensor.dtype.size for tensor in tf.nest.flatten(tensors)]
  return tf.add_n(sizes) if sizes else tf.constant(0, tf.int64)


def _fold(seed: tf.Tensor, index: int) -> tf.Tensor:
  """Gives every stage seeds of its own."""
  return tf.random.experimental.stateless_fold_in(seed, tf.constant(index, tf.int64))


def _name(stage: stage_lib.Stage) -> str:
  return type(stage).__name__.lower()


def _shaped(x: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
  """Gives `x` the shape of `spec` while its leading axis stays unknown to the graph."""
  if spec.shape.rank == 0:
    return tf.reduce_sum(x)
  if spec.shape.num_elements() == 0:
    return tf.zeros(spec.shape)
  return tf.reshape(x, [-1, *spec.shape[1:]])
