"""Stochastic uniform quantization (Suresh et al. 2017, arXiv 1611.00429, section 2.2).

    y = (x - min) / (max - min) (levels - 1);  level = floor(y) + Bernoulli(y - floor(y))
    decode(level) = min + level / (levels - 1) (max - min)

min and max are those of the tensor and travel with it. Unbiased: the mean of decoded values is x. Where the number of
levels is no power of two, several share a byte if that is denser, see `bitpack.py`: 5 of 3 levels, 1.6 bits each.
"""

import tensorflow as tf

from compression import stage
from data import arguments


class Uniform(stage.Stage):
  """Quantizes to evenly spaced levels between the smallest and the largest value."""

  gives = stage.Kind.LEVELS

  def __init__(self, bits: int | None = None, levels: int | None = None):
    """Configures the stage.

    Args:
      bits: Bits per value, 1 to 16, for 2**bits levels; 8 if neither is given.
      levels: In place of bits: the number of levels, 2 to 65,536.

    Raises:
      ValueError: For other values, and if both are given.
    """
    if bits is not None and levels is not None:
      raise ValueError('bits and levels both say how fine the quantization is: give one of them')
    if levels is None:
      bits = 8 if bits is None else bits
      arguments.check_whole(1, 16, bits=bits)
      levels = 2**bits
    arguments.check_whole(2, 2**16, levels=levels)
    self._num_levels = levels

  def form(self, form: stage.Form) -> stage.Form:
    """Returns as many levels as there were values."""
    return stage.Form(stage.Kind.LEVELS, form.size, self._num_levels)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and (float32[2] of min and max,)."""
    del shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.int32), (tf.zeros([2]),)
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    # Halves, because high - low overflows for values near the largest float.
    position = tf.math.divide_no_nan(0.5 * x - 0.5 * low, 0.5 * high - 0.5 * low) * (self._num_levels - 1)
    floor = tf.floor(position)
    # A comparison, because position + noise would round up by itself at 16 bits.
    up = tf.random.stateless_uniform(tf.shape(x), client_seed) < position - floor
    return tf.cast(floor, tf.int32) + tf.cast(up, tf.int32), (tf.stack([low, high]),)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values between min and max; see `Stage.decode`."""
    del form, shared_seed
    fraction = tf.cast(x, tf.float32) / (self._num_levels - 1)
    low, high = side[0][0], side[0][1]
    return low * (1.0 - fraction) + high * fraction
