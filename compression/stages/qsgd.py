"""Stochastic quantization relative to the Euclidean norm (QSGD, Alistarh et al. 2017, arXiv 1610.02132, section 3.1).

    y = num_steps x / norm(x);  step = floor(y) + Bernoulli(y - floor(y));  level = step + num_steps
    decode(level) = (level - num_steps) / num_steps norm(x)

The norm is that of the tensor and travels with it. Unbiased: the mean of decoded values is x; the mean squared error is
at most min(n / num_steps^2, sqrt(n) / num_steps) norm(x)^2. We differ in the code: levels of fixed length are packed,
where the paper codes them by Elias's.
"""

import tensorflow as tf

from compression import stage
from data import arguments


class Qsgd(stage.Stage):
  """Quantizes to 2 num_steps + 1 evenly spaced levels between minus and plus the norm of the tensor."""

  gives = stage.Kind.LEVELS

  def __init__(self, num_steps: int = 7):
    """Configures the stage.

    Args:
      num_steps: Levels above zero, 1 to 32767; 7 make 15 levels, two values a byte.

    Raises:
      ValueError: For other values.
    """
    arguments.check_whole(1, 32767, num_steps=num_steps)
    self._num_steps = num_steps

  def form(self, form: stage.Form) -> stage.Form:
    """Returns as many levels as there were values."""
    return stage.Form(stage.Kind.LEVELS, form.size, 2 * self._num_steps + 1)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and (float32[1] of the norm,)."""
    del shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.int32), (tf.zeros([1]),)
    norm = _norm(x)
    y = tf.math.divide_no_nan(x, norm) * self._num_steps
    floor = tf.floor(y)
    # A comparison, because y + noise would round up by itself with many steps.
    up = tf.random.stateless_uniform(tf.shape(x), client_seed) < y - floor
    return tf.cast(floor, tf.int32) + tf.cast(up, tf.int32) + self._num_steps, (norm[tf.newaxis],)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values between -norm and norm; see `Stage.decode`."""
    del form, shared_seed
    return tf.cast(x - self._num_steps, tf.float32) / self._num_steps * side[0][0]


def _norm(x: tf.Tensor) -> tf.Tensor:
  """Returns the Euclidean norm, at most the largest float: any number from max|x| up leaves the codec unbiased."""
  largest = tf.reduce_max(tf.abs(x))
  scaled = tf.math.divide_no_nan(x, largest)  # Squares would overflow, or vanish.
  return tf.minimum(tf.sqrt(2.0 * tf.nn.l2_loss(scaled)) * largest, tf.float32.max)
