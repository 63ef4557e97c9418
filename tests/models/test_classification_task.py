"""Texts are measured one by one, and a tiny encoder learns to tell them apart."""

import numpy as np
import pytest
import tensorflow as tf

from models import catalog
from models import classification_task
from models import gradients as gradients_lib


def test_measures_sums_over_texts():
  # Uniform logits over 4 classes: ln 4 = 1.386294 nats. Logits 0 and ln 3 for the second: ln(4/3) = 0.287682.
  logits = tf.constant([[1.0, 1.0, 1.0, 1.0], [0.0, np.log(3.0), -50.0, -50.0]])
  measures = classification_task.class_measures(logits, tf.constant([3, 1]))
  assert float(measures['loss_sum']) == pytest.approx(1.386294 + 0.287682, abs=5e-6)
  assert float(measures['correct_sum']) == 1.0
  assert float(measures['weight_sum']) == 2.0


def test_measures_counts_the_same_inside_a_graph_of_tff():
  with tf.Graph().as_default() as graph:
    measures = classification_task.class_measures(tf.eye(3), tf.constant([0, 1, 0]))
  with tf.compat.v1.Session(graph=graph) as session:
    assert session.run(measures['correct_sum']) == 2.0


@pytest.mark.parametrize('configure', catalog.ENCODERS.values(), ids=catalog.ENCODERS)
def test_a_tiny_encoder_learns_which_of_two_words_a_text_holds(configure):
  model = configure(width=16, mlp_width=32, num_heads=2, max_length=6, dropout=0.0).classifier(12, 2)
  task = classification_task.build(model, 6)
  assert {name: spec.shape.as_list() for name, spec in task.example_spec.items()} == dict(
    tokens=[6], label=[], client_key=[]
  )
  rng = np.random.default_rng(0)
  tokens, labels = rng.integers(5, 12, [64, 6]), rng.integers(0, 2, [64])
  tokens[:, 0] = 2
  tokens[np.arange(64), rng.integers(1, 6, [64])] = 3 + labels
  batch = dict(tokens=tf.constant(tokens, tf.int32), label=tf.constant(labels, tf.int32))
  weights = [tf.Variable(weight) for weight in model.initial_weights(0)]
  optimizer = tf.keras.optimizers.Adam(0.01)

  @tf.function(autograph=False)
  def step(seed):
    measures, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), batch, seed)
    optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return measures['loss_sum'] / 64

  first = float(step(tf.constant([0, 0], tf.int64)))
  for index in range(1, 80):
    step(tf.constant([0, index], tf.int64))
  measures = task.evaluate([tf.convert_to_tensor(weight) for weight in weights], batch)
  assert first == pytest.approx(0.693, abs=5e-2)  # ln 2
  assert float(measures['correct_sum']) > 60.0


def test_a_token_that_is_gone_becomes_padding():
  task = classification_task.build(catalog.ENCODERS['bert'](width=8, mlp_width=8, num_heads=2).classifier(5, 2), 3)
  batch = dict(tokens=tf.constant([[2, 4, 3]]), label=tf.constant([1]))
  reindexed = task.reindex(batch, tf.constant([0, 0, 1, 2, 0]))
  np.testing.assert_array_equal(reindexed['tokens'], [[1, 0, 2]])
  np.testing.assert_array_equal(reindexed['label'], [1])
