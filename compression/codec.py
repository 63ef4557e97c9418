"""A codec: a chain of stages from a tensor to the payload that travels, and back.

codec = Codec([Uniform(bits=8)])
payload = codec.encode(delta, client_seed, shared_seed)
codec.decode(payload, tf.TensorSpec.from_tensor(delta), shared_seed)   # about delta
num_bytes(payload)                                                     # delta.size + 8
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from compression import stage as stage_lib


class Payload(NamedTuple):
  """What travels for one tensor.

  Attributes:
    values: Rank 1: what the last stage left of the tensor.
    side: For each stage, its side information: tensors of rank 1.
  """

  values: tf.Tensor
  side: tuple[stage_lib.Side, ...]


class Codec:
  """Encodes float32 tensors by its stages in order; with no stage, the values travel as they are."""

  def __init__(self, stages: Sequence[stage_lib.Stage] = ()):
    self._stages = tuple(stages)

  def encode(self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> Payload:
    """Encodes a float32 tensor of static shape; the seeds are int64[2], see `Stage.encode`."""
    side = []
    for index, stage in enumerate(self._stages):
      x, stage_side = stage.encode(x, _fold(client_seed, index), _fold(shared_seed, index))
      side.append(stage_side)
    return Payload(tf.reshape(x, [-1]), tuple(side))

  def decode(self, payload: Payload, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Inverts `encode`; the result has `spec`'s shape, its leading axis perhaps unknown to the graph."""
    specs = [spec]
    for stage in self._stages[:-1]:
      specs.append(stage.encoded_spec(specs[-1]))
    x = payload.values
    for index in reversed(range(len(self._stages))):
      x = self._stages[index].decode(x, payload.side[index], specs[index], _fold(shared_seed, index))
    return stage_lib.shaped(x, spec)

  def empty_payload(self, spec: tf.TensorSpec) -> Payload:
    """Returns the payload of a tensor of `spec` that is not sent: no bytes at all, in the structure of one that is."""
    seed = tf.TensorSpec([2], tf.int64)
    sent = tf.function(self.encode).get_concrete_function(spec, seed, seed).structured_outputs
    return tf.nest.map_structure(lambda tensor: tf.zeros([0], tensor.dtype), sent)


def num_bytes(tensors: tf.Tensor | Sequence) -> tf.Tensor:
  """Counts the bytes that a structure of tensors holds: int64 []."""
  sizes = [tf.size(tensor, tf.int64) * tensor.dtype.size for tensor in tf.nest.flatten(tensors)]
  return tf.add_n(sizes) if sizes else tf.constant(0, tf.int64)


def _fold(seed: tf.Tensor, index: int) -> tf.Tensor:
  return tf.random.experimental.stateless_fold_in(seed, tf.constant(index, tf.int64))
