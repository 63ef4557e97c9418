"""Values at random positions that all clients of a round share (subsampling, Konecny et al. 2016, arXiv 1610.05492).

    kept = k = max(1, round(fraction * size)) positions drawn without replacement;  encode(x) = x[kept] size / k
    decode(values) = values at kept, 0 elsewhere

No position travels: both ends draw them from the shared seed. Linear and unbiased. Positions are the images of 0..k-1
under a random permutation, computed at these k alone: four rounds of a Feistel network on the square of side
ceil(sqrt(size)), each round's function a table of random numbers, again for what falls outside the tensor, then a random
shift around its end. The shift makes every position exactly equally likely; larger sets are nearly so, as in the
construction of Luby and Rackoff (1988). Sorting random numbers for all values takes a hundred times as long at 1 %.
Scaled values beyond the largest float are clipped to it.
"""

import math

import tensorflow as tf

from compression import stage

_ROUNDS = 4


class Randk(stage.Stage):
  """Keeps a fraction of the values, at random, scaled up for those dropped."""

  linear = True

  def __init__(self, fraction: float = 0.01):
    """Configures the stage.

    Args:
      fraction: Share of the values to keep, above 0 and at most 1; at least one value is kept.

    Raises:
      ValueError: For other values.
    """
    stage.check_number('fraction', fraction, 0, 1)
    self._fraction = fraction

  def form(self, form: stage.Form) -> stage.Form:
    """Returns the kept values."""
    return stage.Form(stage.Kind.FLOATS, min(form.size, max(1, round(self._fraction * form.size))))

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns the kept values, scaled, and no side information."""
    del client_seed
    if form.size == 0:
      return tf.zeros([0]), ()
    kept = self.form(form).size
    scaled = tf.gather(x, draw_positions(kept, form.size, shared_seed)) * (form.size / kept)
    return tf.clip_by_value(scaled, tf.float32.min, tf.float32.max), ()

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the kept values in their places among zeros; see `Stage.decode`."""
    del side
    if form.size == 0:
      return tf.zeros([0])
    positions = draw_positions(self.form(form).size, form.size, shared_seed)
    # Without the slice TensorFlow would take the number of positions for the size of the payload.
    return tf.scatter_nd(positions[: tf.size(x), tf.newaxis], x, [form.size])


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
