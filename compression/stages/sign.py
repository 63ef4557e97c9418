"""One bit per value: its sign (scaled signSGD, Bernstein et al. 2018, arXiv 1802.04434; Karimireddy et al. 2019).

    scale = mean|x|;  level = 1 if x >= 0 else 0;  decode(level) = (2 level - 1) scale

The scale is that of the tensor and travels with it. Biased, and far more than by rounding: every value of a tensor
decodes to one magnitude, also a zero, unless all are. The error feedback of Karimireddy et al. is not part of it.
"""

import tensorflow as tf

from compression import stage


class Sign(stage.Stage):
  """Keeps the signs, and the mean of the absolute values."""

  gives = stage.Kind.LEVELS

  def form(self, form: stage.Form) -> stage.Form:
    """Returns as many values of 2 levels."""
    return stage.Form(stage.Kind.LEVELS, form.size, 2)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and (float32[1] of the scale,)."""
    del client_seed, shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.int32), (tf.zeros([1]),)
    # Divided before the sum, which would overflow; the minimum is for what the sum of the largest floats rounds to.
    scale = tf.minimum(tf.reduce_sum(tf.abs(x) / form.size), tf.float32.max)
    return tf.cast(x >= 0.0, tf.int32), (scale[tf.newaxis],)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values, each -scale or scale; see `Stage.decode`."""
    del form, shared_seed
    return tf.cast(2 * x - 1, tf.float32) * side[0][0]
