"""Learning-rate schedules: by which factor a round multiplies the learning rate, at the clients or at the server.

    constant       1
    linear         1 - (1 - final) p                                with p = (round - 1 - warmup) / (rounds - warmup)
    cosine         final + (1 - final) (1 + cos(pi p)) / 2          (Loshchilov and Hutter 2016, arXiv 1608.03983)
    exponential    decay ** ((round - 1) / rounds)
    inverse_sqrt   sqrt(warmup / round)                             (Vaswani et al. 2017, arXiv 1706.03762)

Rounds count from 1. During a warm-up the factor is round / warmup instead. The first round after it is at full rate, and
only the one after the last of `rounds` would be at `final`, so that a final factor of 0 wastes no round.
"""

from collections.abc import Callable
import dataclasses
import math
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from data import arguments


@dataclasses.dataclass(frozen=True)
class Schedule:
  """A factor of the learning rate for each round.

  Attributes:
    factor: From the number of the round, float32 [] from 1, to the factor, float32 [].
    is_constant: Whether the factor is 1 in all rounds; then nothing is computed at all.
  """

  factor: Callable[[tf.Tensor], tf.Tensor]
  is_constant: bool = False

  def scale(self, optimizer: tff.learning.optimizers.Optimizer, state: Any, round_number: tf.Tensor) -> Any:
    """Returns an optimizer's state with the learning rate of a round.

    Args:
      optimizer: Whose learning rate is among its hyper-parameters.
      state: Its state, with the learning rate at factor 1.
      round_number: Integer [], from 1.

    Returns:
      The state.
    """
    if self.is_constant:
      return state
    hparams = optimizer.get_hparams(state)
    name = tff.learning.optimizers.LEARNING_RATE_KEY
    hparams[name] = hparams[name] * self.factor(tf.cast(round_number, tf.float32))
    return optimizer.set_hparams(state, hparams)


CONSTANT = Schedule(tf.ones_like, is_constant=True)


def constant() -> Schedule:
  """Returns the schedule that changes nothing: the factor is 1 in all rounds."""
  return CONSTANT


def linear(rounds: int, warmup: int = 0, final: float = 0.0) -> Schedule:
  """Returns a straight way down, after a warm-up if there is one.

  Args:
    rounds: After so many rounds the factor is `final`, and stays there.
    warmup: Number of first rounds in which it goes up.
    final: The last factor, in [0, 1].

  Returns:
    The schedule.

  Raises:
    ValueError: For a value out of range.
  """
  progress = _progress(rounds, warmup, final)
  return Schedule(lambda round_number: _warm(round_number, warmup, 1.0 - (1.0 - final) * progress(round_number)))


def cosine(rounds: int, warmup: int = 0, final: float = 0.0) -> Schedule:
  """Returns half a cosine, flat at both ends; the arguments and errors are those of `linear`."""
  progress = _progress(rounds, warmup, final)

  def factor(round_number: tf.Tensor) -> tf.Tensor:
    fallen = 0.5 * (1.0 + tf.cos(math.pi * progress(round_number)))
    return _warm(round_number, warmup, final + (1.0 - final) * fallen)

  return Schedule(factor)


def exponential(decay: float, rounds: int, staircase: bool = False) -> Schedule:
  """Returns a decay by the same factor every so many rounds.

  Args:
    decay: The factor, in (0, 1].
    rounds: After how many rounds it is reached, and again after as many more.
    staircase: Whether it comes all at once instead of a little each round.

  Returns:
    The schedule.

  Raises:
    ValueError: For a value out of range.
  """
  arguments.check_whole(1, rounds=rounds)
  arguments.check_within('(0, 1]', decay=decay)
  arguments.check_bool(staircase=staircase)

  def factor(round_number: tf.Tensor) -> tf.Tensor:
    periods = (round_number - 1.0) / rounds
    return tf.pow(tf.cast(decay, tf.float32), tf.floor(periods) if staircase else periods)

  return Schedule(factor)


def inverse_sqrt(warmup: int) -> Schedule:
  """Returns a decay with the root of the round, after `warmup` rounds up.

  Args:
    warmup: Rounds up to the full rate, at least one.

  Returns:
    The schedule.

  Raises:
    ValueError: For less than one.
  """
  arguments.check_whole(1, warmup=warmup)
  return Schedule(lambda round_number: _warm(round_number, warmup, tf.sqrt(warmup / round_number)))


def check_schedules(**values: object) -> None:
  """Raises `ValueError` unless every value is a schedule."""
  for name, value in values.items():
    if not isinstance(value, Schedule):
      raise ValueError(f'{name} must be a schedule such as cosine(rounds=100), not {value!r}')


def _progress(rounds: int, warmup: int, final: float) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns which fraction of the way from 1 to `final` lies behind a round, from 0 to 1."""
  arguments.check_whole(1, rounds=rounds)
  arguments.check_whole(0, warmup=warmup)
  arguments.check_within('[0, 1]', final=final)
  if warmup >= rounds:
    raise ValueError(f'warmup must be less than rounds={rounds}, not {warmup!r}')
  return lambda round_number: tf.clip_by_value((round_number - 1.0 - warmup) / (rounds - warmup), 0.0, 1.0)


def _warm(round_number: tf.Tensor, warmup: int, factor: tf.Tensor) -> tf.Tensor:
  return tf.where(round_number <= warmup, round_number / max(warmup, 1), factor)
