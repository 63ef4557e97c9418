"""The bound of a client's part in a round: the norm of everything that it sends together."""

from collections.abc import Sequence

import tensorflow as tf


def clip(tensors: Sequence[tf.Tensor], bound: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
  """Scales tensors together so that their global L2 norm is at most a bound.

  The norm is taken in float64. Tensors whose norm is not finite become zeros.

  Args:
    tensors: float32, of any shape.
    bound: float32 [], positive.

  Returns:
    The tensors, whose norm is at most the bound but for the rounding of float32, and the norm that they had, float32 [].
  """
  doubles = [tf.cast(tensor, tf.float64) for tensor in tensors]
  norm = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(each)) for each in doubles]))
  scale = tf.cast(bound, tf.float64) / tf.maximum(norm, tf.cast(bound, tf.float64))
  scale = tf.where(tf.math.is_finite(norm), scale, 0.0)
  return tuple(tf.cast(tf.math.multiply_no_nan(each, scale), tf.float32) for each in doubles), tf.cast(norm, tf.float32)
