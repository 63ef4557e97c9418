"""Stochastic uniform quantization (Suresh et al. 2017, arXiv 1611.00429, section 2.2).

    k = 2**bits;  y = (x - min) / (max - min) (k - 1);  level = floor(y) + Bernoulli(y - floor(y))
    decode(level) = min + level / (k - 1) (max - min)

min and max are those of the tensor and travel with it. Unbiased: the mean of decoded values is x.
"""

import tensorflow as tf

from compression import bitpack, stage


class Uniform(stage.Stage):
  """Quantizes to 2**bits evenly spaced levels between the smallest and the largest value, packed."""

  def __init__(self, bits: int = 8):
    """Configures the stage.

    Args:
      bits: Bits per value, 1 to 16.

    Raises:
      ValueError: For other values.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 1 <= bits <= 16:
      raise ValueError(f'bits must be a whole number from 1 to 16, not {bits!r}')
    self._bits = bits
    self._top_level = 2**bits - 1

  def encode(self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> tuple[tf.Tensor, stage.Side]:
    """Returns packed levels, uint8 [m], and (float32[2] of min and max,)."""
    del shared_seed
    x = tf.reshape(x, [-1])
    if x.shape[0] == 0:
      return tf.zeros([0], tf.uint8), (tf.zeros([2]),)
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    # Halves, because high - low overflows for values near the largest float.
    position = tf.math.divide_no_nan(0.5 * x - 0.5 * low, 0.5 * high - 0.5 * low) * self._top_level
    floor = tf.floor(position)
    # A comparison, because position + noise would round up by itself at 16 bits.
    up = tf.random.stateless_uniform(tf.shape(x), client_seed) < position - floor
    levels = tf.cast(floor, tf.int32) + tf.cast(up, tf.int32)
    return bitpack.pack(levels, self._bits), (tf.stack([low, high]),)

  def decode(self, x: tf.Tensor, side: stage.Side, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values of `spec`'s shape; see `Stage.decode`."""
    del shared_seed
    levels = bitpack.unpack(x, self._bits, spec.shape.num_elements())
    fraction = tf.cast(levels, tf.float32) / self._top_level
    low, high = side[0][0], side[0][1]
    return stage.shaped(low * (1.0 - fraction) + high * fraction, spec)
