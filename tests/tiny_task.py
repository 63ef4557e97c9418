"""Tasks small enough to compute by hand: regression by linear models as a `models.task.Task`."""

import collections

import numpy as np
import tensorflow as tf

from models import layers
from models import model as model_lib
from models import task as task_lib


def linear_task(num_features: int = 2) -> task_lib.Task:
  """Predicts y = x w + b; the loss is half the mean squared error."""
  model = model_lib.Model(
    variables=(
      model_lib.Variable('block_0/kernel', (num_features,), model_lib.normal(1.0)),
      model_lib.Variable('head/bias', (), model_lib.zeros),
    ),
    apply=lambda weights, x, seed: tf.linalg.matvec(x, weights['block_0/kernel']) + weights['head/bias'],
  )

  return _regression(model, num_features)


def two_layer_task(num_neurons: int) -> task_lib.Task:
  """Predicts y = (x U) v + b of two features, whose neurons may be left out."""
  columns, rows = (model_lib.Units('neurons', position, num_neurons) for position in (1, 0))
  model = model_lib.Model(
    variables=(
      model_lib.Variable('block_0/up_kernel', (2, num_neurons), model_lib.normal(1.0), columns),
      model_lib.Variable('block_0/down_kernel', (num_neurons,), model_lib.normal(1.0), rows),
      model_lib.Variable('head/bias', (), model_lib.zeros),
    ),
    apply=lambda weights, x, seed: (
      tf.linalg.matvec(tf.matmul(x, weights['block_0/up_kernel']), weights['block_0/down_kernel'])
      + weights['head/bias']
    ),
  )
  return _regression(model, 2)


def residual_task(num_blocks: int) -> task_lib.Task:
  """Predicts y = sum x of two features, after x <- x + x W + b in each block."""
  variables = []
  for index in range(num_blocks):
    variables.append(model_lib.Variable(f'block_{index}/kernel', (2, 2), model_lib.normal(0.5)))
    variables.append(model_lib.Variable(f'block_{index}/bias', (2,), model_lib.normal(0.5)))

  def apply(weights, x, seed):
    index = 0
    while f'block_{index}/bias' in weights:
      kernel, bias = weights[f'block_{index}/kernel'], weights[f'block_{index}/bias']
      x = layers.passed(weights, f'block_{index}', x, lambda x, k=kernel, b=bias: x + tf.matmul(x, k) + b)
      index += 1
    return tf.reduce_sum(x, axis=1) + weights['head/bias']

  head = model_lib.Variable('head/bias', (), model_lib.zeros)
  return _regression(model_lib.Model((*variables, head), apply, skips_blocks=True), 2)


def _regression(model: model_lib.Model, num_features: int) -> task_lib.Task:
  def measure(outputs, batch):
    return collections.OrderedDict(
      loss_sum=0.5 * tf.reduce_sum(tf.square(outputs - batch['y'])),
      correct_sum=tf.constant(0.0),
      weight_sum=tf.cast(tf.size(outputs), tf.float32),
    )

  spec = collections.OrderedDict(
    x=tf.TensorSpec([num_features]), y=tf.TensorSpec([]), client_key=tf.TensorSpec([], tf.int64)
  )
  return task_lib.Task(model, spec, inputs=lambda batch: batch['x'], measure=measure)


def client(x, y, client_key: int = 0) -> tf.data.Dataset:
  """A client's examples, unbatched."""
  x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
  keys = np.full([len(y)], client_key, np.int64)
  return tf.data.Dataset.from_tensor_slices(collections.OrderedDict(x=x, y=y, client_key=keys))
