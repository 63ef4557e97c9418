"""The server's step: per variable what TFF's optimizer does on all, and nothing at all for what nobody trained."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from optimizers import finalizer

_WEIGHTS = (np.array([1.0, 2.0], np.float32), np.array([[3.0]], np.float32))
_DELTAS = (np.array([0.5, -0.5], np.float32), np.array([[0.25]], np.float32))
_ADAM = tff.learning.optimizers.build_adam(0.1, epsilon=1e-3)


def _process(trainable=(True, True)):
  @tff.tensorflow.computation
  def weights():
    return tff.learning.models.ModelWeights(tuple(tf.constant(weight) for weight in _WEIGHTS), ())

  return finalizer.build_finalizer(_ADAM, weights.type_signature.result, trainable)


def _step(process, state, weights, deltas, trained):
  update = collections.OrderedDict(delta=deltas, trained=np.array(trained))
  return process.next(state, tff.learning.models.ModelWeights(weights, ()), update)


@pytest.mark.usefixtures('worker')
class TestFinalizer:
  def test_three_steps_equal_adam_in_numpy(self):
    process = _process()
    state, weights = process.initialize(), _WEIGHTS
    expected = [weight.astype(np.float64) for weight in _WEIGHTS]
    mean, variance = [0.0, 0.0], [0.0, 0.0]
    for step in range(1, 4):
      output = _step(process, state, weights, _DELTAS, [True, True])
      state, weights = output.state, output.result.trainable
      for index, delta in enumerate(_DELTAS):
        mean[index] = 0.9 * mean[index] + 0.1 * delta
        variance[index] = 0.999 * variance[index] + 0.001 * delta**2
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        expected[index] -= rate * mean[index] / (np.sqrt(variance[index]) + 1e-3)
    for found, wanted in zip(weights, expected, strict=True):
      np.testing.assert_allclose(found, wanted, rtol=1e-5)

  def test_a_variable_that_nobody_trained_skips_the_round(self):
    process = _process()
    first = _step(process, process.initialize(), _WEIGHTS, _DELTAS, [True, True])
    weights = first.result.trainable
    second = _step(process, first.state, weights, (_DELTAS[0], np.zeros([1, 1], np.float32)), [True, False])
    # Adam's momentum would move it.
    np.testing.assert_array_equal(second.result.trainable[1], weights[1])
    tf.nest.map_structure(np.testing.assert_array_equal, second.state[1], first.state[1])
    assert not np.array_equal(second.result.trainable[0], weights[0])

  def test_a_variable_that_is_never_trained_has_no_state(self):
    process = _process(trainable=(True, False))
    state = process.initialize()
    assert tf.nest.flatten(state[1]) == []
    output = _step(process, state, _WEIGHTS, _DELTAS, [True, True])
    np.testing.assert_array_equal(output.result.trainable[1], _WEIGHTS[1])
