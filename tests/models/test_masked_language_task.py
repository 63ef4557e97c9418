"""Hidden tokens are drawn as said, are those that are predicted, and are the same whenever the seed is."""

import numpy as np
import pytest
import tensorflow as tf

from models import bert
from models import gradients as gradients_lib
from models import masked_language_task

_MASK, _SPECIAL = 4, (1, 2, 3)
_SEED = tf.constant([5, 6], tf.int64)


def _hidden(tokens, seed=_SEED, vocabulary_size=1000):
  seen, targets = masked_language_task.hidden(tf.constant(tokens, tf.int32), seed, vocabulary_size, _MASK, _SPECIAL)
  return seen.numpy(), targets.numpy()


def test_shares_are_those_of_the_paper():
  tokens = np.random.default_rng(0).integers(5, 1000, [500, 200])
  seen, targets = _hidden(tokens)
  chosen = targets != 0
  # 100,000 draws: a standard error of .0011 for .15; 15,000: .0033 for .8, .0024 for .1.
  assert chosen.mean() == pytest.approx(0.15, abs=0.005)
  assert (seen[chosen] == _MASK).mean() == pytest.approx(0.8, abs=0.015)
  assert (seen[chosen] == tokens[chosen]).mean() == pytest.approx(0.1, abs=0.012)
  replaced = seen[chosen & (seen != _MASK) & (seen != tokens)]
  assert len(replaced) / chosen.sum() == pytest.approx(0.1, abs=0.012)
  assert 450.0 <= replaced.mean() <= 550.0  # Uniform over 1,000: 500, with a standard error of 7.5.
  np.testing.assert_array_equal(targets[chosen], tokens[chosen])
  np.testing.assert_array_equal(seen[~chosen], tokens[~chosen])


def test_special_tokens_stay_and_are_not_predicted():
  tokens = np.tile([0, 1, 2, 3, 4], [100, 10])
  seen, targets = _hidden(tokens)
  np.testing.assert_array_equal(seen, tokens)
  assert not targets.any()


def test_the_draw_depends_on_the_seed_alone():
  tokens = np.random.default_rng(0).integers(5, 1000, [20, 30])
  for one, two in zip(_hidden(tokens), _hidden(tokens), strict=True):
    np.testing.assert_array_equal(one, two)
  assert np.any(_hidden(tokens)[1] != _hidden(tokens, _SEED + 1)[1])
  for one, two in zip(_hidden(tokens, None), _hidden(tokens, None), strict=True):
    np.testing.assert_array_equal(one, two)


def test_what_is_measured_is_the_loss_of_chosen_tokens():
  encoder = bert.bert(width=8, mlp_width=12, num_heads=2, max_length=20)
  model = encoder.masked_language_model(30)
  task = masked_language_task.build(encoder, 30, 20, _MASK, _SPECIAL)
  weights = model.initial_weights(3)
  tokens = np.random.default_rng(1).integers(5, 30, [6, 20]).astype(np.int32)
  measures = task.evaluate(weights, dict(tokens=tf.constant(tokens)))
  seen, targets = _hidden(tokens, None, 30)
  logits = model.apply(model.by_name(weights), tf.constant(seen), None).numpy().astype(np.float64)
  chosen = targets != 0
  exponentials = np.exp(logits[chosen])
  probabilities = exponentials / exponentials.sum(-1, keepdims=True)
  expected = -np.log(probabilities[np.arange(chosen.sum()), targets[chosen]]).sum()
  assert float(measures['loss_sum']) == pytest.approx(expected, abs=5e-4)
  assert float(measures['weight_sum']) == chosen.sum()
  assert float(measures['correct_sum']) == (logits[chosen].argmax(-1) == targets[chosen]).sum()


def test_a_frozen_table_scores_tokens_all_the_same():
  task = masked_language_task.build(bert.bert(width=8, mlp_width=12, num_heads=2), 30, 6, _MASK, _SPECIAL)
  weights, names = task.model.initial_weights(0), [variable.name for variable in task.model.variables]
  batch = dict(tokens=tf.constant(np.random.default_rng(2).integers(5, 30, [40, 6]), tf.int32))
  _, full = gradients_lib.gradients(task, weights, [True] * len(weights), batch, _SEED)
  trained = [name.startswith(('block_1/', 'head/')) for name in names]
  _, last = gradients_lib.gradients(task, weights, trained, batch, _SEED)
  assert np.any(full[names.index('embedding/table')])
  for name, is_trained, expected, found in zip(names, trained, full, last, strict=True):
    if is_trained:
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6, err_msg=name)
    else:
      assert found is None, name


def test_a_batch_without_a_hidden_token_has_no_loss_and_no_gradient():
  task = masked_language_task.build(bert.bert(width=8, mlp_width=12, num_heads=2), 30, 6, _MASK, _SPECIAL)
  batch = dict(tokens=tf.constant([[1, 3, 2, 0, 0, 0]]))
  weights = task.model.initial_weights(0)
  measures, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), batch, _SEED)
  assert [float(value) for value in measures.values()] == [0.0, 0.0, 0.0]
  assert not any(np.any(gradient) for gradient in gradients)


def test_a_tiny_encoder_learns_a_rule_from_its_neighbours():
  # Every text counts upwards by one, from 5 to 19 and again from 5, so that a neighbour tells what was hidden.
  tokens = (np.arange(60)[:, np.newaxis] + np.arange(8)) % 15 + 5
  encoder = bert.bert(width=16, mlp_width=32, num_layers=1, num_heads=2, max_length=8, dropout=0.0)
  task = masked_language_task.build(encoder, 20, 8, _MASK, _SPECIAL)
  batch = dict(tokens=tf.constant(tokens, tf.int32))
  weights = [tf.Variable(weight) for weight in task.model.initial_weights(0)]
  optimizer = tf.keras.optimizers.Adam(0.01)

  @tf.function(autograph=False)
  def step(seed):
    _, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), batch, seed)
    optimizer.apply_gradients(zip(gradients, weights, strict=True))

  for index in range(200):
    step(tf.constant([0, index], tf.int64))
  measures = task.evaluate([tf.convert_to_tensor(weight) for weight in weights], batch)
  # Those who guess are right once in fifteen.
  assert float(measures['correct_sum'] / measures['weight_sum']) > 0.5
