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
    is_language_model=False,
    reindex=language_task.reindexed,
  )


def class_measures(logits: tf.Tensor, labels: tf.Tensor) -> task_lib.Measures:
  """Sums cross-entropy (nats), right predictions and count over texts.

  Args:
    logits: float32 [batch, classes].
    labels: int32 [batch].

  Returns:
    `Measures`.
  """
  losses, correct = cross_entropy.of_targets(logits, labels)
  return collections.OrderedDict(
    loss_sum=tf.reduce_sum(losses),
    correct_sum=tf.reduce_sum(correct),
    weight_sum=tf.cast(tf.size(labels), tf.float32),
  )
