"""Causal Transformer language model (Vaswani et al. 2017; sizes of Ro et al. 2022, arXiv 2204.09715).

    x <- x + Attention(LN(x));  x <- x + MLP(LN(x));  logits = LN(x) E^T + b

Normalization before each sub-layer, sinusoidal positions and tied input and output embeddings. The paper does not say
whether normalization comes before or after; before trains without warm-up, which clients do not have.
"""

from collections.abc import Callable
from collections.abc import Mapping

import tensorflow as tf

from models import layers
from models import model as model_lib
from models import sizes
from models import weight as weight_lib

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
  sizes.check_dropout(dropout)
  if dimensions['width'] % dimensions['num_heads']:
    raise ValueError(f'num_heads={dimensions["num_heads"]} must divide width={dimensions["width"]}')
  head_width = dimensions['width'] // dimensions['num_heads']

  def build(vocabulary_size: int) -> model_lib.Model:
    def apply(weights: Mapping[str, weight_lib.Value], tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      x = _embed(weights['embedding/table'], tokens)
      index = 0
      while f'block_{index}/attention/norm_scale' in weights:
        x = _block(weights, index, x, head_width, dropout, seed)
        index += 1
      x = layers.layer_norm(x, weights['head/norm_scale'], weights['head/norm_bias'])
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
  units = _block_units(mlp_width, num_heads)
  for index in range(num_layers):
    shapes = {
      'attention/norm_scale': (width,),
      'attention/norm_bias': (width,),
      'attention/query_kernel': (width, width),
      'attention/query_bias': (width,),
      'attention/key_kernel': (width, width),
      'attention/key_bias': (width,),
      'attention/value_kernel': (width, width),
      'attention/value_bias': (width,),
      'attention/output_kernel': (width, width),
      'attention/output_bias': (width,),
      'mlp/norm_scale': (width,),
      'mlp/norm_bias': (width,),
      'mlp/up_kernel': (width, mlp_width),
      'mlp/up_bias': (mlp_width,),
      'mlp/down_kernel': (mlp_width, width),
      'mlp/down_bias': (width,),
    }
    variables += [
      model_lib.Variable(f'block_{index}/{name}', shape, _initializer(name), units.get(name))
      for name, shape in shapes.items()
    ]
  variables += [
    model_lib.Variable('head/norm_scale', (width,), model_lib.ones),
    model_lib.Variable('head/norm_bias', (width,), model_lib.zeros),
    model_lib.Variable('head/bias', (vocabulary_size,), model_lib.zeros, vocabulary),
  ]
  return tuple(variables)


def _block_units(mlp_width: int, num_heads: int) -> dict[str, model_lib.Units]:
  """Units by the names of one block's variables; a head's columns lie side by side."""
  units = {
    'attention/output_kernel': model_lib.Units('heads', 0, num_heads),
    'mlp/up_kernel': model_lib.Units('neurons', 1, mlp_width),
    'mlp/up_bias': model_lib.Units('neurons', 0, mlp_width),
    'mlp/down_kernel': model_lib.Units('neurons', 0, mlp_width),
  }
  for name in ('query', 'key', 'value'):
    units[f'attention/{name}_kernel'] = model_lib.Units('heads', 1, num_heads)
    units[f'attention/{name}_bias'] = model_lib.Units('heads', 0, num_heads)
  return units


def _initializer(name: str) -> model_lib.Initializer:
  if name.endswith('kernel'):
    return model_lib.glorot_uniform
  return model_lib.ones if name.endswith('scale') else model_lib.zeros


def _embed(table: weight_lib.Value, tokens: tf.Tensor) -> tf.Tensor:
  length, width = tokens.shape[1], table.shape[1]
  # The table is drawn with variance 1 / width for the output product; the input wants unit variance.
  return weight_lib.of(table).rows(tokens) * width**0.5 + layers.sinusoidal_positions(length, width)


def _block(
  weights: Mapping[str, weight_lib.Value],
  index: int,
  x: tf.Tensor,
  head_width: int,
  rate: float,
  seed: tf.Tensor | None,
) -> tf.Tensor:
  def own(name: str) -> weight_lib.Value:
    return weights[f'block_{index}/{name}']

  def project(y: tf.Tensor, name: str) -> tf.Tensor:
    return layers.dense(y, own(f'{name}_kernel'), own(f'{name}_bias'))

  y = layers.layer_norm(x, own('attention/norm_scale'), own('attention/norm_bias'))
  query, key, value = (project(y, f'attention/{name}') for name in ('query', 'key', 'value'))
  y = project(layers.causal_attention(query, key, value, head_width), 'attention/output')
  x += layers.dropout(y, rate, seed, 2 * index)
  y = layers.layer_norm(x, own('mlp/norm_scale'), own('mlp/norm_bias'))
  y = project(tf.nn.relu(project(y, 'mlp/up')), 'mlp/down')
  return x + layers.dropout(y, rate, seed, 2 * index + 1)
