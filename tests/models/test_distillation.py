"""A student begins as half of its teacher, learns from the stated loss, and leaves the teacher as it is."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import bert
from models import distillation
from models import gradients as gradients_lib
from models import masked_language_task

_SIZE = dict(width=8, mlp_width=12, num_heads=2, max_length=10, dropout=0.0)
_TEACHER = bert.bert(num_layers=4, **_SIZE)
_STUDENT = bert.distilbert(num_layers=2, **_SIZE)
_VOCABULARY, _MASK, _SPECIAL = 21, 20, (1, 2, 3)
_SEED = tf.constant([5, 6], tf.int64)
_TOKENS = tf.constant([[1, *range(4, 12), 2], [1, 12, 13, 14, 15, 16, 17, 2, 0, 0], [1, 18, 19, 2, 0, 0, 0, 0, 0, 0]])


def _teacher_weights() -> dict[str, tf.Tensor]:
  model = _TEACHER.masked_language_model(_VOCABULARY)
  random = np.random.default_rng(0)
  return {
    variable.name: tf.constant(weight + 0.2 * random.normal(size=weight.shape), tf.float32)
    for variable, weight in zip(model.variables, model.initial_weights(0), strict=True)
  }


def _task(teacher_weights):
  return distillation.build(_STUDENT, _TEACHER, teacher_weights, 10, _MASK, _SPECIAL)


def test_every_second_layer_is_taken():
  names = [variable.name for variable in _TEACHER.masked_language_model(_VOCABULARY).variables]
  blocks = [0.0 if name.startswith(('embedding/', 'head/')) else float(name[6]) for name in names]
  shapes = {variable.name: variable.shape for variable in _TEACHER.masked_language_model(_VOCABULARY).variables}
  teacher = {name: np.full(shapes[name], 100.0 + block) for name, block in zip(names, blocks, strict=True)}
  teacher['embedding/token_types'] = np.array([[7.0] * 8, [1000.0] * 8])
  student = _STUDENT.masked_language_model(_VOCABULARY)
  weights = distillation.initial_weights(student, teacher)
  for variable, weight in zip(student.variables, weights, strict=True):
    assert weight.shape == variable.shape
    # Layer 1 was layer 2; a token type is in the positions; all else, layer 0 included, is 100.
    expected = {'block_1': 102.0}.get(variable.block, 107.0 if variable.name == 'embedding/positions' else 100.0)
    assert (weight == expected).all(), variable.name


def test_a_student_of_a_teacher_whose_other_layers_do_nothing_says_the_same():
  weights = _teacher_weights()
  for name, value in weights.items():
    if name.startswith(('block_1/', 'block_3/')):
      idle = tf.ones_like if name.endswith('norm_scale') else tf.zeros_like
      weights[name] = idle(value)
    elif name.endswith(('mlp/norm_scale', 'mlp/norm_bias')):  # Normalizing what is normalized changes nothing.
      weights[name] = tf.ones_like(value) if name.endswith('scale') else tf.zeros_like(value)
  task = _task(weights)
  student = task.model.by_name(task.model.initial_weights(0))
  states = _STUDENT.hidden_states(student, _TOKENS, None)
  np.testing.assert_allclose(states, _TEACHER.hidden_states(weights, _TOKENS, None), atol=1e-5)
  logits = _TEACHER.token_logits(weights, states)
  np.testing.assert_allclose(_STUDENT.token_logits(student, states), logits, atol=1e-5)


def test_the_loss_of_imitation_by_hand():
  # Divided by the temperature, 2, the logits give (1/4, 3/4) against (1/2, 1/2): ln(16/3) / 2 = .83699 for each of two
  # tokens. Cosines 0 and 1, and one of padding that does not count: 1 - 1/2 for each of two tokens.
  student = distillation.Said(
    tf.constant([[[0.0, 2 * np.log(3.0)]]] * 2, tf.float32), tf.constant([[[1.0, 0.0], [3.0, 4.0], [1.0, 0.0]]])
  )
  teacher = distillation.Said(tf.constant([[[6.0, 6.0]]] * 2), tf.constant([[[0.0, 2.0], [6.0, 8.0], [-1.0, 0.0]]]))
  found = distillation.loss_of_imitation(student, teacher, tf.constant([[True, True, False]]))
  # 5 * 2 ** 2 * 2 * .836988 + 1 * 2 * .5
  assert float(found) == pytest.approx(34.47953, rel=1e-5)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
  return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def test_the_loss_in_training_equals_a_plain_reference():
  weights = _teacher_weights()
  task = _task(weights)
  student = [weight + 0.1 for weight in task.model.initial_weights(0)]
  measures = task.evaluate(student, dict(tokens=_TOKENS), _SEED)

  seen, targets = masked_language_task.hidden(_TOKENS, _SEED, _VOCABULARY, _MASK, _SPECIAL)
  named = task.model.by_name(student)
  s, t = (encoder.hidden_states(w, seen, None).numpy() for encoder, w in ((_STUDENT, named), (_TEACHER, weights)))
  targets = targets.numpy()
  chosen, visible = targets != 0, _TOKENS.numpy() != 0
  assert 1 < chosen.sum() < 12  # Of sixteen.
  p = _STUDENT.token_logits(named, s).numpy().astype(np.float64)[chosen]
  q = _TEACHER.token_logits(weights, t).numpy().astype(np.float64)[chosen]
  token = -_log_softmax(p)[np.arange(chosen.sum()), targets[chosen]].sum()
  imitation = -(np.exp(_log_softmax(q / 2)) * _log_softmax(p / 2)).sum()
  cosine = (s * t).sum(-1) / np.sqrt((s**2).sum(-1) * (t**2).sum(-1))
  expected = (2 * token + 5 * 4 * imitation + chosen.sum() * (1 - cosine[visible]).mean()) / 8
  assert float(measures['loss_sum']) == pytest.approx(expected, rel=1e-4)
  assert float(measures['weight_sum']) == chosen.sum()
  assert float(measures['correct_sum']) == (p.argmax(-1) == targets[chosen]).sum()


def test_the_loss_in_evaluation_is_that_of_hidden_tokens():
  task = _task(_teacher_weights())
  weights = task.model.initial_weights(0)
  masked = masked_language_task.build(_STUDENT, _VOCABULARY, 10, _MASK, _SPECIAL)
  found, expected = (each.evaluate(weights, dict(tokens=_TOKENS)) for each in (task, masked))
  assert {name: float(value) for name, value in found.items()} == {k: float(v) for k, v in expected.items()}
  assert float(found['weight_sum']) > 0


def test_the_teacher_receives_no_gradient_and_the_whole_student_does():
  weights = _teacher_weights()
  with tf.GradientTape() as tape:
    tape.watch(list(weights.values()))
    task = _task(weights)
    student = [tf.identity(weight) + 0.1 for weight in map(tf.stop_gradient, task.model.initial_weights(0))]
    loss = task.evaluate(student, dict(tokens=_TOKENS), _SEED)['loss_sum']
  assert tape.gradient(loss, list(weights.values())) == [None] * len(weights)
  _, gradients = gradients_lib.gradients(task, student, [True] * len(student), dict(tokens=_TOKENS), _SEED)
  assert all(np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize(
  ('student', 'teacher', 'expected'),
  [
    (_TEACHER, _TEACHER, 'a student is a distilbert, .* bert'),
    (_STUDENT, bert.albert(), 'a teacher is a bert, .* albert'),
    (dataclasses.replace(_STUDENT, width=16), _TEACHER, r'width=8, the student 16: choose distilbert\(..., width=8\)'),
    (_STUDENT, dataclasses.replace(_TEACHER, num_heads=4), 'num_heads=4'),
    (dataclasses.replace(_STUDENT, num_layers=4), _TEACHER, r'num_layers=4, the student 4: .* num_layers=2\)'),
    (_STUDENT, dataclasses.replace(_TEACHER, num_layers=3), 'num_layers=3: name one with an even number'),
  ],
)
def test_refuses_who_cannot_learn_from_whom(student, teacher, expected):
  with pytest.raises(ValueError, match=expected):
    distillation.check(student, teacher)
