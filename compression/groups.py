"""Groups of variables that are encoded as one tensor, each with one payload, and how they are coded one by one."""

from collections.abc import Callable
from collections.abc import Sequence
import functools
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from compression import codec as codec_lib

NEVER = -1  # In `UpdateCodec.together`: of a variable that never travels.


class VariableGroup(NamedTuple):
  """Variables that one payload holds.

  Attributes:
    members: Their indices.
    sizes: Their numbers of values.
    spec: What is encoded: the variable itself, or all members flattened into one.
    codec: Encodes it.
    together: Whether all members travel, or none. Otherwise what is left out is encoded as zeros, which most codecs
      decode to something else: such a group is decoded in full, one client at a time, and what was left out is dropped.
  """

  members: tuple[int, ...]
  sizes: tuple[int, ...]
  spec: tf.TensorSpec
  codec: codec_lib.Codec
  together: bool

  @property
  def term_size(self) -> int:
    """The number of values of what is added up over clients."""
    return self.codec.term_size(self.spec) if self.together else sum(self.sizes)


class GroupEncoder:
  """Encodes groups one by one, tracing groups of one codec and shape once for all: far smaller graphs."""

  def __init__(self, client_seed: tf.Tensor, shared_seed: tf.Tensor):
    """Takes the seeds of `Codec.encode`; every group has a client's seed of its own."""
    self._client_seed, self._shared_seed = client_seed, shared_seed
    self._encode_if_present = _once_a_shape(_encoding_if_present)

  def encode(self, group: VariableGroup, tensors: Sequence[tf.Tensor], present: tf.Tensor) -> codec_lib.Payload:
    """Encodes those of a group's variables that are present, bool [n]; the payload is empty if none is."""
    tensor = _gather(group, tensors, present)
    return self._encode_if_present(group)(any_present(group, present), tensor, self._seed(group), self._shared_seed)

  def kept_squares(self, group: VariableGroup, tensors: Sequence[tf.Tensor], present: tf.Tensor) -> tf.Tensor:
    """Returns the sum of the squares of `Codec.kept` of what is present of a group, float64 []."""
    values = group.codec.kept(_gather(group, tensors, present), self._seed(group), self._shared_seed)
    return tf.where(any_present(group, present), tf.reduce_sum(tf.square(tf.cast(values, tf.float64))), 0.0)

  def _seed(self, group: VariableGroup) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(self._client_seed, tf.constant(group.members[0], tf.int64))


