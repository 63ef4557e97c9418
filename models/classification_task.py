"""Classification of texts: cross-entropy and accuracy per text."""

import collections

import tensorflow as tf

from models import cross_entropy
from models import language_task
from models import model as model_lib
from models import task as task_lib


def build(model: model_lib.Model, sequence_length: int) -> task_lib.Task:
  """Returns the task of naming the class of each text.

  Args:
    model: int32 tokens [batch, sequence_length] to logits [batch, classes].
    sequence_length: Tokens of an example, padding included.

  Returns:
    A task over examples of int32 `tokens` [sequence_length], int32 `label` [] and int64 `client_key` [].
  """
  return task_lib.Task(
    model=model,
    example_spec=collections.OrderedDict(
      tokens=tf.TensorSpec([sequence_length], tf.int32),
      label=tf.TensorSpec([], tf.int32),
      client_key=tf.TensorSpec([], tf.int64),
    ),
    inputs=lambda batch: batch['tokens'],
    measure=lambda logits, batch: class_measures(logits, batch['label']),
    measure_each=lambda logits, batch: measures_of_each(logits, batch['label']),
    is_language_model=False,
    reindex=language_task.reindexed,
  )


def class_measures(logits: tf.Tensor, labels: tf.Tensor) -> task_lib.Measures:
  """Sums `measures_of_each` over texts."""
  return tf.nest.map_structure(tf.reduce_sum, measures_of_each(logits, labels))


def measures_of_each(logits: tf.Tensor, labels: tf.Tensor) -> task_lib.Measures:
  """Returns cross-entropy (nats), whether the prediction is right, and 1, of each text.

  Args:
    logits: float32 [batch, classes].
    labels: int32 [batch].

  Returns:
    `Measures`, but for float32 [batch] in place of scalars.
  """
  losses, correct = cross_entropy.of_targets(logits, labels)
  return collections.OrderedDict(loss_sum=losses, correct_sum=correct, weight_sum=tf.ones_like(losses))
