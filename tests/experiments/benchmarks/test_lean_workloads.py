"""The benchmark's models in the suite's layers are Keras' models, in value and gradient."""

import numpy as np
import pytest
import tensorflow as tf

from experiments.benchmarks import keras_workloads
from experiments.benchmarks import lean_workloads
from models import gradients as gradients_lib
from models import keras_bridge
from models import language_task

_LENGTH = keras_workloads.SEQUENCE_LENGTH


@pytest.mark.parametrize('name', keras_workloads.WORKLOADS)
def test_value_and_gradients_equal_those_of_keras(name):
  tokens = np.random.default_rng(0).integers(1, keras_workloads.VOCABULARY_SIZE, [3, _LENGTH + 1], np.int32)
  tokens[1, 7:] = language_task.PADDING
  keras_model = keras_bridge.from_keras(keras_workloads.WORKLOADS[name], tf.TensorSpec([None, _LENGTH], tf.int32))
  found = []
  with tf.Graph().as_default() as graph:  # The Keras model is for graphs alone.
    batch = dict(tokens=tf.constant(tokens), client_key=tf.zeros([3], tf.int64))
    lean_model = lean_workloads.of_keras(name, keras_model)
    for model in (keras_model, lean_model):
      task = language_task.build(model, _LENGTH)
      weights = model.initial_weights(0)
      measures, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), batch, None)
      found.append([measures['loss_sum'], *(tf.reshape(gradient, [-1]) for gradient in gradients)])
  assert lean_model.num_parameters == keras_model.num_parameters
  with tf.compat.v1.Session(graph=graph) as session:
    keras_values, lean_values = session.run(found)
  for value, expected in zip(lean_values, keras_values, strict=True):
    np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-6)
