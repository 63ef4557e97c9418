"""Shorter floating-point formats: 2 bytes per value (IEEE 754 binary16, and bfloat16 of Kalamkar et al. 2019).

    encode(x) = bytes of cast(min(max(x, -limit), limit));  limit = the largest finite number of the format

Both round to the nearest number, so they are biased, by at most 2**-11 (float16, for |x| in [2**-14, 65504]) or 2**-8
(bfloat16) of |x|. Larger values saturate where the format would make them infinite. Bytes are little-endian.
"""

import tensorflow as tf

from compression import stage


class _Cast(stage.Stage):
  """Casts to a format of 2 bytes, whose bytes travel."""

  gives = stage.Kind.BYTES

  def __init__(self, dtype: tf.DType):
    self._dtype = dtype
    self._limit = float(dtype.max)

  def form(self, form: stage.Form) -> stage.Form:
    """Returns bytes."""
    del form
    return stage.Form(stage.Kind.BYTES, None)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns 2 bytes per value, and nothing else."""
    del form, client_seed, shared_seed
    short = tf.cast(tf.clip_by_value(x, -self._limit, self._limit), self._dtype)
    return tf.reshape(tf.bitcast(short, tf.uint8), [-1]), ()

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values; see `Stage.decode`."""
    del side, form, shared_seed
    return tf.cast(tf.bitcast(tf.reshape(x, [-1, 2]), self._dtype), tf.float32)


class Float16(_Cast):
  """Casts to float16: 11 significant bits, up to 65504."""

  def __init__(self):
    super().__init__(tf.float16)


class Bfloat16(_Cast):
  """Casts to bfloat16: 8 significant bits, the range of float32."""

  def __init__(self):
    super().__init__(tf.bfloat16)
