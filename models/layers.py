"""Layers shared by the models: plain functions of tensors, two-dimensional wherever a product is.

A batch of sequences is [batch, length, width] between blocks; products run on [batch * length, width], because a
batched product with a broadcast kernel is several times slower. A weight is a tensor or a `Weight`.
"""

import tensorflow as tf

from models import weight as weight_lib

_EPSILON = 1e-6  # Variance floor of layer normalization.


def dense(x: tf.Tensor, kernel: weight_lib.Value, bias: weight_lib.Value | None = None) -> tf.Tensor:
  """Multiplies the last axis of `x` [..., inputs] by `kernel` [inputs, outputs] and adds `bias` [outputs]."""
  flat = tf.reshape(x, [-1, x.shape[-1]])
  product = weight_lib.of(kernel).product(flat)
  if bias is not None:
    product = tf.nn.bias_add(product, bias)
  return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [kernel.shape[-1]]], 0))


def tied_logits(x: tf.Tensor, table: weight_lib.Value, bias: weight_lib.Value) -> tf.Tensor:
  """Scores `x` [batch, length, width] against every row of an embedding `table` [vocabulary, width], plus `bias`."""
  product = weight_lib.of(table).transposed_product(tf.reshape(x, [-1, x.shape[-1]]))
  logits = tf.nn.bias_add(product, bias)
  return tf.reshape(logits, [-1, x.shape[1], table.shape[0]])


def layer_norm(x: tf.Tensor, scale: weight_lib.Value, bias: weight_lib.Value) -> tf.Tensor:
  """Normalizes the last axis of `x` to zero mean and unit variance, then scales and shifts it."""
  mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
  return weight_lib.of(scale).scaled((x - mean) * tf.math.rsqrt(variance + _EPSILON)) + bias


def dropout(x: tf.Tensor, rate: float, seed: tf.Tensor | None, purpose: int) -> tf.Tensor:
  """Zeroes a fraction `rate` of `x` and scales the rest up; the identity without a seed or at rate 0.

  Args:
    x: Any float tensor.
    rate: In [0, 1).
    seed: int64[2] of this step, or None outside training.
    purpose: Tells apart the dropout layers of one step.

  Returns:
    A tensor like `x`.
  """
  if seed is None or rate == 0.0:
    return x
  seed = tf.random.experimental.stateless_fold_in(seed, tf.constant(purpose, tf.int64))
  return tf.nn.experimental.stateless_dropout(x, rate, seed)


def sinusoidal_positions(length: int, width: int) -> tf.Tensor:
  """Returns the parameter-free position code [length, width] of Vaswani et al. 2017 (sines first, then cosines)."""
  rates = tf.pow(10_000.0, -tf.range(0, width, 2, dtype=tf.float32) / width)
  angles = tf.range(length, dtype=tf.float32)[:, tf.newaxis] * rates
  return tf.concat([tf.sin(angles), tf.cos(angles)], axis=-1)[:, :width]


def causal_attention(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor, head_width: int) -> tf.Tensor:
  """Scaled dot-product attention of each position to itself and those before it.

  Args:
    query: float32 [batch, length, width]; `key` and `value` likewise.
    key: See `query`.
    value: See `query`.
    head_width: Divides width.

  Returns:
    float32 [batch, length, width]: the heads side by side.
  """
  length, width = query.shape[1], query.shape[2]
  num_heads = width // head_width

  def split(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tf.reshape(x, [-1, length, num_heads, head_width]), [0, 2, 1, 3])

  scores = tf.matmul(split(query), split(key), transpose_b=True) * head_width**-0.5
  hidden = 1.0 - tf.linalg.band_part(tf.ones([length, length]), -1, 0)
  mixed = tf.matmul(tf.nn.softmax(scores - 1e9 * hidden), split(value))
  return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, length, width])
