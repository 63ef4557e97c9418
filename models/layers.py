"""Layers shared by the models: plain functions of tensors, two-dimensional wherever a product is.

A batch of sequences is [batch, length, width] between blocks; products run on [batch * length, width], because a
batched product with a broadcast kernel is several times slower. A weight is a tensor or a `Weight`. A layer `x` that has
variables comes with `x_variables`, which declares them, and finds them again by the name they share.
"""

from collections.abc import Callable
from collections.abc import Mapping
import itertools

import tensorflow as tf

from models import model as model_lib
from models import weight as weight_lib

Named = Mapping[str, weight_lib.Value]

Carry = tuple[tf.Tensor, ...]

_EPSILON = 1e-6  # Variance floor of layer normalization.
_UNROLLED = 64  # Longer loops over time stay loops.


def kept_name(block: str) -> str:
  """Returns the name, beside those of the weights, of the flag that tells whether a block runs."""
  return f'{block}/kept'


def passed(weights: Named, block: str, x: tf.Tensor, run: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  """Passes `x` through a residual block, or by it.

  Args:
    weights: If they hold `kept_name(block)`, a bool or bool [], the block runs only where that is true.
    block: Its name.
    x: What it takes.
    run: From `x` to a tensor of the same shape.

  Returns:
    The output of the block, or `x`.
  """
  kept = weights.get(kept_name(block), True)
  if isinstance(kept, bool):
    return run(x) if kept else x
  return tf.cond(kept, lambda: run(x), lambda: tf.identity(x))


def dense(x: tf.Tensor, kernel: weight_lib.Value, bias: weight_lib.Value | None = None) -> tf.Tensor:
  """Multiplies the last axis of `x` [..., inputs] by `kernel` [inputs, outputs] and adds `bias` [outputs]."""
  flat = tf.reshape(x, [-1, x.shape[-1]])
  product = weight_lib.of(kernel).product(flat)
  if bias is not None:
    product = tf.nn.bias_add(product, bias)
  return tf.reshape(product, tf.concat([tf.shape(x)[:-1], [kernel.shape[-1]]], 0))


def over_time(step: Callable[[Carry, Carry], Carry], inputs: Carry, start: Carry) -> Carry:
  """Does `tf.scan` over the first axis of `inputs`; what is short it unrolls, which spares small steps most of their cost.

  Args:
    step: From what it carries and the inputs of a time to what it carries on.
    inputs: float32 [length, ...] each.
    start: What the first step gets.

  Returns:
    What each step carries on: float32 [length, ...] each.
  """
  length = inputs[0].shape[0]
  if length is None or length > _UNROLLED:
    return tf.scan(step, inputs, start)
  carries = itertools.accumulate(zip(*map(tf.unstack, inputs), strict=True), step, initial=start)
  return tuple(map(tf.stack, zip(*itertools.islice(carries, 1, None), strict=True)))


def tied_logits(x: tf.Tensor, table: weight_lib.Value, bias: weight_lib.Value) -> tf.Tensor:
  """Scores `x` [batch, length, width] against every row of an embedding `table` [vocabulary, width], plus `bias`."""
  product = weight_lib.of(table).transposed_product(tf.reshape(x, [-1, x.shape[-1]]))
  logits = tf.nn.bias_add(product, bias)
  return tf.reshape(logits, [-1, x.shape[1], table.shape[0]])


def layer_norm(x: tf.Tensor, scale: weight_lib.Value, bias: weight_lib.Value, epsilon: float = _EPSILON) -> tf.Tensor:
  """Normalizes the last axis of `x` to zero mean and unit variance, then scales and shifts it."""
  mean, variance = tf.nn.moments(x, axes=[-1], keepdims=True)
  return weight_lib.of(scale).scaled((x - mean) * tf.math.rsqrt(variance + epsilon)) + bias


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


def dot_product_attention(
  query: tf.Tensor,
  key: tf.Tensor,
  value: tf.Tensor,
  head_width: int,
  hidden: tf.Tensor | None,
  drop: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tf.Tensor:
  """Scaled dot-product attention of each position to the others and itself.

  Args:
    query: float32 [batch, length, width]; `key` and `value` likewise.
    key: See `query`.
    value: See `query`.
    head_width: Divides width.
    hidden: float32, broadcast to [batch, heads, length, length]: 1 where the first position does not see the second,
      else 0. None hides nothing.
    drop: Applied to the weights of the mixture [batch, heads, length, length].

  Returns:
    float32 [batch, length, width]: the heads side by side.
  """
  length, width = query.shape[1], query.shape[2]
  num_heads = width // head_width

  def split(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(tf.reshape(x, [-1, length, num_heads, head_width]), [0, 2, 1, 3])

  scores = tf.matmul(split(query), split(key), transpose_b=True) * head_width**-0.5
  if hidden is not None:
    scores -= 1e9 * hidden
  mixed = tf.matmul(drop(tf.nn.softmax(scores)), split(value))
  return tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, length, width])


def embedded(table: weight_lib.Value, tokens: tf.Tensor) -> tf.Tensor:
  """Looks up int32 `tokens` [batch, length] in a tied `table` [vocabulary, width] and adds their positions' code."""
  length, width = tokens.shape[1], table.shape[1]
  # The table is drawn with variance 1 / width for the output product; the input wants unit variance.
  return weight_lib.of(table).rows(tokens) * width**0.5 + sinusoidal_positions(length, width)


def norm_variables(name: str, width: int) -> list[model_lib.Variable]:
  """Declares scale and bias of `norm`."""
  return [
    model_lib.Variable(f'{name}_scale', (width,), model_lib.ones),
    model_lib.Variable(f'{name}_bias', (width,), model_lib.zeros),
  ]


def norm(weights: Named, name: str, x: tf.Tensor, epsilon: float = _EPSILON) -> tf.Tensor:
  """Does `layer_norm` with the scale and bias of this name."""
  return layer_norm(x, weights[f'{name}_scale'], weights[f'{name}_bias'], epsilon)


def projection_variables(
  name: str, inputs: int, outputs: int, axis: str | None = None, count: int = 0, of_inputs: bool = False
) -> list[model_lib.Variable]:
  """Declares kernel and bias of `projection`.

  Args:
    name: Theirs, without `_kernel` and `_bias`.
    inputs: Width of what comes in.
    outputs: Width of what comes out.
    axis: What their units are, if they have any.
    count: Number of those units.
    of_inputs: Whether the inputs consist of the units, rather than the outputs; the bias then has none.

  Returns:
    The two variables.
  """
  kernel_units, bias_units = None, None
  if axis is not None:
    kernel_units = model_lib.Units(axis, 0 if of_inputs else 1, count)
    bias_units = None if of_inputs else model_lib.Units(axis, 0, count)
  return [
    model_lib.Variable(f'{name}_kernel', (inputs, outputs), model_lib.glorot_uniform, kernel_units),
    model_lib.Variable(f'{name}_bias', (outputs,), model_lib.zeros, bias_units),
  ]


def projection(weights: Named, name: str, x: tf.Tensor) -> tf.Tensor:
  """Does `dense` with the kernel and bias of this name."""
  return dense(x, weights[f'{name}_kernel'], weights[f'{name}_bias'])


def attention_variables(name: str, width: int, num_heads: int) -> list[model_lib.Variable]:
  """Declares the variables of `attention`, or of `self_attention` and a `norm`; a head's columns lie side by side."""
  variables = norm_variables(f'{name}/norm', width)
  for part in ('query', 'key', 'value'):
    variables += projection_variables(f'{name}/{part}', width, width, 'heads', num_heads)
  return variables + projection_variables(f'{name}/output', width, width, 'heads', num_heads, of_inputs=True)


def self_attention(
  weights: Named,
  name: str,
  x: tf.Tensor,
  head_width: int,
  hidden: tf.Tensor | None,
  drop: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tf.Tensor:
  """Lets the positions of `x` [batch, length, width] attend to each other; see `dot_product_attention`."""
  query, key, value = (projection(weights, f'{name}/{part}', x) for part in ('query', 'key', 'value'))
  mixed = dot_product_attention(query, key, value, head_width, hidden, drop)
  return projection(weights, f'{name}/output', mixed)


def attention(weights: Named, name: str, x: tf.Tensor, head_width: int) -> tf.Tensor:
  """Normalizes `x` [batch, length, width] and lets each position attend to itself and those before it."""
  later = 1.0 - tf.linalg.band_part(tf.ones([x.shape[1], x.shape[1]]), -1, 0)
  return self_attention(weights, name, norm(weights, f'{name}/norm', x), head_width, later)


def mlp_variables(name: str, width: int, mlp_width: int) -> list[model_lib.Variable]:
  """Declares the variables of `mlp`, or of `hidden_layer` and a `norm`."""
  return [
    *norm_variables(f'{name}/norm', width),
    *projection_variables(f'{name}/up', width, mlp_width, 'neurons', mlp_width),
    *projection_variables(f'{name}/down', mlp_width, width, 'neurons', mlp_width, of_inputs=True),
  ]


def hidden_layer(weights: Named, name: str, x: tf.Tensor, activation: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  """Passes each position of `x` [batch, length, width] through a hidden layer of this activation."""
  return projection(weights, f'{name}/down', activation(projection(weights, f'{name}/up', x)))


def mlp(weights: Named, name: str, x: tf.Tensor, activation: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
  """Normalizes `x` [batch, length, width] and passes each position through a hidden layer of this activation."""
  return hidden_layer(weights, name, norm(weights, f'{name}/norm', x), activation)