class GroupDecoder:
  """Decodes groups one by one, tracing groups of one codec and shape once for all: far smaller graphs."""

  def __init__(self, shared_seed: tf.Tensor):
    """Takes the seed of the round, int64[2]."""
    self._shared_seed = shared_seed
    self._decode_term = _once_a_shape(
      lambda codec, shape: lambda payload, seed: codec.decode_term(payload, tf.TensorSpec(shape), seed)
    )
    self._add_if_present = _once_a_shape(self._adding_if_present, _addition)
    self._decode_sum = _once_a_shape(
      lambda codec, shape: lambda term, seed: codec.decode_sum(term, tf.TensorSpec(shape), seed)
    )

  def decode(self, group: VariableGroup, payload: codec_lib.Payload) -> tf.Tensor:
    """Decodes a payload in full: float32 [number of values in the group]."""
    return self._flat(group, self._term(group, payload))

  def add_if_present(
    self, group: VariableGroup, payload: codec_lib.Payload, present: tf.Tensor, weight: tf.Tensor, term: tf.Tensor
  ) -> tf.Tensor:
    """Adds `weight` times those members of a group that are present, bool [n], to a term.

    All but the leading linear stages are decoded; all of them if the group's members may be absent one by one.
    """
    is_present = any_present(group, present)
    if group.together:
      return self._add_if_present(group)(is_present, payload, weight, term)
    mask = tf.repeat(tf.gather(present, group.members), group.sizes)
    return tf.cond(is_present, lambda: term + weight * tf.where(mask, self.decode(group, payload), 0.0), lambda: term)

  def _adding_if_present(self, codec: codec_lib.Codec, shape: tuple[int, ...]) -> Callable[..., tf.Tensor]:
    spec = tf.TensorSpec(shape)
    group = VariableGroup((0,), (spec.shape.num_elements(),), spec, codec, together=True)
    return lambda is_present, payload, weight, term: tf.cond(
      is_present, lambda: term + weight * self._term(group, payload), lambda: term
    )

  def finish(self, group: VariableGroup, term: tf.Tensor, specs: Sequence[tf.TensorSpec]) -> dict[int, tf.Tensor]:
    """Decodes what is left of a sum of terms; returns the group's variables by index."""
    return self.split(group, self._flat(group, term) if group.together else term, specs)

  def split(self, group: VariableGroup, flat: tf.Tensor, specs: Sequence[tf.TensorSpec]) -> dict[int, tf.Tensor]:
    """Cuts the values of a group, rank 1, into its variables, by index."""
    parts = tf.split(flat, group.sizes)
    return {index: tf.reshape(part, specs[index].shape) for index, part in zip(group.members, parts, strict=True)}

  def _term(self, group: VariableGroup, payload: codec_lib.Payload) -> tf.Tensor:
    # The slice keeps the static length from becoming that of the payload, where it would be counted.
    size = group.codec.term_size(group.spec)
    return tf.ensure_shape(self._decode_term(group)(payload, self._shared_seed)[:size], [size])

  def _flat(self, group: VariableGroup, term: tf.Tensor) -> tf.Tensor:
    return tf.reshape(self._decode_sum(group)(term, self._shared_seed), [sum(group.sizes)])


def any_present(group: VariableGroup, present: tf.Tensor) -> tf.Tensor:
  """Tells whether a group has a payload: whether any of its variables travels, bool []."""
  return tf.reduce_any(tf.gather(present, group.members))


def _gather(group: VariableGroup, tensors: Sequence[tf.Tensor], present: tf.Tensor) -> tf.Tensor:
  """Returns what is encoded for a group; a member that is not present, beside others that are, is zero."""
  if len(group.members) == 1:
    return tensors[group.members[0]]
  parts = [tf.where(present[index], tf.reshape(tensors[index], [-1]), 0.0) for index in group.members]
  return tf.concat(parts, axis=0)


def _encoding_if_present(codec: codec_lib.Codec, shape: tuple[int, ...]) -> Callable[..., codec_lib.Payload]:
  spec = tf.TensorSpec(shape)
  return lambda is_present, tensor, client_seed, shared_seed: tf.cond(
    is_present,
    lambda: codec.traced_encode(spec)(tensor, client_seed, shared_seed),
    lambda: codec.empty_payload(spec),
  )


def _addition(codec: codec_lib.Codec, shape: tuple[int, ...]) -> list[Any]:
  """Returns what `GroupDecoder.add_if_present` is traced for: payloads of any length, since what is absent has an empty one."""
  spec = tf.TensorSpec(shape)
  payload = tf.nest.map_structure(lambda part: tf.TensorSpec([None], part.dtype), codec.payload_spec(spec))
  return [tf.TensorSpec([], tf.bool), payload, tf.TensorSpec([]), tf.TensorSpec([codec.term_size(spec)])]


def _once_a_shape(
  build: Callable[[codec_lib.Codec, tuple[int, ...]], Callable],
  signature: Callable[[codec_lib.Codec, tuple[int, ...]], list[Any] | None] = lambda codec, shape: None,
) -> Callable[[VariableGroup], Callable]:
  """Traces what `build` makes of a codec and a shape once for all groups that have both: far smaller graphs."""

  @functools.cache
  def traced(codec: codec_lib.Codec, shape: tuple[int, ...]) -> Callable:
    return tf.function(
      build(codec, shape),
      input_signature=signature(codec, shape),
      autograph=False,
      experimental_attributes={'_noinline': True},
    )

  return lambda group: traced(group.codec, tuple(group.spec.shape))
