"""A codec: a chain of stages from a tensor to the payload that travels, and back.

codec = Codec([Uniform(bits=8)])
payload = codec.encode(delta, client_seed, shared_seed)
codec.decode(payload, tf.TensorSpec.from_tensor(delta), shared_seed)   # about delta
num_bytes(payload)                                                     # delta.size + 8
"""

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
      ValueError: If a stage cannot encode what the one before it leaves.
    """
    self._stages = tuple(stages)
    kind, before = stage_lib.Kind.FLOATS, None
    for stage in self._stages:
      if stage.takes != kind:
        given = f'{_name(before)} leaves {kind.value}' if before else 'an update is floats'
        raise ValueError(f'{_name(stage)} encodes {stage.takes.value}, but {given}: such a chain makes no sense')
      kind, before = stage.gives, stage

  def split(self) -> tuple['Codec', 'Codec']:
    """Returns the leading linear stages, and the rest, whose seeds still are those of this codec."""
    count = 0
    while count < len(self._stages) and self._stages[count].linear:
      count += 1
    return Codec(self._stages[:count]), _Suffix(self._stages[count:], count)

  def form(self, form: stage_lib.Form) -> stage_lib.Form:
    """Returns what the last stage makes of a tensor of `form`."""
    return self._forms(form)[-1]

  def encode(self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> Payload:
    """Encodes a float32 tensor of static shape; the seeds are int64[2], see `Stage.encode`."""
    forms = self._forms(_floats(x.shape.num_elements()))
    x, side = tf.reshape(x, [-1]), []
    for index, stage in enumerate(self._stages):
      x, stage_side = stage.encode(x, forms[index], self._fold(client_seed, index), self._fold(shared_seed, index))
      side.append(stage_side)
    if forms[-1].kind == stage_lib.Kind.LEVELS:
      x = bitpack.pack(x, _bits(forms[-1]))
    return Payload(x, tuple(side))

  def decode(self, payload: Payload, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Inverts `encode`; the result has `spec`'s shape, its leading axis perhaps unknown to the graph."""
    forms = self._forms(_floats(spec.shape.num_elements()))
    x = payload.values
    if forms[-1].kind == stage_lib.Kind.LEVELS:
      x = bitpack.unpack(x, _bits(forms[-1]), forms[-1].size)
    for index in reversed(range(len(self._stages))):
      x = self._stages[index].decode(x, payload.side[index], forms[index], self._fold(shared_seed, index))
    return _shaped(x, spec)

  def empty_payload(self, spec: tf.TensorSpec) -> Payload:
    """Returns the payload of a tensor of `spec` that is not sent: no bytes at all, in the structure of one that is."""
    seed = tf.TensorSpec([2], tf.int64)
    sent = tf.function(self.encode).get_concrete_function(spec, seed, seed).structured_outputs
    return tf.nest.map_structure(lambda tensor: tf.zeros([0], tensor.dtype), sent)

  def _forms(self, form: stage_lib.Form) -> list[stage_lib.Form]:
    """Returns the form before each stage, and that after the last."""
    forms = [form]
    for stage in self._stages:
      forms.append(stage.form(forms[-1]))
    return forms

  def _fold(self, seed: tf.Tensor, index: int) -> tf.Tensor:
    """Gives every stage seeds of its own."""
    return tf.random.experimental.stateless_fold_in(seed, tf.constant(index, tf.int64))


class _Suffix(Codec):
  """The stages of a codec after its first `skipped` ones."""

  def __init__(self, stages: Sequence[stage_lib.Stage], skipped: int):
    super().__init__(stages)
    self._skipped = skipped

  def _fold(self, seed: tf.Tensor, index: int) -> tf.Tensor:
    return super()._fold(seed, index + self._skipped)


def num_bytes(tensors: tf.Tensor | Sequence) -> tf.Tensor:
  """Counts the bytes that a structure of tensors holds: int64 []."""
  sizes = [tf.size(tensor, tf.int64) * tensor.dtype.size for tensor in tf.nest.flatten(tensors)]
  return tf.add_n(sizes) if sizes else tf.constant(0, tf.int64)


def _floats(size: int) -> stage_lib.Form:
  return stage_lib.Form(stage_lib.Kind.FLOATS, size)


def _bits(form: stage_lib.Form) -> int:
  return max(1, (form.num_levels - 1).bit_length())


def _name(stage: stage_lib.Stage) -> str:
  return type(stage).__name__.lower()


def _shaped(x: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
  """Gives `x` the shape of `spec` while its leading axis stays unknown to the graph."""
  if spec.shape.rank == 0:
    return tf.reduce_sum(x)
  if spec.shape.num_elements() == 0:
    return tf.zeros(spec.shape)
  return tf.reshape(x, [-1, *spec.shape[1:]])
