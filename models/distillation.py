"""A BERT teaches a DistilBERT of half its layers to predict hidden tokens (Sanh et al. 2019, arXiv 1910.01108).

    student = the teacher's embeddings, layers 0, 2, 4, ... and head
    loss = (2 -log p[hidden] - 5 T^2 sum_v t_T[v] log p_T[v] + 1 (1 - cos(h, h'))) / 8

p is what the student says and t the teacher; those with index T are of logits divided by the temperature T = 2. h and h'
are their last hidden states. The weights 2 : 5 : 1 and the factor T^2 are those of the published code; dividing by the sum
of the weights leaves to clipping and learning rate their meaning. Of 12 layers the published students took 0, 2, 4, 7, 9
and 11.
"""

from collections.abc import Mapping
import dataclasses
import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models import encoder as encoder_lib
from models import language_task
from models import masked_language_task
from models import model as model_lib
from models import task as task_lib
from models import weight as weight_lib

_TOKEN, _IMITATION, _DIRECTION = 2.0, 5.0, 1.0
_TEMPERATURE = 2.0
_LAYERS_PER_LAYER = 2


class Said(NamedTuple):
  """What a model makes of a batch.

  Attributes:
    logits: float32 [chosen, 1, vocabulary]: at the hidden tokens.
    states: float32 [batch, length, width]: the last hidden states.
  """

  logits: tf.Tensor
  states: tf.Tensor


def check(student: encoder_lib.Encoder, teacher: encoder_lib.Encoder) -> None:
  """Raises `ValueError` unless one can learn from the other: a DistilBERT of half the layers of a BERT, else alike."""
  if teacher.family != encoder_lib.BERT:
    raise ValueError(f'a teacher is a bert, and this is a model {teacher.family.name}: name the folder of a bert')
  if student.family != encoder_lib.DISTILBERT:
    raise ValueError(f'a student is a distilbert, and this is a model {student.family.name}: choose a distilbert')
  expected = {name: getattr(teacher, name) for name in ('width', 'mlp_width', 'num_heads', 'max_length')}
  if teacher.num_layers % _LAYERS_PER_LAYER:
    raise ValueError(f'the teacher has num_layers={teacher.num_layers}: name one with an even number of layers')
  expected['num_layers'] = teacher.num_layers // _LAYERS_PER_LAYER
  for name, value in expected.items():
    if getattr(student, name) != value:
      given = f'the teacher has {name}={getattr(teacher, name)}, the student {getattr(student, name)}'
      raise ValueError(f'{given}: choose distilbert(..., {name}={value})')


def initial_weights(student: model_lib.Model, teacher: Mapping[str, np.ndarray]) -> list[np.ndarray]:
  """Takes a student's weights from its teacher.

  Args:
    student: A DistilBERT as masked-language model.
    teacher: The weights of a BERT that passes `check`, by name.

  Returns:
    The weights in the order of the student's variables. A student knows no types of tokens: the teacher's only one is
    added to its positions.
  """
  weights = []
  for variable in student.variables:
    block, _, rest = variable.name.partition('/')
    number = re.fullmatch(r'block_(\d+)', block)
    name = f'block_{_LAYERS_PER_LAYER * int(number[1])}/{rest}' if number else variable.name
    weights.append(teacher[name])
    if variable.name == 'embedding/positions':
      weights[-1] = teacher[name] + teacher['embedding/token_types'][0]
  return weights


