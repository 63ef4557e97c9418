"""Ternary stochastic quantization (TernGrad, Wen et al. 2017, arXiv 1705.07878).

    scale = min(max|x|, clip_stddevs std);  level = 1 + sign(x) Bernoulli(min(|x| / scale, 1))
    decode(level) = (level - 1) scale

The scale is that of the tensor and travels with it; std is that of `clip.limit`. Without clipping, unbiased: the mean of
decoded values is x. With clipping, the mean is x clipped. Five values share a byte: 1.6 bits each.
"""

import tensorflow as tf

from compression import stage
from compression.stages import clip
from data import arguments


class Terngrad(stage.Stage):
  """Quantizes to -scale, 0 and scale, where scale is the largest absolute value after clipping."""

  gives = stage.Kind.LEVELS

  def __init__(self, clip_stddevs: float | None = 2.5):
    """Configures the stage.

    Args:
      clip_stddevs: Clips to so many standard deviations first, in (0, 1000]; None clips nothing.

    Raises:
      ValueError: For other values.
    """
    if clip_stddevs is not None:
      arguments.check_within('(0, 1000]', clip_stddevs=clip_stddevs)
    self._clip_stddevs = clip_stddevs

  def form(self, form: stage.Form) -> stage.Form:
    """Returns as many values of 3 levels."""
    return stage.Form(stage.Kind.LEVELS, form.size, 3)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and (float32[1] of the scale,)."""
    del shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.int32), (tf.zeros([1]),)
    scale = tf.reduce_max(tf.abs(x))
    if self._clip_stddevs is not None:
      scale = tf.minimum(scale, clip.limit(x, float(self._clip_stddevs)))
    # The noise lies in [0, scale), so that what lies beyond the scale is always +-1, as if clipped.
    noise = scale * tf.random.stateless_uniform(tf.shape(x), client_seed)
    return tf.cast(x > noise, tf.int32) + tf.cast(x >= -noise, tf.int32), (scale[tf.newaxis],)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values, each -scale, 0 or scale; see `Stage.decode`."""
    del form, shared_seed
    return tf.cast(x - 1, tf.float32) * side[0][0]
