"""LSTM language model with coupled input-forget gate and recurrent projection (sizes of Ro et al. 2022, arXiv 2204.09715).

    f, o = sigmoid(.), g = tanh(.) of x_t W + r_{t-1} U + b
    c_t = f c_{t-1} + (1 - f) g;   r_t = (o tanh(c_t)) P + p;   logits = r_t E^T + b

Input and output embeddings are tied, so the projection has the embedding's width. The paper's table fixes only the
counts; this variant is the one that reproduces them.
"""

from collections.abc import Callable
from collections.abc import Mapping

import tensorflow as tf

from data import arguments
from models import layers
from models import model as model_lib
from models import sizes
from models import weight as weight_lib

SIZES = {
  'tiny': dict(width=128, num_cells=384, num_layers=1),
  'small': dict(width=256, num_cells=2048, num_layers=1),
  'large': dict(width=1024, num_cells=2048, num_layers=1),
}


def lstm(
  size: str = 'tiny',
  width: int | None = None,
  num_cells: int | None = None,
  num_layers: int | None = None,
  dropout: float = 0.0,
) -> Callable[[int], model_lib.Model]:
  """Configures an LSTM language model.

  Args:
    size: `tiny`, `small` or `large`; the other arguments override its dimensions.
    width: Embedding and projection width.
    num_cells: LSTM cells in each layer.
    num_layers: Number of layers.
    dropout: Rate after each layer while training, in [0, 1).

  Returns:
    A builder from vocabulary size to a `Model`: int32 tokens [batch, length] to float32 logits [batch, length, vocabulary].
    Its `apply` also runs weights with fewer units of an axis, or with fewer blocks (numbered from 0).

  Raises:
    ValueError: For dimensions out of range.
  """
  dimensions = sizes.chosen(SIZES, size, dict(width=width, num_cells=num_cells, num_layers=num_layers))
  arguments.check_within('[0, 1)', dropout=dropout)

  def build(vocabulary_size: int) -> model_lib.Model:
    def apply(weights: Mapping[str, weight_lib.Value], tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      x = weight_lib.of(weights['embedding/table']).rows(tokens) * dimensions['width'] ** 0.5
      index = 0
      while f'block_{index}/input_kernel' in weights:
        x = layers.dropout(_layer(weights, index, x), dropout, seed, index)
        index += 1
      return layers.tied_logits(x, weights['embedding/table'], weights['head/bias'])

    return model_lib.Model(_variables(vocabulary_size, **dimensions), apply)

  return build


def _variables(vocabulary_size: int, width: int, num_cells: int, num_layers: int) -> tuple[model_lib.Variable, ...]:
  vocabulary = model_lib.Units('vocabulary', 0, vocabulary_size)
  cells = model_lib.Units('neurons', 0, num_cells)
  gates, gate_columns = (model_lib.Units('neurons', position, num_cells, copies=3) for position in (0, 1))
  variables = [
    model_lib.Variable('embedding/table', (vocabulary_size, width), model_lib.normal(width**-0.5), vocabulary)
  ]
  for index in range(num_layers):
    block = f'block_{index}'
    variables += [
      model_lib.Variable(f'{block}/input_kernel', (width, 3 * num_cells), model_lib.glorot_uniform, gate_columns),
      model_lib.Variable(f'{block}/recurrent_kernel', (width, 3 * num_cells), model_lib.glorot_uniform, gate_columns),
      model_lib.Variable(f'{block}/bias', (3 * num_cells,), model_lib.zeros, gates),
      model_lib.Variable(f'{block}/projection_kernel', (num_cells, width), model_lib.glorot_uniform, cells),
      model_lib.Variable(f'{block}/projection_bias', (width,), model_lib.zeros),
    ]
  variables.append(model_lib.Variable('head/bias', (vocabulary_size,), model_lib.zeros, vocabulary))
  return tuple(variables)


def _layer(weights: Mapping[str, weight_lib.Value], index: int, x: tf.Tensor) -> tf.Tensor:
  """Runs one layer over [batch, length, width]; products that need no earlier step are one product for all steps.

  So are the gradients of tapped kernels: the gradient of a step's gates and that of its bias are those of the products
  that are added to them.
  """
  block = f'block_{index}'
  recurrent = weight_lib.of(weights[f'{block}/recurrent_kernel'])
  projection = weight_lib.of(weights[f'{block}/projection_kernel'])
  gates = layers.dense(x, weights[f'{block}/input_kernel'], weights[f'{block}/bias'])
  gates = tf.transpose(gates, [1, 0, 2])
  start = tf.zeros([tf.shape(x)[0], x.shape[2]])
  biases = tf.broadcast_to(weights[f'{block}/projection_bias'], tf.concat([tf.shape(gates)[:1], tf.shape(start)], 0))
  recurrent.watch(gates)
  projection.watch(biases)

  def step(carry: tuple[tf.Tensor, ...], step_inputs: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, ...]:
    projected, cell, _ = carry
    z, bias = step_inputs
    forget, output, candidate = tf.split(z + recurrent.loop_product(projected), 3, axis=-1)
    forget = tf.sigmoid(forget)
    cell = forget * cell + (1.0 - forget) * tf.tanh(candidate)
    hidden = tf.sigmoid(output) * tf.tanh(cell)
    return projection.loop_product(hidden) + bias, cell, hidden

  empty = tf.zeros([tf.shape(x)[0], projection.shape[0]])
  projected, _, hidden = layers.over_time(step, (gates, biases), (start, empty, empty))
  recurrent.tap_product(tf.concat([start[tf.newaxis], projected[:-1]], 0), gates)
  projection.tap_product(hidden, biases)
  return tf.transpose(projected, [1, 0, 2])
