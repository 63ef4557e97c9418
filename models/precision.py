"""Matrix products in a lower precision than what goes in and comes out.

Weights, sums, normalization, the loss and the optimizer stay in float32. A bfloat16 has the exponent of a float32 and 8 bits of
precision; a processor with instructions for it (AMX, AVX512-BF16) multiplies large matrices two to three times as fast.
"""

import tensorflow as tf

PRECISIONS = ('float32', 'bfloat16')


def product(
  x: tf.Tensor, y: tf.Tensor, precision: str, transpose_a: bool = False, transpose_b: bool = False
) -> tf.Tensor:
  """Multiplies matrices as `tf.matmul` does, and so do its gradients.

  Args:
    x: float32 [m, k], or its transpose.
    y: float32 [k, n], or its transpose.
    precision: One of `PRECISIONS`: that of the factors, and to which the result is rounded.
    transpose_a: Whether `x` is transposed first.
    transpose_b: Whether `y` is transposed first.

  Returns:
    float32 [m, n].
  """
  dtype = tf.dtypes.as_dtype(precision)
  return tf.cast(tf.matmul(tf.cast(x, dtype), tf.cast(y, dtype), transpose_a, transpose_b), tf.float32)
