"""A task small enough to compute by hand: linear regression as a `models.task.Task`."""

import collections

import numpy as np
import tensorflow as tf

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