def build(
  student: encoder_lib.Encoder,
  teacher: encoder_lib.Encoder,
  teacher_weights: Mapping[str, weight_lib.Value],
  sequence_length: int,
  mask_id: int,
  special_ids: tuple[int, ...],
) -> task_lib.Task:
  """Returns the task of predicting hidden tokens as a teacher does.

  Without a seed, as in evaluation, the teacher is not asked: the loss is that of `masked_language_task`.

  Args:
    student: Passes `check` with `teacher`.
    teacher: The teacher.
    teacher_weights: Weights of its masked-language model, by name; they stay as they are.
    sequence_length: Tokens of an example, padding included.
    mask_id: The token that stands for a hidden one.
    special_ids: Tokens that are never chosen, besides the mask and padding.

  Returns:
    A task over the examples of `masked_language_task`, whose model begins with `initial_weights`.

  Raises:
    ValueError: See `check`.
  """
  check(student, teacher)
  vocabulary_size = teacher_weights['embedding/table'].shape[0]
  masked = masked_language_task.build(student, vocabulary_size, sequence_length, mask_id, special_ids)
  # Tensors that exist before the graph does are not copied into it.
  constants = {name: tf.convert_to_tensor(value) for name, value in teacher_weights.items()}

  def apply(
    weights: Mapping[str, weight_lib.Value], tokens: tf.Tensor, seed: tf.Tensor | None
  ) -> tuple[tf.Tensor, ...]:
    if seed is None:
      return masked.model.apply(weights, tokens, seed)
    inputs, targets = masked_language_task.hidden(tokens, seed, vocabulary_size, mask_id, special_ids)
    said = _said(student, weights, inputs, targets, seed)
    taught = tf.nest.map_structure(tf.stop_gradient, _said(teacher, constants, inputs, targets, None))
    visible = tf.not_equal(tokens, language_task.PADDING)
    return said.logits, masked_language_task.at_targets(targets, targets), loss_of_imitation(said, taught, visible)

  initial = initial_weights(masked.model, teacher_weights)
  variables = tuple(
    dataclasses.replace(variable, initializer=lambda shape, seed, value=value: tf.convert_to_tensor(value))
    for variable, value in zip(masked.model.variables, initial, strict=True)
  )
  model = dataclasses.replace(masked.model, variables=variables, apply=apply)
  return dataclasses.replace(masked, model=model, measure=lambda outputs, batch: _measures(*outputs))


def loss_of_imitation(student: Said, teacher: Said, visible: tf.Tensor) -> tf.Tensor:
  """Measures how far a student is from its teacher.

  Args:
    student: What it says.
    teacher: What it should say.
    visible: bool [batch, length], whether there is a token.

  Returns:
    The weighted sum of both parts of the loss, float32, a sum over the hidden tokens: cross-entropy to the teacher's
    softened distribution, and as often as there are hidden tokens, 1 - cosine as a mean over all tokens.
  """
  softened = tf.nn.softmax(teacher.logits / _TEMPERATURE)
  losses = tf.nn.softmax_cross_entropy_with_logits(softened, student.logits / _TEMPERATURE)
  directions = (tf.math.l2_normalize(said.states, axis=-1) for said in (student, teacher))
  distances = 1.0 - tf.reduce_sum(tf.multiply(*directions), axis=-1)
  distance = tf.math.divide_no_nan(
    tf.reduce_sum(tf.where(visible, distances, 0.0)), tf.reduce_sum(tf.cast(visible, tf.float32))
  )
  num_hidden = tf.cast(tf.size(losses), tf.float32)
  return _IMITATION * _TEMPERATURE**2 * tf.reduce_sum(losses) + _DIRECTION * distance * num_hidden


def _said(
  encoder: encoder_lib.Encoder,
  weights: Mapping[str, weight_lib.Value],
  inputs: tf.Tensor,
  targets: tf.Tensor,
  seed: tf.Tensor | None,
) -> Said:
  states = encoder.hidden_states(weights, inputs, seed)
  return Said(encoder.token_logits(weights, masked_language_task.at_targets(states, targets)), states)


def _measures(logits: tf.Tensor, targets: tf.Tensor, imitation: tf.Tensor | None = None) -> task_lib.Measures:
  measures = language_task.token_measures(logits, targets)
  if imitation is not None:
    weighted = _TOKEN * measures['loss_sum'] + imitation
    measures['loss_sum'] = weighted / (_TOKEN + _IMITATION + _DIRECTION)
  return measures
