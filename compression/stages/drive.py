"""DRIVE, one bit per value (Vargaftik et al. 2021, arXiv 2105.08339).

    y = R x;  level = y >= 0;  scale = ||y||_2**2 / ||y||_1;  decode = R**-1 (scale * sign(y))

R is the randomised Hadamard rotation of `hadamard.py`. Each client draws its own, so that the errors of clients are
independent, see `own_seed.py`. Where we differ: one scale for each bucket of the
rotation, because buckets differ in norm. With this scale <decode, x> = ||x||**2; under a uniformly random rotation the
decoded mean is x. The Hadamard rotation comes close: biased, but by little unless a bucket has few values that count.
"""

import tensorflow as tf

from compression import stage
from compression.stages import hadamard
from compression.stages import own_seed


class Drive(stage.Stage):
  """Rotates and keeps the sign of each value, and one scale for each bucket of up to 4096."""

  gives = stage.Kind.LEVELS

  def form(self, form: stage.Form) -> stage.Form:
    """Returns two levels for each value and for the padding of the rotation."""
    return stage.Form(stage.Kind.LEVELS, hadamard.padded_size(form.size), 2)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns signs as int32 0 or 1, and (float32 scales of the buckets, int32[1] of the rotation's seed)."""
    word = own_seed.draw_word(client_seed)
    y = hadamard.rotate(x, form.size, own_seed.from_word(word, shared_seed))
    unit, peaks = hadamard.unit_peaks(y, form.size)
    squares = hadamard.reduce_buckets(tf.reduce_sum, tf.square(unit), form.size)
    magnitudes = hadamard.reduce_buckets(tf.reduce_sum, tf.abs(unit), form.size)
    return tf.cast(y >= 0.0, tf.int32), (peaks * tf.math.divide_no_nan(squares, magnitudes), word)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the scaled signs rotated back; see `Stage.decode`."""
    scales, word = side
    y = hadamard.scale_buckets(2.0 * tf.cast(x, tf.float32) - 1.0, scales, form.size)
    return hadamard.unrotate(y, form.size, own_seed.from_word(word, shared_seed))
