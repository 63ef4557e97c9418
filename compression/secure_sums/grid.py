"""The grid on which all clients round, so that what they send can be added up without being seen.

    top = 2**(bits - 1) - 1;  level = round(value top / limit), between -top and top;  value = level limit / top

Rounding is stochastic, so that the mean of the levels is the value. Levels of a client whose norm is bounded keep the bound:
values are first scaled so that rounding seldom passes it (Kairouz et al. 2021, arXiv 2102.06387, equation 3), and rounded
towards zero where it still would. They draw again instead.
"""

import dataclasses

import tensorflow as tf

from data import arguments

_MOST_BITS = 24  # What float32 tells apart.
_DEVIATIONS = 4.3  # Of a rounded norm: passed once in 10,000 times.
_MOST_OF_RADIUS = 0.5  # Of the square of the bound, that may be left for rounding.


@dataclasses.dataclass(frozen=True)
class Grid:
  """Evenly spaced levels about zero.

  Attributes:
    bits: Bits of a level, its sign included, 2 to 24.
  """

  bits: int

  def __post_init__(self):
    arguments.check_whole(2, _MOST_BITS, bits=self.bits)

  @property
  def top(self) -> int:
    """The largest level."""
    return 2 ** (self.bits - 1) - 1

  def round(self, values: tf.Tensor, limit: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rounds values to levels.

    Args:
      values: float32 [n], finite.
      limit: float32 [], positive: what the largest level stands for; larger values become that.
      seed: int64[2].

    Returns:
      int32 [n].
    """
    return _stochastic(self._scaled(values, limit), seed)

  def round_within(self, values: tf.Tensor, limit: tf.Tensor, bound: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Rounds values, of which none is lost if their norm is below the bound and the grid fine; the norm stays below it.

    Args:
      values: float32 [n], finite.
      limit: float32 [], positive.
      bound: float32 [], positive: the largest L2 norm of the values that the levels stand for.
      seed: int64[2].

    Returns:
      int32 [n].
    """
    radius = self.top * tf.cast(bound, tf.float64) / tf.cast(limit, tf.float64)
    scaled, size = self._scaled(values, limit), tf.cast(tf.size(values), tf.float64)
    aim = tf.sqrt(tf.maximum(tf.square(radius) - _rounding(radius, size), 0.0))
    norm = tf.sqrt(_squares(scaled))
    scaled = tf.cast(tf.cast(scaled, tf.float64) * (aim / tf.maximum(norm, aim)), tf.float32)
    drawn, inwards = _stochastic(scaled, seed), tf.cast(scaled, tf.int32)
    levels = tf.where(_squares(drawn) <= tf.square(radius), drawn, inwards)
    return tf.where(_squares(levels) <= tf.square(radius), levels, tf.zeros_like(levels))

  def check_fine(self, num_values: int, limit_to_bound: float) -> None:
    """Raises `ValueError` if rounding would take most of the norm that a client has.

    Args:
      num_values: Values that a client sends at most.
      limit_to_bound: What the largest level stands for, over the bound on the norm.
    """
    radius = self.top / limit_to_bound
    if _rounding(radius, num_values) > _MOST_OF_RADIUS * radius**2:
      raise ValueError(
        f'a grid of {self.bits} bits is too coarse for {num_values:,} values of one bounded norm: rounding would be most of '
        'it; raise bits, or lower limit together with hadamard in --upload, which evens values out'
      )

  def values(self, levels: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Returns what levels, or sums of them, int64 [n], stand for: float32 [n]."""
    return tf.cast(tf.cast(levels, tf.float64) * (tf.cast(limit, tf.float64) / self.top), tf.float32)

  def _scaled(self, values: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    return tf.clip_by_value(values / limit, -1.0, 1.0) * self.top


def _stochastic(scaled: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  floor = tf.floor(scaled)
  up = tf.random.stateless_uniform(tf.shape(scaled), seed) < scaled - floor
  return tf.cast(floor, tf.int32) + tf.cast(up, tf.int32)


def _rounding(radius, size):
  """Returns how much rounding adds to the square of a norm at most, but for once in 10,000 times, in levels."""
  return size / 4 + _DEVIATIONS * (radius + size**0.5 / 2)


def _squares(levels: tf.Tensor) -> tf.Tensor:
  return tf.reduce_sum(tf.square(tf.cast(levels, tf.float64)))
