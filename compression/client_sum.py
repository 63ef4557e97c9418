"""How what clients send is added up: seen one by one, or only as a sum."""

import abc
from collections.abc import Mapping
from typing import Any
from typing import NamedTuple

import tensorflow as tf


class Summed(NamedTuple):
  """What the server has of a round.

  Attributes:
    tensors: The sum of the updates, float32, one tensor for each variable, noise of clients included.
    noise: That noise alone, which only a simulation knows; zeros where clients add none.
    counts: int64 [number of flags]: how many clients said so.
    is_known: bool []: whether there is a sum; without it the tensors are not to be used.
  """

  tensors: tuple[tf.Tensor, ...]
  noise: tuple[tf.Tensor, ...]
  counts: tf.Tensor
  is_known: tf.Tensor


class ClientSum(abc.ABC):
  """The computations of a sum over clients, in the order in which a round runs them; all in pure TensorFlow."""

  @abc.abstractmethod
  def given(self, round_number: tf.Tensor, bound: tf.Tensor) -> Mapping[str, tf.Tensor]:
    """Returns what the server tells the clients of a round besides weights.

    Args:
      round_number: int64 [], from 1.
      bound: float32 [], on the norm of what a client sends; 0 if there is none.
    """

  @abc.abstractmethod
  def norm(self, update: Any) -> tf.Tensor:
    """Returns the norm of what travels of an update, float64 [], which is what private rounds bound.

    Args:
      update: The members of a `sent_update.update_type`.
    """

  @abc.abstractmethod
  def send(self, update: Any, weight: tf.Tensor, flags: tf.Tensor, given: Mapping[str, tf.Tensor]) -> Mapping[str, Any]:
    """Returns what a client sends, with a member made by `counted_sum.uncounted`.

    Args:
      update: The members of a `sent_update.update_type`.
      weight: float32 [].
      flags: bool [number of flags]: what it has counted besides.
      given: What the server told.
    """

  @abc.abstractmethod
  def nothing(self) -> tuple[Mapping[str, Any], Mapping[str, tf.Tensor]]:
    """Returns the sum over no clients, and what stands for what they share; see `counted_sum.build_accumulation`."""

  @abc.abstractmethod
  def add(self, added: Mapping[str, Any], sent: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns a sum with a client."""

  @abc.abstractmethod
  def finish(self, added: Mapping[str, Any], shared: Mapping[str, tf.Tensor]) -> Summed:
    """Returns what the server has of a sum."""

  @abc.abstractmethod
  def measurements(self, counted: Mapping[str, tf.Tensor], added: Mapping[str, Any]) -> Mapping[str, tf.Tensor]:
    """Returns `counted_sum.measurements` and what else is known of a round."""
