"""Ternary rounding and a run-length code (3LC, Lim, Andersen and Kaminsky 2019, arXiv 1802.07389).

    scale = sparsity max|x|;  ternary = round(x / scale);  decode(ternary) = ternary scale
    byte = sum_i 3^i (ternary_i + 1), i = 0..4           # Quartic encoding: at most 242; 121 if all five are zero.
    k = 2..14 bytes 121 in a row -> one byte 241 + k     # Zero-run encoding: 243 to 255.

The scale is that of the tensor and travels with it. Biased: |x| below scale / 2 becomes zero, every time. The paper makes
up for this by error feedback, which is not part of the stage: nothing is remembered from one round to the next.
The five values of a byte are neighbours here, the first one lowest.
"""

import tensorflow as tf

from compression import bitpack
from compression import stage
from data import arguments

_PER_BYTE = 5
_ZEROS = 121  # Five times the digit 1.
_LONGEST = 14


class ThreeLc(stage.Stage):
  """Rounds to -scale, 0 and scale; five values share a byte, and up to 14 bytes of zeros one."""

  gives = stage.Kind.BYTES

  def __init__(self, sparsity: float = 1.0):
    """Configures the stage.

    Args:
      sparsity: In [1, 2): the scale in units of the largest absolute value; the larger, the more zeros.

    Raises:
      ValueError: For other values.
    """
    arguments.check_within('[1, 2)', sparsity=sparsity)
    self._sparsity = float(sparsity)

  def form(self, form: stage.Form) -> stage.Form:
    """Returns bytes."""
    del form
    return stage.Form(stage.Kind.BYTES, None)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns bytes, and (float32[1] of the scale,)."""
    del client_seed, shared_seed
    if form.size == 0:
      return tf.zeros([0], tf.uint8), (tf.zeros([1]),)
    scale = tf.minimum(self._sparsity * tf.reduce_max(tf.abs(x)), tf.float32.max)
    half = 0.5 * scale
    digits = tf.cast(x > half, tf.uint8) + tf.cast(x >= -half, tf.uint8)
    padded = tf.pad(digits, [[0, -form.size % _PER_BYTE]], constant_values=1)
    return encode_runs(bitpack.pack_levels(padded, 3)), (scale[tf.newaxis],)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns float32 values, each -scale, 0 or scale; see `Stage.decode`."""
    del shared_seed
    packed = decode_runs(x, bitpack.packed_levels_size(form.size, 3))
    return tf.cast(bitpack.unpack_levels(packed, 3, form.size) - 1, tf.float32) * side[0][0]


def encode_runs(packed: tf.Tensor) -> tf.Tensor:
  """Shortens the runs of bytes 121 in uint8 [n], n > 0, of bytes up to 242."""
  is_zero = tf.equal(packed, _ZEROS)
  goes_on = tf.concat([[False], is_zero[1:] & is_zero[:-1]], axis=0)
  first = tf.cast(tf.where(~goes_on)[:, 0], tf.int32)  # Of a run, or a byte by itself.
  length = tf.concat([first[1:], [tf.size(packed)]], axis=0) - first
  full = (length - 1) // _LONGEST  # Bytes 255 before the last byte of a run.
  rest = length - _LONGEST * full  # 1 to 14.
  last = tf.where(rest > 1, tf.cast(241 + rest, tf.uint8), tf.gather(packed, first))
  end = tf.cumsum(full + 1)
  return tf.tensor_scatter_nd_update(tf.fill(end[-1:], tf.constant(255, tf.uint8)), (end - 1)[:, tf.newaxis], last)


def decode_runs(code: tf.Tensor, num_bytes: int) -> tf.Tensor:
  """Inverts `encode_runs`: returns uint8 [num_bytes]."""
  length = tf.maximum(tf.cast(code, tf.int32) - 241, 1)
  start = tf.cumsum(length, exclusive=True)
  check = tf.debugging.assert_equal(
    tf.reduce_sum(length), num_bytes, 'three_lc: the payload is truncated or not that of a tensor of this size'
  )
  with tf.control_dependencies([check] if check is not None else []):
    zeros = tf.fill([num_bytes], tf.constant(_ZEROS, tf.uint8))
  return tf.tensor_scatter_nd_update(
    zeros, start[:, tf.newaxis], tf.where(code > 242, tf.constant(_ZEROS, tf.uint8), code)
  )
