"""Prediction of hidden tokens from those around them (Devlin et al. 2018, arXiv 1810.04805).

Of the tokens that are not special, 15 % are chosen at random. The model sees a mask in place of 80 % of them, a random
token in place of 10 %, and 10 % as they are; the loss is that of the chosen ones.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from models import encoder as encoder_lib
from models import language_task
from models import task as task_lib
from models import weight as weight_lib

_CHOSEN, _MASKED, _REPLACED = 0.15, 0.8, 0.9
_PURPOSE = 1 << 32  # Tells the draws of tokens from those of the model's dropouts, which count from 0.


def build(
  encoder: encoder_lib.Encoder, vocabulary_size: int, sequence_length: int, mask_id: int, special_ids: Sequence[int]
) -> task_lib.Task:
  """Returns the task of predicting tokens that are hidden at random.

  Without a seed, as in evaluation, the draw depends on the shape of the batch alone.

  Args:
    encoder: What sees the others.
    vocabulary_size: Rows of the model: all tokens are below it, `mask_id` included.
    sequence_length: Tokens of an example, padding included.
    mask_id: The token that stands for a hidden one.
    special_ids: Tokens that are never chosen, besides the mask and padding.

  Returns:
    A task over examples of int32 `tokens` [sequence_length] and int64 `client_key` []. Its model hides tokens itself, and
    its outputs are of the chosen ones alone: logits [chosen, 1, vocabulary_size] and int32 targets [chosen, 1].
  """

  def apply(
    weights: Mapping[str, weight_lib.Value], tokens: tf.Tensor, seed: tf.Tensor | None
  ) -> tuple[tf.Tensor, tf.Tensor]:
    inputs, targets = hidden(tokens, seed, vocabulary_size, mask_id, special_ids)
    states = encoder.hidden_states(weights, inputs, seed)
    return encoder.token_logits(weights, at_targets(states, targets)), at_targets(targets, targets)

  return task_lib.Task(
    model=dataclasses.replace(encoder.masked_language_model(vocabulary_size), apply=apply),
    example_spec=collections.OrderedDict(
      tokens=tf.TensorSpec([sequence_length], tf.int32), client_key=tf.TensorSpec([], tf.int64)
    ),
    inputs=lambda batch: batch['tokens'],
    measure=lambda outputs, batch: language_task.token_measures(*outputs),
  )


def at_targets(values: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
  """Keeps what stands where there is something to predict, each as a sequence of one position.

  Scores of the whole vocabulary at all positions would cost more than the layers of a small encoder.

  Args:
    values: [batch, length, ...].
    targets: int32 [batch, length], padding where there is nothing to predict.

  Returns:
    [chosen, 1, ...].
  """
  return tf.boolean_mask(values, tf.not_equal(targets, language_task.PADDING))[:, tf.newaxis]


def hidden(
  tokens: tf.Tensor, seed: tf.Tensor | None, vocabulary_size: int, mask_id: int, special_ids: Sequence[int]
) -> tuple[tf.Tensor, tf.Tensor]:
  """Hides tokens.

  Args:
    tokens: int32 [batch, length].
    seed: int64[2], or None for a draw that depends on the shape alone.
    vocabulary_size: Random tokens are below it.
    mask_id: See `build`.
    special_ids: See `build`.

  Returns:
    What the model sees and what it should say, both int32 [batch, length]; padding where it need not say anything.
  """
  seed = tf.constant([0, 0], tf.int64) if seed is None else seed
  seeds = [tf.random.experimental.stateless_fold_in(seed, tf.constant(_PURPOSE + draw, tf.int64)) for draw in range(3)]
  special = [tf.equal(tokens, token) for token in {language_task.PADDING, mask_id, *special_ids}]
  shape = tf.shape(tokens)
  chosen = (tf.random.stateless_uniform(shape, seeds[0]) < _CHOSEN) & ~tf.reduce_any(tf.stack(special), axis=0)
  fate = tf.random.stateless_uniform(shape, seeds[1])
  others = tf.random.stateless_uniform(shape, seeds[2], 0, vocabulary_size, tf.int32)
  seen = tf.where(fate < _MASKED, mask_id, tf.where(fate < _REPLACED, others, tokens))
  return tf.where(chosen, seen, tokens), tf.where(chosen, tokens, language_task.PADDING)
