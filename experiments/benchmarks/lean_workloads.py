"""The models of the speed benchmark in this suite's layers: the same functions of the same weights as in `keras_workloads`."""

from collections.abc import Callable
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from models import layers
from models import model as model_lib
from models import weight as weight_lib

_EPSILON = 1e-3  # Keras' variance floor of layer normalization.
_HEAD_WIDTH, _BLOCKS = 16, 4

Weights = Iterator[weight_lib.Value]


def of_keras(name: str, keras_model: model_lib.Model) -> model_lib.Model:
  """Returns a workload in the suite's layers.

  Args:
    name: A key of `keras_workloads.WORKLOADS`.
    keras_model: That model, of `keras_bridge.from_keras`.

  Returns:
    A model from int32 tokens [batch, length] to float32 logits [batch, length, vocabulary]. Its variables are those of
    `keras_model`, in the same order and with the same initial values; those of more than two axes are matrices here.
  """
  run = _RUNS[name]

  def apply(by_name: layers.Named, tokens: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    del seed
    return run(iter(by_name.values()), tokens)

  return model_lib.Model(tuple(map(_flattened, keras_model.variables)), apply)


def _flattened(variable: model_lib.Variable) -> model_lib.Variable:
  name, shape = variable.name, variable.shape
  if name.endswith('bias'):
    shape = (int(np.prod(shape)),)
  elif 'attention_output' in name:
    shape = (shape[0] * shape[1], shape[2])
  elif len(shape) > 2:
    shape = (shape[0], shape[1] * shape[2])

  def initializer(_, seed: tf.Tensor) -> tf.Tensor:
    return tf.reshape(variable.initializer(variable.shape, seed), shape)

  return model_lib.Variable(name, shape, initializer)


def _lstm_language_model(weights: Weights, tokens: tf.Tensor) -> tf.Tensor:
  """W1, and W, which has one dense layer more."""
  x = weight_lib.of(next(weights)).rows(tokens)
  x = _lstm(x, next(weights), weight_lib.of(next(weights)), next(weights))
  for kernel in weights:
    x = layers.dense(x, kernel, next(weights))
  return x


def _lstm(x: tf.Tensor, kernel: weight_lib.Value, recurrent: weight_lib.Weight, bias: weight_lib.Value) -> tf.Tensor:
  """Keras' LSTM: gates for input, forgetting, candidate and output, side by side."""
  gates = tf.transpose(layers.dense(x, kernel, bias), [1, 0, 2])
  recurrent.watch(gates)

  def step(carry: layers.Carry, step_inputs: layers.Carry) -> layers.Carry:
    (hidden, cell), (z,) = carry, step_inputs
    write, forget, candidate, output = tf.split(z + recurrent.loop_product(hidden), 4, axis=1)
    cell = tf.sigmoid(forget) * cell + tf.sigmoid(write) * tf.tanh(candidate)
    return tf.sigmoid(output) * tf.tanh(cell), cell

  empty = tf.zeros([tf.shape(x)[0], recurrent.shape[0]])
  hidden, _ = layers.over_time(step, (gates,), (empty, empty))
  recurrent.tap_product(tf.concat([empty[tf.newaxis], hidden[:-1]], 0), gates)
  return tf.transpose(hidden, [1, 0, 2])


def _transformer(weights: Weights, tokens: tf.Tensor) -> tf.Tensor:
  """W2."""
  x = weight_lib.of(next(weights)).rows(tokens)
  later = 1.0 - tf.linalg.band_part(tf.ones([x.shape[1], x.shape[1]]), -1, 0)
  for _ in range(_BLOCKS):
    y = _norm(x, weights)
    query, key, value = (layers.dense(y, next(weights), next(weights)) for _ in range(3))
    mixed = layers.dot_product_attention(query, key, value, _HEAD_WIDTH, later)
    x += layers.dense(mixed, next(weights), next(weights))
    y = tf.nn.relu(layers.dense(_norm(x, weights), next(weights), next(weights)))
    x += layers.dense(y, next(weights), next(weights))
  return layers.dense(_norm(x, weights), next(weights), next(weights))


def _norm(x: tf.Tensor, weights: Weights) -> tf.Tensor:
  return layers.layer_norm(x, next(weights), next(weights), _EPSILON)


_RUNS: dict[str, Callable[[Weights, tf.Tensor], tf.Tensor]] = {
  'W1': _lstm_language_model,
  'W2': _transformer,
  'W': _lstm_language_model,
}
