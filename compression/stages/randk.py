"""Values at random positions, each client's own or one set for all (random mask, Konecny et al. 2016, arXiv 1610.05492).

    kept = k = max(1, round(fraction * size)) positions drawn without replacement;  encode(x) = x[kept] size / k
    decode(values) = values at kept, 0 elsewhere

No position travels: both ends draw them from the client's own seed, of which a word does, see `own_seed.py`, so that
errors of a round's clients average out; or from the seed that all share, so that what they send can be added up before
it is decoded. Unbiased. Positions are the images of 0..k-1
under a random permutation, computed at these k alone: four rounds of a Feistel network on the square of side
ceil(sqrt(size)), each round's function a table of random numbers, again for what falls outside the tensor, then a random
shift around its end. The shift makes every position exactly equally likely; larger sets are nearly so, as in the
construction of Luby and Rackoff (1988). Sorting random numbers for all values takes a hundred times as long at 1 %.
Scaled values beyond the largest float are clipped to it.
"""

import math

import tensorflow as tf

from compression import stage
from compression.stages import own_seed
from data import arguments

_ROUNDS = 4


class Randk(stage.Stage):
  """Keeps a fraction of the values, at random, scaled up for those left out."""

  def __init__(self, fraction: float = 0.01, shared: bool = False):
    """Configures the stage.

    Args:
      fraction: Share of the values to keep, above 0 and at most 1; at least one value is kept.
      shared: Whether all clients of a round keep the same positions; it makes the stage linear.

    Raises:
      ValueError: For other values.
    """
    arguments.check_within('(0, 1]', fraction=fraction)
    self._fraction = fraction
    self.linear = shared

  def form(self, form: stage.Form) -> stage.Form:
    """Returns the kept values."""
    return stage.Form(stage.Kind.FLOATS, num_kept(self._fraction, form.size))

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns the kept values, scaled, and (int32[1] of the positions' seed,); nothing besides if all share it."""
    if self.linear:
      return sample(x, self.form(form).size, form.size, shared_seed), ()
    word = own_seed.draw_word(client_seed)
    return sample(x, self.form(form).size, form.size, own_seed.from_word(word, shared_seed)), (word,)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the kept values in their places among zeros; see `Stage.decode`."""
    seed = shared_seed if self.linear else own_seed.from_word(side[0], shared_seed)
    return scatter(x, self.form(form).size, form.size, seed)


def num_kept(fraction: float, size: int) -> int:
  """Returns how many of `size` values are kept."""
  return min(size, max(1, round(fraction * size)))


def sample(x: tf.Tensor, count: int, size: int, seed: tf.Tensor) -> tf.Tensor:
  """Draws `count` of the values of float32 [size], scaled up for the others, by int64[2]."""
  if size == 0:
    return tf.zeros([0])
  scaled = tf.gather(x, draw_positions(count, size, seed)) * (size / count)
  return tf.clip_by_value(scaled, tf.float32.min, tf.float32.max)


def scatter(x: tf.Tensor, count: int, size: int, seed: tf.Tensor) -> tf.Tensor:
  """Puts what `sample` drew in its place among zeros: float32 [size]; the length of x may be unknown to the graph."""
  if size == 0:
    return tf.zeros([0])
  # Without the slice TensorFlow would take the number of positions for the size of the payload.
  positions = draw_positions(count, size, seed)[: tf.size(x), tf.newaxis]
  return tf.scatter_nd(positions, x, [size])


def draw_positions(count: int, size: int, seed: tf.Tensor) -> tf.Tensor:
  """Draws `count` different numbers in [0, size), in random order: int32 [count]."""
  side = math.isqrt(size - 1) + 1
  draw = tf.random.stateless_uniform([_ROUNDS * side + 1], seed, minval=0, maxval=2**62, dtype=tf.int64)
  tables = tf.reshape(tf.cast(draw[:-1] % side, tf.int32), [_ROUNDS, side])
  shift = tf.cast(draw[-1] % size, tf.int32)

  def permute(positions: tf.Tensor) -> tf.Tensor:
    left, right = positions // side, positions % side
    for index in range(_ROUNDS):
      left, right = right, (left + tf.gather(tables[index], right)) % side
    return left * side + right

  def permute_outside(positions: tf.Tensor) -> list[tf.Tensor]:
    outside = tf.where(positions >= size)
    return [tf.tensor_scatter_nd_update(positions, outside, permute(tf.gather_nd(positions, outside)))]

  start = permute(tf.range(count))
  positions = tf.while_loop(lambda positions: tf.reduce_any(positions >= size), permute_outside, [start])[0]
  return tf.where(positions < size - shift, positions + shift, positions - (size - shift))
