"""The bound of a client's part in a round: the norm of everything that it sends together."""

from collections.abc import Sequence

import tensorflow as tf


def global_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  """Returns the L2 norm of tensors together, float64 [], in which no square of a float32 overflows."""
  return tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(tf.cast(tensor, tf.float64))) for tensor in tensors]))


def clip(
  tensors: Sequence[tf.Tensor], bound: tf.Tensor, norm: tf.Tensor | None = None
) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
  """Scales tensors together so that their global L2 norm, or another one, is at most a bound.

  Tensors whose norm is not finite become zeros.

  Args:
    tensors: float32, of any shape.
    bound: float32 [], positive.
    norm: float64 []: the norm that is bounded, which grows as the tensors do; by default the global L2 norm.

  Returns:
    The tensors, whose norm is at most the bound but for the rounding of float32, and the norm that they had, float32 [].
  """
  norm, limit = global_norm(tensors) if norm is None else norm, tf.cast(bound, tf.float64)
  scale = tf.where(tf.math.is_finite(norm), limit / tf.maximum(norm, limit), 0.0)
  scaled = (tf.math.multiply_no_nan(tf.cast(tensor, tf.float64), scale) for tensor in tensors)
  return tuple(tf.cast(each, tf.float32) for each in scaled), tf.cast(norm, tf.float32)
