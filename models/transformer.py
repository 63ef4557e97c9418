"""Causal Transformer language model (Vaswani et al. 2017; sizes of Ro et al. 2022, arXiv 2204.09715).

    x <- x + Attention(LN(x));  x <- x + MLP(LN(x));  logits = LN(x) E^T + b

Normalization before each sub-layer, sinusoidal positions and tied input and output embeddings. The paper does not say
whether normalization comes before or after; before trains without warm-up, which clients do not have.
"""

from collections.abc import Callable
import functools

import tensorflow as tf

from data import arguments
from models import layers
from models import model as model_lib
from models import sizes

SIZES = {
  'tiny': dict(width=128, mlp_width=512, num_layers=2, num_heads=4),
  'small': dict(width=128, mlp_width=2048, num_layers=6, num_heads=8),
  'large': dict(width=512, mlp_width=2048, num_layers=6, num_heads=8),
}


def transformer(
  size: str = 'tiny',
  width: int | None = None,
  mlp_width: int | None = None,
  num_layers: int | None = None,
  num_heads: int | None = None,
  dropout: float = 0.0,
) -> Callable[[int], model_lib.Model]:
  """Configures a Transformer language model.

  Args:
    size: `tiny`, `small` or `large`; the other arguments override its dimensions.
    width: Embedding and residual width.
    mlp_width: Hidden width of each block's MLP.
    num_layers: Number of blocks.
    num_heads: Attention heads; divides width.
    dropout: Rate after each sub-layer while training, in [0, 1).

  Returns:
    A builder from vocabulary size to a `Model`: int32 tokens [batch, length] to float32 logits [batch, length, vocabulary].
    Its `apply` also runs weights with fewer units of an axis, or with fewer blocks (numbered from 0).

  Raises:
    ValueError: For dimensions out of range.
  """
  dimensions = sizes.chosen(
    SIZES, size, dict(width=width, mlp_width=mlp_width, num_layers=num_layers, num_heads=num_heads)
  )
  arguments.check_within('[0, 1)', dropout=dropout)
  head_width = sizes.head_width(dimensions['width'], dimensions['num_heads'])

  def build(vocabulary_size: int) -> model_lib.Model:
    def apply(weights: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      x = layers.embedded(weights['embedding/table'], tokens)
      index = 0
      while f'block_{index}/attention/norm_scale' in weights:
        run = functools.partial(_block, weights, index, head_width=head_width, rate=dropout, seed=seed)
        x = layers.passed(weights, f'block_{index}', x, run)
        index += 1
      x = layers.norm(weights, 'head/norm', x)
      return layers.tied_logits(x, weights['embedding/table'], weights['head/bias'])

    return model_lib.Model(_variables(vocabulary_size, **dimensions), apply, skips_blocks=True)

  return build


def _variables(
  vocabulary_size: int, width: int, mlp_width: int, num_layers: int, num_heads: int
) -> tuple[model_lib.Variable, ...]:
  vocabulary = model_lib.Units('vocabulary', 0, vocabulary_size)
  variables = [
    model_lib.Variable('embedding/table', (vocabulary_size, width), model_lib.normal(width**-0.5), vocabulary)
  ]
  for index in range(num_layers):
    variables += layers.attention_variables(f'block_{index}/attention', width, num_heads)
    variables += layers.mlp_variables(f'block_{index}/mlp', width, mlp_width)
  variables += layers.norm_variables('head/norm', width)
  variables.append(model_lib.Variable('head/bias', (vocabulary_size,), model_lib.zeros, vocabulary))
  return tuple(variables)


def _block(
  weights: layers.Named, index: int, x: tf.Tensor, head_width: int, rate: float, seed: tf.Tensor | None
) -> tf.Tensor:
  y = layers.attention(weights, f'block_{index}/attention', x, head_width)
  x += layers.dropout(y, rate, seed, 2 * index)
  y = layers.mlp(weights, f'block_{index}/mlp', x, tf.nn.relu)
  return x + layers.dropout(y, rate, seed, 2 * index + 1)
