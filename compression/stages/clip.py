"""Clipping to a number of standard deviations (before quantization: TernGrad, Wen et al. 2017, arXiv 1705.07878).

    std = sqrt(mean(x^2) - mean(x)^2);  limit = stddevs std;  encode(x) = min(max(x, -limit), limit)

The standard deviation is that of all values of the tensor (divided by n, not n - 1) about their mean, but the limits lie
evenly about zero. Biased: the tails are lost.

We differ in one case. Values that are all equal, such as a single one, have no spread to clip by; they stay, where the
formula would make them zero whatever they are.
"""

import tensorflow as tf

from compression import stage
from data import arguments


class Clip(stage.Stage):
  """Clips to `stddevs` standard deviations about zero; what is clipped stays lost."""

  def __init__(self, stddevs: float = 2.5):
    """Configures the stage.

    Args:
      stddevs: Standard deviations, in (0, 1000].

    Raises:
      ValueError: For other values.
    """
    arguments.check_within('(0, 1000]', stddevs=stddevs)
    self._stddevs = float(stddevs)

  def form(self, form: stage.Form) -> stage.Form:
    """Returns `form`."""
    return form

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns clipped values, and nothing else."""
    del client_seed, shared_seed
    if form.size == 0:
      return x, ()
    bound = limit(x, self._stddevs)
    return tf.clip_by_value(x, -bound, bound), ()

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns `x`."""
    del side, form, shared_seed
    return x


def limit(x: tf.Tensor, stddevs: float) -> tf.Tensor:
  """Returns stddevs * std of a tensor that is not empty: float32 [], infinite if its values are equal to about 0.1 %."""
  largest = tf.reduce_max(tf.abs(x))
  scaled = tf.math.divide_no_nan(x, largest)  # Squares of large values would overflow.
  mean_square = 2.0 * tf.nn.l2_loss(scaled) / tf.cast(tf.size(x), tf.float32)
  variance = mean_square - tf.square(tf.reduce_mean(scaled))
  # Below 1e-6 the difference is mostly rounding.
  return tf.where(variance > 1e-6 * mean_square, stddevs * tf.sqrt(tf.maximum(variance, 0.0)) * largest, float('inf'))
