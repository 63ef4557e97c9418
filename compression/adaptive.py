"""Codecs with a parameter that the server may change from round to round, by votes of the clients."""

import abc
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import tensorflow as tf

from compression import update_codec as update_codec_lib


class Ballot(NamedTuple):
  """What a client votes on: its update of a round.

  Attributes:
    codec_at: What `AdaptiveCodec.at` returns, for the variables of the update.
    tensors: See `UpdateCodec.encode`.
    present: See `UpdateCodec.encode`; not all False.
    parameter: That of this round.
    client_seed: int64[2].
    shared_seed: int64[2].
  """

  codec_at: Callable[[tf.Tensor], update_codec_lib.UpdateCodec]
  tensors: Sequence[tf.Tensor]
  present: tf.Tensor
  parameter: tf.Tensor
  client_seed: tf.Tensor
  shared_seed: tf.Tensor


class AdaptiveCodec(abc.ABC):
  """A family of codecs over one positive number, which the server keeps in the state of the aggregation.

  Attributes:
    initial_parameter: The number of the first round.
    num_options: How many options a client votes between; 0 for a codec that stays as it is.
  """

  initial_parameter: float
  num_options: int

  @property
  @abc.abstractmethod
  def shares_scale(self) -> bool:
    """See `UpdateCodec.shares_scale`; a parameter that is a scale of values is one that all variables share."""

  @abc.abstractmethod
  def at(self, parameter: tf.Tensor) -> update_codec_lib.UpdateCodec:
    """Returns the codec for a parameter, float32 []."""

  @abc.abstractmethod
  def vote(self, ballot: Ballot) -> tf.Tensor:
    """Returns the index of the option for the next round, uint8 [1]; uint8 [0] without options."""

  @abc.abstractmethod
  def next_parameter(self, parameter: tf.Tensor, votes: tf.Tensor) -> tf.Tensor:
    """Returns the parameter of the next round, float32 [], from the votes for each option, int64 [num_options]."""


@dataclasses.dataclass(frozen=True)
class Fixed(AdaptiveCodec):
  """The same codec in every round."""

  update_codec: update_codec_lib.UpdateCodec
  initial_parameter: float = 1.0
  num_options: int = 0

  @property
  def shares_scale(self) -> bool:
    """That of the codec."""
    return self.update_codec.shares_scale

  def at(self, parameter: tf.Tensor) -> update_codec_lib.UpdateCodec:
    """Returns the codec."""
    del parameter
    return self.update_codec

  def vote(self, ballot: Ballot) -> tf.Tensor:
    """Has nothing to say."""
    del ballot
    return tf.zeros([0], tf.uint8)

  def next_parameter(self, parameter: tf.Tensor, votes: tf.Tensor) -> tf.Tensor:
    """Keeps the parameter, which means nothing."""
    del votes
    return parameter
