"""A Keras model comes over as the function of its weights that it is, from the seed alone, or is refused by what it does more."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from models import keras_bridge
from tests import keras_language

_ROOT = pathlib.Path(__file__).parents[2]
_NAMES = [
  'embedding/tokens/embeddings',
  'block_0/gru/gru_cell/kernel',
  'block_0/gru/gru_cell/recurrent_kernel',
  'block_0/gru/gru_cell/bias',
  'block_1/layer_normalization/scale',
  'block_1/layer_normalization/bias',
  'head/logits/kernel',
  'head/logits/bias',
]
_PRINT_WEIGHTS = """
import tensorflow as tf
from tests import keras_language
tf.keras.layers.Dense(3)
for weight in keras_language.model().initial_weights(7):
  print(repr(float(tf.reduce_sum(tf.abs(weight)))))
"""
_VECTOR = tf.TensorSpec([None, 4])


@pytest.fixture(scope='module', name='model')
def _model():
  return keras_language.model()


def _sequential(*layers):
  return lambda: tf.keras.Sequential([tf.keras.Input([4]), *(layer() for layer in layers)])


def _dense(**options):
  return lambda: tf.keras.layers.Dense(3, name='dense', **options)


def _outputs(model, weights, inputs):
  return model.apply({name: tf.constant(value) for name, value in weights.items()}, tf.constant(inputs), None).numpy()


def _outputs_and_gradients(call, weights, inputs):
  with tf.GradientTape() as tape:
    tape.watch(weights)
    outputs = call(tf.constant(inputs))
    loss = tf.reduce_sum(tf.square(outputs))
  return [outputs, *map(tf.convert_to_tensor, tape.gradient(loss, weights))]


def _some_weights(model):
  generator = np.random.default_rng(3)
  return {v.name: generator.normal(0.0, 0.5, v.shape).astype(np.float32) for v in model.variables}


def test_layers_become_blocks_in_their_order(model):
  assert [variable.name for variable in model.variables] == _NAMES
  assert [v.name for v in model.variables if v.is_additive] == [_NAMES[3], _NAMES[5], _NAMES[7]]


def test_names_do_not_depend_on_models_built_before(model):
  tf.keras.layers.GRU(2)(tf.zeros([1, 2, 3]))
  assert [variable.name for variable in keras_language.model().variables] == _NAMES


def test_blocks_may_be_named(model):
  blocks = {'tokens': 'embedding', 'gru': 'block_0', 'layer_normalization': 'head', 'logits': 'head'}
  named = keras_language.model(blocks=blocks)
  assert [v.block for v in named.variables] == ['embedding', *['block_0'] * 3, *['head'] * 4]


@pytest.mark.parametrize(
  ('blocks', 'said'),
  [
    ({'tokens': 'embedding'}, 'blocks does not name the layer gru: name tokens, gru, layer_normalization, logits'),
    (
      dict.fromkeys(['tokens', 'gru', 'layer_normalization', 'logits', 'gruu'], 'head'),
      'blocks names gruu, which is no',
    ),
    (dict.fromkeys(['tokens', 'gru', 'layer_normalization', 'logits'], 'block_0'), 'there must be head'),
    (
      {'tokens': 'embedding', 'gru': 'block_1', 'layer_normalization': 'head', 'logits': 'head'},
      'blocks has block_1, embedding, head: there must be head, and may be embedding, block_0, block_1',
    ),
    (
      {'tokens': 'embedding', 'gru': 'rnn', 'layer_normalization': 'head', 'logits': 'head'},
      'blocks has embedding, head, rnn',
    ),
  ],
)
def test_other_blocks_are_refused(blocks, said):
  with pytest.raises(ValueError, match=said):
    keras_language.model(blocks=blocks)


def test_the_function_is_that_of_keras_within_a_function_and_without(model):
  weights, keras_model = _some_weights(model), keras_language.build()
  keras_model.set_weights(list(weights.values()))
  tokens = np.array([[1, 5, 2, 7, 3, 3]], np.int32)
  expected = _outputs_and_gradients(keras_model, keras_model.trainable_weights, tokens)
  del keras_model  # Once one is built in a graph, Keras does not run it any more.

  def here(tensors):
    return _outputs_and_gradients(lambda x: model.apply(model.by_name(tensors), x, None), tensors, tokens)

  tensors = tuple(tf.constant(value) for value in weights.values())
  for found in (here(tensors), tf.function(here, autograph=False)(tensors)):
    for value, wanted in zip(found, expected, strict=True):
      np.testing.assert_allclose(value, wanted, rtol=1e-4, atol=1e-4)


def test_weights_keep_their_names_whatever_the_order_in_which_layers_are_called():
  def build():
    inputs = tf.keras.Input([4])
    first, second = tf.keras.layers.Dense(2, name='first'), tf.keras.layers.Dense(2, name='second')
    last = second(inputs)  # Created before those of `first`, which comes first among the layers of the model.
    return tf.keras.Model(inputs, tf.keras.layers.Concatenate()([first(inputs), last]))

  blocks = {'first': 'block_0', 'second': 'head'}
  model = keras_bridge.from_keras(build, _VECTOR, blocks)
  weights = {variable.name: np.zeros(variable.shape, np.float32) for variable in model.variables}
  weights['block_0/first/bias'] += [1.0, 2.0]
  weights['head/second/bias'] += [3.0, 4.0]
  np.testing.assert_array_equal(_outputs(model, weights, np.zeros([1, 4], np.float32)), [[1.0, 2.0, 3.0, 4.0]])


def test_initial_weights_are_a_function_of_the_seed(model):
  again = keras_language.model()
  for one, other, different in zip(
    model.initial_weights(7), again.initial_weights(7), model.initial_weights(8), strict=True
  ):
    np.testing.assert_array_equal(one, other)
    assert np.ptp(one) == 0.0 or (one.numpy() != different.numpy()).any()


def test_initial_weights_are_the_same_in_every_process(model):
  process = subprocess.run(
    [sys.executable, '-c', _PRINT_WEIGHTS], cwd=_ROOT, capture_output=True, text=True, check=True
  )
  expected = [float(tf.reduce_sum(tf.abs(weight))) for weight in model.initial_weights(7)]
  assert [float(line) for line in process.stdout.splitlines()] == expected


@pytest.mark.parametrize(
  ('initializer', 'mean', 'deviation'),
  [
    (tf.keras.initializers.RandomNormal(0.5, 0.2), 0.5, 0.2),
    (tf.keras.initializers.RandomUniform(1.0, 3.0, seed=3), 2.0, 2 / 12**0.5),
    # Cut off at two standard deviations, a normal distribution has .87963 of its own.
    (tf.keras.initializers.TruncatedNormal(0.0, 1.0), 0.0, 0.87963),
    (tf.keras.initializers.GlorotUniform(), 0.0, (2 / (60 + 40)) ** 0.5),
    (tf.keras.initializers.HeNormal(), 0.0, (2 / 60) ** 0.5),
    (tf.keras.initializers.VarianceScaling(3.0, 'fan_out', 'untruncated_normal'), 0.0, (3 / 40) ** 0.5),
    (tf.keras.initializers.Orthogonal(), 0.0, 60**-0.5),  # The 40 columns of length 1 have 60 entries each.
    (tf.keras.initializers.Constant(1.5), 1.5, 0.0),
  ],
)
def test_initial_weights_come_from_the_distribution_of_keras(initializer, mean, deviation):
  def build():
    return tf.keras.Sequential([tf.keras.Input([60]), tf.keras.layers.Dense(40, kernel_initializer=initializer)])

  model = keras_bridge.from_keras(build, tf.TensorSpec([None, 60]))
  kernels = np.stack([model.initial_weights(seed)[0] for seed in range(4)])
  # 9,600 numbers: the mean is known to deviation / 98 at one standard error.
  np.testing.assert_allclose(kernels.mean(), mean, atol=0.001 + deviation / 20)
  np.testing.assert_allclose(kernels.std(), deviation, rtol=0.05, atol=1e-7)
  if isinstance(initializer, tf.keras.initializers.Orthogonal):
    np.testing.assert_allclose(kernels[0].T @ kernels[0], np.eye(40), atol=1e-5)


def test_frozen_weights_are_constants_of_the_model():
  def build():
    given = dict(kernel_initializer=tf.keras.initializers.Constant(0.25), bias_initializer='ones', trainable=False)
    first, last = tf.keras.layers.Dense(4, name='first', **given), tf.keras.layers.Dense(2, name='last')
    return tf.keras.Sequential([tf.keras.Input([4]), first, last])

  model = keras_bridge.from_keras(build, _VECTOR)
  assert [variable.name for variable in model.variables] == ['head/last/kernel', 'head/last/bias']
  weights = {'head/last/kernel': np.ones([4, 2], np.float32), 'head/last/bias': np.zeros([2], np.float32)}
  # Each of four units is .25 (1 + 2 + 3 + 4) + 1 = 3.5.
  np.testing.assert_allclose(_outputs(model, weights, np.array([[1, 2, 3, 4]], np.float32)), [[14.0, 14.0]])


@pytest.mark.parametrize(
  'build',
  [
    _sequential(lambda: tf.keras.layers.Dropout(0.0), _dense()),
    _sequential(_dense(), lambda: tf.keras.layers.GroupNormalization(1)),
    _sequential(_dense(trainable=True), lambda: tf.keras.layers.Activation('softmax')),
  ],
  ids=['dropout of nothing', 'group normalization', 'no weights behind'],
)
def test_layers_that_are_functions_come_over(build):
  model = keras_bridge.from_keras(build, _VECTOR)
  keras_model = build()
  inputs = np.random.default_rng(0).normal(size=[3, 4]).astype(np.float32)
  names = [variable.name for variable in model.variables]
  weights = dict(zip(names, (weight.numpy() for weight in model.initial_weights(1)), strict=True))
  keras_model.set_weights(list(weights.values()))
  expected = keras_model(inputs).numpy()
  np.testing.assert_allclose(_outputs(model, weights, inputs), expected, rtol=1e-5, atol=1e-6)
