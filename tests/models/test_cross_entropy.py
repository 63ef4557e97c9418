"""The hand-written cross-entropy is TensorFlow's, in value and gradient, also where probabilities underflow."""

import numpy as np
import pytest
import tensorflow as tf

from models import cross_entropy


def _with_gradient(losses, logits, weights):
  with tf.GradientTape() as tape:
    tape.watch(logits)
    values = losses(logits)
    total = tf.reduce_sum(values * weights)
  return values.numpy(), tf.convert_to_tensor(tape.gradient(total, logits)).numpy()


@pytest.mark.parametrize('scale', [1.0, 100.0])
@pytest.mark.parametrize('shape', [(7, 5), (2, 3, 11), (0, 4), (3, 1)])
def test_equals_the_operation_of_tensorflow(scale, shape):
  rng = np.random.default_rng(0)
  logits = tf.constant(scale * rng.normal(size=shape), tf.float32)
  targets = tf.constant(rng.integers(0, shape[-1], shape[:-1]), tf.int32)
  weights = tf.constant(rng.integers(0, 2, shape[:-1]), tf.float32)
  value, gradient = _with_gradient(lambda x: cross_entropy.of_targets(x, targets)[0], logits, weights)
  expected, expected_gradient = _with_gradient(
    lambda x: tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=x), logits, weights
  )
  np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-6)


def test_golden():
  # Logits 0 and ln 3: probabilities 1/4 and 3/4. Target 0: ln 4 = 1.386294; gradient (1/4 - 1, 3/4).
  logits = tf.constant([[0.0, np.log(3.0)]], tf.float32)
  value, gradient = _with_gradient(lambda x: cross_entropy.of_targets(x, tf.constant([0]))[0], logits, tf.ones([1]))
  np.testing.assert_allclose(value, [1.386294], rtol=1e-6)
  np.testing.assert_allclose(gradient, [[-0.75, 0.75]], rtol=1e-6)


def test_a_probability_that_underflows_has_a_finite_loss():
  # exp(-1000) is 0 in float32; the loss is ln(1 + e^-1000) + 1000 = 1000.
  losses, _ = cross_entropy.of_targets(tf.constant([[1000.0, 0.0]]), tf.constant([1]))
  assert losses.numpy().tolist() == [1000.0]


def test_the_first_of_several_that_score_highest_is_the_guess():
  _, correct = cross_entropy.of_targets(tf.constant([[2.0, 2.0], [2.0, 2.0], [1.0, 3.0]]), tf.constant([0, 1, 1]))
  assert correct.numpy().tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_not_finite_gives_a_loss_that_is_not_finite(value):
  losses, _ = cross_entropy.of_targets(tf.constant([[0.0, value, 1.0], [0.0, 1.0, 2.0]]), tf.constant([0, 0]))
  assert np.isfinite(losses.numpy()).tolist() == [False, True]


def test_runs_inside_a_loop_of_a_graph_of_tff():
  with tf.Graph().as_default() as graph:
    logits = tf.constant([[1.0, 2.0]])

    def descended(index, x):
      with tf.GradientTape() as tape:
        tape.watch(x)
        loss, _ = cross_entropy.of_targets(x, tf.constant([0]))
      return index + 1, x - tape.gradient(loss, x)

    _, found = tf.while_loop(lambda index, _: index < 2, descended, (0, logits))
  with tf.compat.v1.Session(graph=graph) as session:
    # p(1) = 1 / (1 + e^-1) = 0.731059: logits 1.731059, 1.268941; then p(1) = 1 / (1 + e^0.462118) = 0.386483.
    np.testing.assert_allclose(session.run(found), [[2.117542, 0.882458]], rtol=1e-5)
