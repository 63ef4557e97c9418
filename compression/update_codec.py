"""A codec for a whole update: which variables are encoded by which codec, alone or as one tensor.

Pure TensorFlow; the aggregation factories and the broadcast are shells around it.
"""

from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import tensorflow as tf

from compression import codec as codec_lib
from compression import groups as groups_lib
from compression import presence


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
    concatenate: Whether the large, and the small, variables that travel together are encoded as one tensor.
    sizes: The number of values by which each variable is found small; None for that of the tensor itself. Slices of
      variables take those of the whole variables, so that one codec has all of a variable's slices.
    together: For each variable, the number of a set of variables of which every update has all or none, or
      `groups.NEVER` if no update has it. Each set of concatenated variables is a tensor of its own. None if nothing is
      known: all are one tensor, in which those that an update has not are zeros, which cost bytes and make the scale of
      `sign`, `clip` and `terngrad` too small for the others.
  """

  codec: codec_lib.Codec = dataclasses.field(default_factory=codec_lib.Codec)
  small: codec_lib.Codec = dataclasses.field(default_factory=codec_lib.Codec)
  small_size: int = 0
  concatenate: bool = False
  sizes: tuple[int, ...] | None = None
  together: tuple[int, ...] | None = None

  @property
  def shares_scale(self) -> bool:
    """Whether values of one variable decide how exactly those of another are encoded."""
    return self.concatenate

  def groups(self, specs: Sequence[tf.TensorSpec]) -> list[groups_lib.VariableGroup]:
    """Returns the groups of the variables of `specs`, in the order of the payloads."""
    sizes = [spec.shape.num_elements() for spec in specs]
    together = self.together or (0,) * len(specs)
    sets: dict[tuple[bool, int], list[int]] = {}
    for index, size in enumerate(self.sizes or sizes):
      if together[index] != groups_lib.NEVER:
        sets.setdefault((size < self.small_size, together[index] if self.concatenate else index), []).append(index)
    return [
      groups_lib.VariableGroup(
        members=tuple(members),
        sizes=tuple(sizes[index] for index in members),
        spec=specs[members[0]] if len(members) == 1 else tf.TensorSpec([sum(sizes[index] for index in members)]),
        codec=self.small if is_small else self.codec,
        together=self.together is not None or len(members) == 1,
      )
      for (is_small, _), members in sorted(sets.items(), key=lambda item: item[0][0])
    ]

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

    Raises:
      InvalidArgumentError: When the graph runs, for a part of a set of `together`, and for what never travels.
    """
    present, encoder = self._checked(present), groups_lib.GroupEncoder(client_seed, shared_seed)
    groups = self.groups([tf.TensorSpec.from_tensor(tensor) for tensor in tensors])
    return Sent(tuple(encoder.encode(group, tensors, present) for group in groups), presence.pack(present))

  def kept_norm(
    self, tensors: Sequence[tf.Tensor], present: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tf.Tensor:
    """Returns the norm of those values of an update that its codec keeps, float64 []; takes what `encode` does."""
    encoder = groups_lib.GroupEncoder(client_seed, shared_seed)
    groups = self.groups([tf.TensorSpec.from_tensor(tensor) for tensor in tensors])
    squares = [encoder.kept_squares(group, tensors, present) for group in groups]
    return tf.sqrt(tf.add_n(squares) if squares else tf.constant(0.0, tf.float64))

  def payload_bytes(self, specs: Sequence[tf.TensorSpec], present: Sequence[bool]) -> int | None:
    """Returns what an update takes on its way, the bitmap included, without encoding one.

    Args:
      specs: Shapes and dtypes of the variables.
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
    return tuple(tf.zeros([group.term_size]) for group in self.groups(specs))

  def add(
    self,
    terms: Sequence[tf.Tensor],
    sent: Sent,
    weight: tf.Tensor,
    specs: Sequence[tf.TensorSpec],
    shared_seed: tf.Tensor,
  ) -> tuple[tf.Tensor, ...]:
    """Adds `weight` times a client's update to the terms, decoding all but the leading linear stages."""
    present, decoder = presence.unpack(sent.bitmap, len(specs)), groups_lib.GroupDecoder(shared_seed)
    return tuple(
      decoder.add_if_present(group, payload, present, weight, term)
      for group, payload, term in zip(self.groups(specs), sent.payloads, terms, strict=True)
    )

  def finish(
    self, terms: Sequence[tf.Tensor], specs: Sequence[tf.TensorSpec], shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, ...]:
    """Decodes the leading linear stages of a sum of terms, once; returns tensors of `specs`."""
    decoder, tensors = groups_lib.GroupDecoder(shared_seed), {}
    for group, term in zip(self.groups(specs), terms, strict=True):
      tensors.update(decoder.finish(group, term, specs))
    return tuple(tensors[index] if index in tensors else tf.zeros(spec.shape) for index, spec in enumerate(specs))

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

  def _checked(self, present: tf.Tensor) -> tf.Tensor:
    """Returns `present` once it is found to be as `together` says."""
    if self.together is None:
      return present
    leaders = [self.together.index(number) for number in self.together]
    allowed = tf.logical_and(tf.gather(present, leaders), [number != groups_lib.NEVER for number in self.together])
    message = 'an update must have all of the variables that travel together or none, and none that never travels:'
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(tf.equal(present, allowed)), [message, present])]):
      return tf.identity(present)


def num_bytes(sent: Sent) -> tuple[tf.Tensor, tf.Tensor]:
  """Counts what travels: int64 bytes of values, and of side information with the bitmap."""
  values = codec_lib.num_bytes([payload.values for payload in sent.payloads])
  side = codec_lib.num_bytes([[payload.side for payload in sent.payloads], sent.bitmap])
  return values, side
