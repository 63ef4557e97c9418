"""Next-token prediction: cross-entropy and accuracy per target token, padding left out."""

import collections

import tensorflow as tf

from models import cross_entropy
from models import model as model_lib
from models import task as task_lib

PADDING = 0


def build(model: model_lib.Model, sequence_length: int) -> task_lib.Task:
  """Returns the task of predicting each token from those before it.

  Args:
    model: int32 tokens [batch, sequence_length] to logits [batch, sequence_length, vocabulary].
    sequence_length: Number of target positions; an example holds one token more.

  Returns:
    A task over examples of int32 `tokens` [sequence_length + 1] and int64 `client_key` [].
  """
  return task_lib.Task(
    model=model,
    example_spec=collections.OrderedDict(
      tokens=tf.TensorSpec([sequence_length + 1], tf.int32), client_key=tf.TensorSpec([], tf.int64)
    ),
    inputs=lambda batch: batch['tokens'][:, :-1],
    measure=lambda logits, batch: token_measures(logits, batch['tokens'][:, 1:]),
    reindex=reindexed,
  )


def reindexed(batch: task_lib.Batch, positions: tf.Tensor) -> task_lib.Batch:
  """Renumbers tokens; one that is gone becomes padding: it is not predicted, and a gap where it is an input."""
  return collections.OrderedDict(batch, tokens=tf.gather(positions, batch['tokens']))


def token_measures(logits: tf.Tensor, targets: tf.Tensor) -> task_lib.Measures:
  """Sums cross-entropy (nats), right predictions and count over the targets that are not padding.

  Args:
    logits: float32 [batch, length, vocabulary].
    targets: int32 [batch, length].

  Returns:
    `Measures`.
  """
  mask = tf.cast(tf.not_equal(targets, PADDING), tf.float32)  # In a TFF graph `!=` compares identity.
  losses, correct = cross_entropy.of_targets(logits, targets)
  return collections.OrderedDict(
    loss_sum=tf.reduce_sum(losses * mask),
    correct_sum=tf.reduce_sum(correct * mask),
    weight_sum=tf.reduce_sum(mask),
  )
