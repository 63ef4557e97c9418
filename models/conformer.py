"""Causal Conformer language model (Gulati et al. 2020, arXiv 2005.08100; sizes of Ro et al. 2022, arXiv 2204.09715).

    x <- x + MLP(x) / 2;  x <- x + Attention(x);  x <- x + Convolution(x);  x <- x + MLP(x) / 2;  x <- LN(x)
    Convolution(x) = swish(LN(depthwise(GLU(LN(x) W)))) P;  logits = x E^T + b

It differs from the speech model where prediction from left to right demands it: attention is masked, a position's filter
ends at that position, and layer normalization follows the filter, because batch statistics would look ahead and depend
on the client. Positions are sinusoidal, and input and output embeddings tied. The paper tells neither the length of the
filter, here that of the speech model, nor the number of heads.
"""

from collections.abc import Callable
import functools

import tensorflow as tf

from data import arguments
from models import layers
from models import model as model_lib
from models import sizes
from models import weight as weight_lib

SIZES = {
  # Two MLPs of half the width of the tiny Transformer's.
  'tiny': dict(width=128, mlp_width=256, num_layers=2, num_heads=4, kernel_size=31),
  'small': dict(width=128, mlp_width=2048, num_layers=3, num_heads=8, kernel_size=31),
  'large': dict(width=512, mlp_width=2048, num_layers=3, num_heads=8, kernel_size=31),
}

_DROPOUTS = 6  # Of a block: two for each MLP, one for each of the other two sub-layers.


def conformer(
  size: str = 'tiny',
  width: int | None = None,
  mlp_width: int | None = None,
  num_layers: int | None = None,
  num_heads: int | None = None,
  kernel_size: int | None = None,
  dropout: float = 0.0,
) -> Callable[[int], model_lib.Model]:
  """Configures a Conformer language model.

  Args:
    size: `tiny`, `small` or `large`; the other arguments override its dimensions.
    width: Embedding and residual width.
    mlp_width: Hidden width of each of a block's two MLPs.
    num_layers: Number of blocks.
    num_heads: Attention heads; divides width.
    kernel_size: Positions that a convolution takes in: a position and those before it.
    dropout: Rate after each sub-layer and each MLP's hidden layer while training, in [0, 1).

  Returns:
    A builder from vocabulary size to a `Model`: int32 tokens [batch, length] to float32 logits [batch, length, vocabulary].
    Its `apply` also runs weights with fewer units of an axis, or with fewer blocks (numbered from 0): each sub-layer
    adds to what passes by, and the normalization at the end of a block hardly changes what one before it left.

  Raises:
    ValueError: For dimensions out of range.
  """
  overrides = dict(
    width=width, mlp_width=mlp_width, num_layers=num_layers, num_heads=num_heads, kernel_size=kernel_size
  )
  dimensions = sizes.chosen(SIZES, size, overrides)
  arguments.check_within('[0, 1)', dropout=dropout)
  head_width = sizes.head_width(dimensions['width'], dimensions['num_heads'])

  def build(vocabulary_size: int) -> model_lib.Model:
    def apply(weights: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      x = layers.embedded(weights['embedding/table'], tokens)
      index = 0
      while f'block_{index}/norm_scale' in weights:
        run = functools.partial(_block, weights, index, head_width=head_width, rate=dropout, seed=seed)
        x = layers.passed(weights, f'block_{index}', x, run)
        index += 1
      return layers.tied_logits(x, weights['embedding/table'], weights['head/bias'])

    return model_lib.Model(_variables(vocabulary_size, **dimensions), apply, skips_blocks=True)

  return build


def _variables(
  vocabulary_size: int, width: int, mlp_width: int, num_layers: int, num_heads: int, kernel_size: int
) -> tuple[model_lib.Variable, ...]:
  vocabulary = model_lib.Units('vocabulary', 0, vocabulary_size)
  variables = [
    model_lib.Variable('embedding/table', (vocabulary_size, width), model_lib.normal(width**-0.5), vocabulary)
  ]
  for index in range(num_layers):
    block = f'block_{index}'
    variables += layers.mlp_variables(f'{block}/first_mlp', width, mlp_width)
    variables += layers.attention_variables(f'{block}/attention', width, num_heads)
    variables += _convolution_variables(f'{block}/convolution', width, kernel_size)
    variables += layers.mlp_variables(f'{block}/last_mlp', width, mlp_width)
    variables += layers.norm_variables(f'{block}/norm', width)
  variables.append(model_lib.Variable('head/bias', (vocabulary_size,), model_lib.zeros, vocabulary))
  return tuple(variables)


def _convolution_variables(name: str, width: int, kernel_size: int) -> list[model_lib.Variable]:
  """Declares the variables of `_convolution`; the filter is no kernel, for it multiplies no vector."""
  return [
    *layers.norm_variables(f'{name}/norm', width),
    *layers.projection_variables(f'{name}/gate', width, 2 * width),
    model_lib.Variable(f'{name}/depthwise_filter', (kernel_size, width), model_lib.normal(kernel_size**-0.5)),
    model_lib.Variable(f'{name}/depthwise_bias', (width,), model_lib.zeros),
    *layers.norm_variables(f'{name}/inner_norm', width),
    *layers.projection_variables(f'{name}/projection', width, width),
  ]


def _block(
  weights: layers.Named, index: int, x: tf.Tensor, head_width: int, rate: float, seed: tf.Tensor | None
) -> tf.Tensor:
  block = f'block_{index}'

  def drop(y: tf.Tensor, purpose: int) -> tf.Tensor:
    return layers.dropout(y, rate, seed, _DROPOUTS * index + purpose)

  y = layers.mlp(weights, f'{block}/first_mlp', x, lambda hidden: drop(tf.nn.silu(hidden), 0))
  x += 0.5 * drop(y, 1)
  x += drop(layers.attention(weights, f'{block}/attention', x, head_width), 2)
  x += drop(_convolution(weights, f'{block}/convolution', x), 3)
  y = layers.mlp(weights, f'{block}/last_mlp', x, lambda hidden: drop(tf.nn.silu(hidden), 4))
  x += 0.5 * drop(y, 5)
  return layers.norm(weights, f'{block}/norm', x)


def _convolution(weights: layers.Named, name: str, x: tf.Tensor) -> tf.Tensor:
  """Normalizes `x` [batch, length, width], gates it, filters each channel over time, and mixes the channels."""
  values, gates = tf.split(layers.projection(weights, f'{name}/gate', layers.norm(weights, f'{name}/norm', x)), 2, -1)
  filters = weight_lib.of(weights[f'{name}/depthwise_filter'])
  y = filters.causal_convolution(values * tf.sigmoid(gates)) + weights[f'{name}/depthwise_bias']
  y = tf.nn.silu(layers.norm(weights, f'{name}/inner_norm', y))
  return layers.projection(weights, f'{name}/projection', y)
