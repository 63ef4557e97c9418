"""The contract of one step of a codec: an invertible map on a tensor of rank 1, in pure TensorFlow.

Pure TensorFlow, because stages run inside TFF's C++ worker, which knows no custom ops.
"""

import abc
import enum
from typing import NamedTuple

import tensorflow as tf

Side = tuple[tf.Tensor, ...]


class Kind(enum.Enum):
  """What the values between two stages are."""

  FLOATS = 'floats'  # float32.
  LEVELS = 'levels'  # int32 in [0, num_levels): the output of a quantizer; packed if it is the last.
  BYTES = 'bytes'  # uint8 of a length that depends on the values: the output of an entropy coder.


class Form(NamedTuple):
  """What is known beforehand of a tensor between two stages, on both ends of the wire.

  Attributes:
    kind: What the values are.
    size: Their number; None for bytes.
    num_levels: For levels, their number.
  """

  kind: Kind
  size: int | None
  num_levels: int | None = None


class Stage(abc.ABC):
  """Turns a tensor into a smaller one plus what is needed to turn it back.

  Attributes:
    takes: The kind of tensor it encodes.
    gives: The kind of tensor it leaves.
    linear: Whether decoding commutes with addition, so that a sum of encoded tensors can be decoded once. Such a stage
      takes and gives floats, and its side information is empty: what it draws, it draws from the shared seed.
    keeps: Whether it leaves some of the values as they are, and which ones does not depend on their scale. A private round
      bounds the norm of what is kept, since only that travels.
  """

  takes: Kind = Kind.FLOATS
  gives: Kind = Kind.FLOATS
  linear: bool = False
  keeps: bool = False

  @abc.abstractmethod
  def form(self, form: Form) -> Form:
    """Returns the form of what `encode` leaves of a tensor of `form`, whose kind is `takes`."""

  @abc.abstractmethod
  def encode(self, x: tf.Tensor, form: Form, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> tuple[tf.Tensor, Side]:
    """Encodes a tensor.

    Args:
      x: Rank 1, of `form`; finite if it holds floats; may be empty.
      form: What is known of x.
      client_seed: int64[2], this client's own, for noise.
      shared_seed: int64[2], the same for all clients of a round, for rotations and draws of indices.

    Returns:
      What is left of x: rank 1, of `self.form(form)`; and side information: tensors of rank 1 that travel with it.
    """

  @abc.abstractmethod
  def decode(self, x: tf.Tensor, side: Side, form: Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Inverts `encode`.

    Args:
      x: What `encode` left; its length may be unknown to the graph.
      side: The side information of `encode`; lengths may be unknown to the graph.
      form: The form given to `encode`, not that of x.
      shared_seed: The one given to `encode`.

    Returns:
      Rank 1, of `form`. Never reshape a payload to a static shape or assert one: TensorFlow would then take the size
      of an empty payload for that of a full one. Slices such as `x[:form.size]` are safe.
    """
