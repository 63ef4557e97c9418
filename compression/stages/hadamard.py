"""Randomised Walsh-Hadamard rotation, which evens values out before they are quantized (Suresh et al. 2017, section 3).

    encode(x) = H (signs * x) / sqrt(bucket);  decode(y) = signs * (H y) / sqrt(bucket);  H_2b = [[H_b, H_b], [H_b, -H_b]]

The signs come from the shared seed. Linear and orthonormal: exact up to rounding, hence unbiased. Where we differ: the
paper pads to the next power of two; we rotate in buckets of at most 4096 values, see `buckets`. What is lost: a value is
spread over 4096 others instead of all, so a lone outlier shrinks 64-fold at most, and buckets keep their own norms. Buckets
are strided, not contiguous: each draws 64 runs of 64 values from all over the tensor, which evens their norms out. Values
beyond 2**126 / bucket are clipped, because neither the sum over a bucket nor that of its inverse may overflow.

A bucket of 2**(a + b) values is a matrix, and H of it is H_2**a matrix H_2**b: two products with 64 x 64 matrices instead
of 12 passes.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from compression import stage

_LARGEST_BUCKET = 4096  # Two factors of 64; 128 x 128 would take 1.6 times as long.
_SMALLEST_NORMAL = 2.0**-126  # Ops disagree on whether smaller floats are zero.
# The eight signs in a byte: one look-up for eight values, where shifts take several passes.
_SIGNS = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1).astype(np.float32)


class Hadamard(stage.Stage):
  """Rotates by a Walsh-Hadamard matrix and random signs, the same ones for all clients of a round."""

  linear = True

  def form(self, form: stage.Form) -> stage.Form:
    """Returns as many floats as there were, and the padding."""
    return stage.Form(stage.Kind.FLOATS, padded_size(form.size))

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns the rotated values and no side information."""
    del client_seed
    return rotate(x, form.size, shared_seed), ()

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the values rotated back; see `Stage.decode`."""
    del side
    return unrotate(x, form.size, shared_seed)


def buckets(size: int) -> list[tuple[int, int]]:
  """Cuts `size` values into power-of-two buckets, the last of which may be padded.

  As many buckets of 4096 as there are, then smaller ones for the rest, until the rest fits a bucket with padding of at most
  size / 128. Fewer than 128 values are one bucket. So padding is below 1 % from 128 values on, and never leads beyond the
  next power of two. From 2**19 values on, all buckets are of 4096.

  Returns:
    Pairs (bucket, count), in the order of the values.
  """
  spare = size // 128 if size >= 128 else size - 1
  result, rest, bucket = [], size, _LARGEST_BUCKET
  while rest > 0:
    count, rest = divmod(rest, bucket)
    if rest and bucket - rest <= spare:
      count, rest = count + 1, 0
    if count:
      result.append((bucket, count))
    bucket //= 2
  return result


def padded_size(size: int) -> int:
  """Returns the number of values in all of `buckets(size)`."""
  return sum(bucket * count for bucket, count in buckets(size))


def num_buckets(size: int) -> int:
  """Returns the number of buckets in all of `buckets(size)`."""
  return sum(count for _, count in buckets(size))


def rotate(x: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
  """Rotates float32 [size] to float32 [padded_size(size)] by signs drawn from int64[2]."""
  if size == 0:
    return tf.zeros([0])
  padded = tf.pad(x * _signs(size, seed), [[0, padded_size(size) - size]])
  return _joined([_transform(tf.clip_by_value(m, *_bounds(m))) for m in _split(padded, size)])


def unrotate(y: tf.Tensor, size: int, seed: tf.Tensor) -> tf.Tensor:
  """Inverts `rotate`; the length of y may be unknown to the graph."""
  if size == 0:
    return tf.zeros([0])
  return _joined([_transform(m) for m in _split(y, size)])[:size] * _signs(size, seed)


def reduce_buckets(reduce: Callable[[tf.Tensor, int], tf.Tensor], y: tf.Tensor, size: int) -> tf.Tensor:
  """Reduces each bucket of rotated values to a number.

  Args:
    reduce: Such as `tf.reduce_sum`: takes a tensor and an axis.
    y: What `rotate` made of `size` values.
    size: The number of values before rotation.

  Returns:
    float32 [num_buckets(size)].
  """
  # One axis at a time, because TensorFlow is 20 times slower at axes 0 and 2 at once.
  return tf.concat([reduce(reduce(m, 2), 0) for m in _split(y, size)] or [tf.zeros([0])], axis=0)


def scale_buckets(y: tf.Tensor, factors: tf.Tensor, size: int) -> tf.Tensor:
  """Multiplies each bucket of rotated values by its factor, float32 [num_buckets(size)]; lengths may be unknown."""
  if size == 0:
    return tf.zeros([0])
  scaled, start = [], 0
  for m, (_, count) in zip(_split(y, size), buckets(size), strict=True):
    scaled.append(m * factors[start : start + count][:, tf.newaxis])
    start += count
  return _joined(scaled)


def unit_peaks(y: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
  """Scales each bucket so that its largest magnitude is 1, for norms that neither overflow nor vanish.

  Returns:
    The scaled values, and the largest magnitudes [num_buckets(size)]. A bucket without a normal float becomes zeros.
  """
  peaks = reduce_buckets(tf.reduce_max, tf.abs(y), size)
  factors = tf.where(peaks < _SMALLEST_NORMAL, 0.0, tf.math.reciprocal(tf.maximum(peaks, _SMALLEST_NORMAL)))
  return scale_buckets(y, factors, size), peaks


def _split(y: tf.Tensor, size: int) -> list[tf.Tensor]:
  """Returns the buckets of each length as one tensor [2**a, count, 2**b]: bucket i is [:, i, :]."""
  parts, start = [], 0
  for bucket, count in buckets(size):
    rows = 2 ** ((bucket.bit_length() - 1) // 2)
    # The count stays unknown to the graph, see `Stage.decode`.
    parts.append(tf.reshape(y[start : start + bucket * count], [rows, -1, bucket // rows]))
    start += bucket * count
  return parts


def _joined(parts: list[tf.Tensor]) -> tf.Tensor:
  """Inverts `_split`."""
  flat = [tf.reshape(part, [-1]) for part in parts]
  return flat[0] if len(flat) == 1 else tf.concat(flat, axis=0)


def _transform(matrices: tf.Tensor) -> tf.Tensor:
  """Multiplies [2**a, count, 2**b] by the orthonormal Hadamard matrix of each bucket."""
  rows, _, columns = matrices.shape
  product = tf.matmul(_matrix(rows), tf.reshape(matrices, [rows, -1]))
  product = tf.matmul(tf.reshape(product, [-1, columns]), _matrix(columns))
  return tf.reshape(product, [rows, -1, columns])


def _matrix(order: int) -> np.ndarray:
  matrix = np.ones([1, 1])
  while len(matrix) < order:
    matrix = np.block([[matrix, matrix], [matrix, -matrix]])
  return (matrix / np.sqrt(order)).astype(np.float32)


def _bounds(matrices: tf.Tensor) -> tuple[float, float]:
  largest = 2.0**126 / (matrices.shape[0] * matrices.shape[2])
  return -largest, largest


def _signs(size: int, seed: tf.Tensor) -> tf.Tensor:
  """Returns +1 or -1, float32 [size]."""
  words = tf.random.stateless_uniform([-(-size // 64)], seed, minval=None, maxval=None, dtype=tf.uint64)
  octets = tf.cast(tf.reshape(tf.bitcast(words, tf.uint8), [-1]), tf.int32)
  return tf.reshape(tf.gather(_SIGNS, octets), [-1])[:size]
