"""A codec for a whole update: which variables are encoded by which codec, alone or as one tensor.

Pure TensorFlow; the aggregation factories and the broadcast are shells around it.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from compression import codec as codec_lib
from compression import presence


class Group(NamedTuple):
  """Variables that one payload holds.

  Attributes:
    members: Their indices.
    spec: Of what is encoded: the variable itself, or all members flattened into one.
    codec: Encodes it.
  """

  members: tuple[int, ...]
  spec: tf.TensorSpec
  codec: codec_lib.Codec


class Sent(NamedTuple):
  """What travels for an update: a payload for each group, and the bitmap of the variables that are in them."""

  payloads: tuple[codec_lib.Payload, ...]
  bitmap: tf.Tensor


@dataclasses.dataclass(frozen=True)
class UpdateCodec:
  """Encodes tuples of float32 tensors.

  Attributes:
    codec: For variables of `small_size` values and more.
    small: For smaller variables: biases and normalizations, which are few bytes and matter much.
    small_size: Where small ends; 0 makes no variable small.
    concatenate: Whether all large, and all small, variables are encoded as one tensor each.
    sizes: The number of values by which each variable is found small; None for that of the tensor itself. Slices of
      variables take those of the whole variables, so that one codec has all of a variable's slices.
  """

  codec: codec_lib.Codec = dataclasses.field(default_factory=codec_lib.Codec)
  small: codec_lib.Codec = dataclasses.field(default_factory=codec_lib.Codec)
  small_size: int = 0
  concatenate: bool = False
  sizes: tuple[int, ...] | None = None

  def groups(self, specs: Sequence[tf.TensorSpec]) -> list[Group]:
    """Returns the groups of the variables of `specs`, in the order of the payloads."""
    sizes = [spec.shape.num_elements() for spec in specs]
    groups = []
    for codec, is_small in ((self.codec, False), (self.small, True)):
      members = [i for i, size in enumerate(self.sizes or sizes) if (size < self.small_size) == is_small]
      if self.concatenate and members:
        groups.append(Group(tuple(members), tf.TensorSpec([sum(sizes[index] for index in members)]), codec))
      elif not self.concatenate:
        groups += [Group((index,), specs[index], codec) for index in members]
    return groups

  def encode(
    self, tensors: Sequence[tf.Tensor], present: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> Sent:
    """Encodes an update.

    Args:
      tensors: float32, of static shape.
      present: bool [n]: which variables travel; a group without any has an empty payload.
      client_seed: int64[2].
      shared_seed: int64[2].

    Returns:
      What travels.
    """
    payloads, encode = [], _once_a_shape(_encoding_if_present)
    for group in self.groups([tf.TensorSpec.from_tensor(tensor) for tensor in tensors]):
      seed = tf.random.experimental.stateless_fold_in(client_seed, tf.constant(group.members[0], tf.int64))
      tensor = _gather(group, tensors, present)
      payloads.append(encode(group)(any_present(group, present), tensor, seed, shared_seed))
    return Sent(tuple(payloads), presence.pack(present))

  def payload_bytes(self, specs: Sequence[tf.TensorSpec], present: Sequence[bool]) -> int | None:
    """Returns what an update takes on its way, the bitmap included, without encoding one.

    Args:
      specs: Of the variables.
      present: Which of them travel.

    Returns:
      The bytes; None if they depend on the values.
    """
    sent = [group for group in self.groups(specs) if any(present[index] for index in group.members)]
    tensors = tf.nest.flatten([group.codec.payload_spec(group.spec) for group in sent])
    if not all(tensor.shape.is_fully_defined() for tensor in tensors):
      return None
    return -(-len(specs) // 8) + sum(tensor.dtype.size * tensor.shape.num_elements() for tensor in tensors)

  def zero_terms(self, specs: Sequence[tf.TensorSpec]) -> tuple[tf.Tensor, ...]:
    """Returns the sum over no clients, for `add`."""
    return tuple(tf.zeros([group.codec.term_size(group.spec)]) for group in self.groups(specs))

  def add(
    self,
    terms: Sequence[tf.Tensor],
    sent: Sent,
    weight: tf.Tensor,
    specs: Sequence[tf.TensorSpec],
    shared_seed: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    """Adds `weight` times a client's update to the terms, decoding all but the leading linear stages."""
    present, decoder = presence.unpack(sent.bitmap, len(specs)), Decoder(shared_seed)
    return tuple(
      decoder.add_if_present(group, payload, present, weight, term)
      for group, payload, term in zip(self.groups(specs), sent.payloads, terms, strict=True)
    )

  def finish(
    self, terms: Sequence[tf.Tensor], specs: Sequence[tf.TensorSpec], shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, ...]:
    """Decodes the leading linear stages of a sum of terms, once; returns tensors of `specs`."""
    decoder, tensors = Decoder(shared_seed), {}
    for group, term in zip(self.groups(specs), terms, strict=True):
      tensors.update(decoder.finish(group, term, specs))
    return tuple(tensors[index] for index in range(len(specs)))

  def decode(self, sent: Sent, specs: Sequence[tf.TensorSpec], shared_seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Inverts `encode`; variables that were not sent are zero."""
    terms = self.add(self.zero_terms(specs), sent, tf.constant(1.0), specs, shared_seed)
    return self.finish(terms, specs, shared_seed)

  def squared_error(
    self, tensors: Sequence[tf.Tensor], sent: Sent, specs: Sequence[tf.TensorSpec], shared_seed: tf.Tensor
  ) -> tf.Tensor:
    """Decodes what was sent and compares: float32[2] of squared error and squared values, over what is present."""
    decoded = self.decode(sent, specs, shared_seed)
    present = tf.unstack(presence.unpack(sent.bitmap, len(specs)), len(specs))
    squares = [
      tf.where(is_present, tf.stack([tf.reduce_sum(tf.square(y - x)), tf.reduce_sum(tf.square(x))]), 0.0)
      for is_present, x, y in zip(present, tensors, decoded, strict=True)
    ]
    return tf.add_n(squares)


class Decoder:
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

  def add(self, group: Group, payload: codec_lib.Payload, weight: tf.Tensor, term: tf.Tensor) -> tf.Tensor:
    """Adds `weight` times a payload to a term, decoding all but the leading linear stages."""
    # The slice keeps the static length of `term` from becoming that of the payload, where it would be counted.
    decoded = self._decode_term(group)(payload, self._shared_seed)[: term.shape[0]]
    return tf.ensure_shape(term + weight * decoded, term.shape)

  def add_if_present(
    self, group: Group, payload: codec_lib.Payload, present: tf.Tensor, weight: tf.Tensor, term: tf.Tensor
  ) -> tf.Tensor:
    """Adds a payload like `add`, or nothing for a group of which no variable is present, bool [n]."""
    return self._add_if_present(group)(any_present(group, present), payload, weight, term)

  def _adding_if_present(self, codec: codec_lib.Codec, shape: tuple[int, ...]) -> Callable[..., tf.Tensor]:
    group = Group((), tf.TensorSpec(shape), codec)
    return lambda is_present, payload, weight, term: tf.cond(
      is_present, lambda: self.add(group, payload, weight, term), lambda: term
    )

  def finish(self, group: Group, term: tf.Tensor, specs: Sequence[tf.TensorSpec]) -> dict[int, tf.Tensor]:
    """Decodes the leading linear stages of a term or of a sum of terms; returns the group's variables by index."""
    decoded = self._decode_sum(group)(term, self._shared_seed)
    sizes = [specs[index].shape.num_elements() for index in group.members]
    parts = tf.split(tf.reshape(decoded, [-1]), sizes)
    return {index: tf.reshape(part, specs[index].shape) for index, part in zip(group.members, parts, strict=True)}


def num_bytes(sent: Sent) -> tuple[tf.Tensor, tf.Tensor]:
  """Counts what travels: int64 bytes of values, and of side information with the bitmap."""
  values = codec_lib.num_bytes([payload.values for payload in sent.payloads])
  side = codec_lib.num_bytes([[payload.side for payload in sent.payloads], sent.bitmap])
  return values, side


def any_present(group: Group, present: tf.Tensor) -> tf.Tensor:
  """Tells whether a group has a payload: whether any of its variables travels, bool []."""
  return tf.reduce_any(tf.gather(present, group.members))


def _encoding_if_present(codec: codec_lib.Codec, shape: tuple[int, ...]) -> Callable[..., codec_lib.Payload]:
  return lambda is_present, tensor, client_seed, shared_seed: tf.cond(
    is_present,
    lambda: codec.encode(tensor, client_seed, shared_seed),
    lambda: codec.empty_payload(tf.TensorSpec(shape)),
  )


def _addition(codec: codec_lib.Codec, shape: tuple[int, ...]) -> list[Any]:
  """Returns what `Decoder.add_if_present` is traced for: payloads of any length, since what is absent has an empty one."""
  spec = tf.TensorSpec(shape)
  payload = tf.nest.map_structure(lambda part: tf.TensorSpec([None], part.dtype), codec.payload_spec(spec))
  return [tf.TensorSpec([], tf.bool), payload, tf.TensorSpec([]), tf.TensorSpec([codec.term_size(spec)])]


def _once_a_shape(
  build: Callable[[codec_lib.Codec, tuple[int, ...]], Callable],
  signature: Callable[[codec_lib.Codec, tuple[int, ...]], list[Any] | None] = lambda codec, shape: None,
) -> Callable[[Group], Callable]:
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


def _gather(group: Group, tensors: Sequence[tf.Tensor], present: tf.Tensor) -> tf.Tensor:
  """Returns what is encoded for a group; a member that is not present, beside others that are, is zero."""
  if len(group.members) == 1:
    return tensors[group.members[0]]
  parts = [tf.where(present[index], tf.reshape(tensors[index], [-1]), 0.0) for index in group.members]
  return tf.concat(parts, axis=0)
