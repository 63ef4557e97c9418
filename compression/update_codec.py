"""A codec for a whole update: which variables are encoded by which codec, alone or as one tensor.

Pure TensorFlow; the aggregation factories and the broadcast are shells around it.
"""

from collections.abc import Sequence
import dataclasses
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
  """

  codec: codec_lib.Codec = dataclasses.field(default_factory=codec_lib.Codec)
  small: codec_lib.Codec = dataclasses.field(default_factory=codec_lib.Codec)
  small_size: int = 0
  concatenate: bool = False

  def groups(self, specs: Sequence[tf.TensorSpec]) -> list[Group]:
    """Returns the groups of the variables of `specs`, in the order of the payloads."""
    sizes = [spec.shape.num_elements() for spec in specs]
    groups = []
    for codec, is_small in ((self.codec, False), (self.small, True)):
      members = [index for index, size in enumerate(sizes) if (size < self.small_size) == is_small]
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
    payloads = []
    for group in self.groups([tf.TensorSpec.from_tensor(tensor) for tensor in tensors]):
      seed = tf.random.experimental.stateless_fold_in(client_seed, tf.constant(group.members[0], tf.int64))
      payloads.append(
        tf.cond(
          _any_present(group, present),
          lambda group=group, seed=seed: group.codec.encode(_gather(group, tensors, present), seed, shared_seed),
          lambda group=group: group.codec.empty_payload(group.spec),
        )
      )
    return Sent(tuple(payloads), presence.pack(present))

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
    present = presence.unpack(sent.bitmap, len(specs))
    added = []
    for group, payload, term in zip(self.groups(specs), sent.payloads, terms, strict=True):

      def add_one(group=group, payload=payload, term=term):
        # The slice keeps the static length of `term` from becoming that of the payload, where it would be counted.
        decoded = group.codec.decode_term(payload, group.spec, shared_seed)[: term.shape[0]]
        return tf.ensure_shape(term + weight * decoded, term.shape)

      added.append(tf.cond(_any_present(group, present), add_one, lambda term=term: term))
    return tuple(added)

  def finish(
    self, terms: Sequence[tf.Tensor], specs: Sequence[tf.TensorSpec], shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, ...]:
    """Decodes the leading linear stages of a sum of terms, once; returns tensors of `specs`."""
    tensors: list[tf.Tensor | None] = [None] * len(specs)
    for group, term in zip(self.groups(specs), terms, strict=True):
      decoded = group.codec.decode_sum(term, group.spec, shared_seed)
      sizes = [specs[index].shape.num_elements() for index in group.members]
      for index, part in zip(group.members, tf.split(tf.reshape(decoded, [-1]), sizes), strict=True):
        tensors[index] = tf.reshape(part, specs[index].shape)
    return tuple(tensors)

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


def num_bytes(sent: Sent) -> tuple[tf.Tensor, tf.Tensor]:
  """Counts what travels: int64 bytes of values, and of side information with the bitmap."""
  values = codec_lib.num_bytes([payload.values for payload in sent.payloads])
  side = codec_lib.num_bytes([[payload.side for payload in sent.payloads], sent.bitmap])
  return values, side


def _any_present(group: Group, present: tf.Tensor) -> tf.Tensor:
  return tf.reduce_any(tf.gather(present, group.members))


def _gather(group: Group, tensors: Sequence[tf.Tensor], present: tf.Tensor) -> tf.Tensor:
  """Returns what is encoded for a group; a member that is not present, beside others that are, is zero."""
  if len(group.members) == 1:
    return tensors[group.members[0]]
  parts = [tf.where(present[index], tf.reshape(tensors[index], [-1]), 0.0) for index in group.members]
  return tf.concat(parts, axis=0)
