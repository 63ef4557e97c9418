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
  with tf.Graph().as_default() as graph:
    by_name = {name: tf.constant(value) for name, value in weights.items()}
    outputs = model.apply(by_name, tf.constant(inputs), None)
  with tf.compat.v1.Session(graph=graph) as session:
    return session.run(outputs)


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


def test_the_function_is_that_of_keras(model):
  weights, keras_model = _some_weights(model), keras_language.build()
  keras_model.set_weights(list(weights.values()))
  tokens = np.array([[1, 5, 2, 7, 3, 3]], np.int32)
  expected = keras_model(tokens).numpy()  # Once one is built in a graph, Keras does not run it any more.
  np.testing.assert_allclose(_outputs(model, weights, tokens), expected, rtol=1e-4, atol=1e-5)


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


def _loading():
  model = tf.keras.Sequential([tf.keras.Input([4]), tf.keras.layers.Dense(4, name='first')])
  model.set_weights([np.full(weight.shape, 0.25) for weight in model.weights])
  return model


class _Noise(tf.keras.layers.Layer):
  def call(self, x):
    return x + tf.random.normal(tf.shape(x))


class _Doubled(tf.keras.layers.Layer):
  def call(self, x, training=None):
    return 2.0 * x if training else x


class _Shifted(tf.keras.layers.Layer):
  def __init__(self):
    super().__init__()
    self.shift = tf.Variable(np.random.default_rng().normal(size=[4]), dtype=tf.float32)  # Of no seed.

  def call(self, x):
    return x + self.shift


class _Assigning(tf.keras.layers.Layer):
  def build(self, shape):
    self.count = self.add_weight('count', [])

  def call(self, x):
    self.count.assign_add(1.0)
    return x * self.count


def _gru(**options):
  def build():
    inputs = tf.keras.Input([6], batch_size=2, dtype=tf.int32)
    x = tf.keras.layers.Embedding(8, 4)(inputs)
    return tf.keras.Model(inputs, tf.keras.layers.GRU(3, name='gru', **options)(x))

  return build


_REFUSED = {
  'dropout': (
    _sequential(lambda: tf.keras.layers.Dropout(0.1, name='drop'), _dense()),
    'drop is random while training',
  ),
  'noise': (_sequential(lambda: tf.keras.layers.GaussianNoise(0.1, name='noise'), _dense()), 'noise is random while'),
  'input dropout of a cell': (_gru(dropout=0.2), 'gru.* is random while training, which its seed would not govern'),
  'state dropout of a cell': (_gru(recurrent_dropout=0.2), 'gru.* is random while training'),
  'state': (_gru(stateful=True), 'gru is stateful, and clients share no state between batches'),
  'moving statistics': (
    _sequential(_dense(), lambda: tf.keras.layers.BatchNormalization(name='norm')),
    'norm keeps moving statistics, which have no mean over clients: use GroupNormalization',
  ),
  'regularizer': (_sequential(_dense(kernel_regularizer='l2')), 'has losses of its own'),
  'activity regularizer': (_sequential(_dense(activity_regularizer='l2')), 'dense has an activity regularizer'),
  'constraint': (_sequential(_dense(kernel_constraint='non_neg')), 'dense/kernel.* has a constraint'),
  'frozen at random': (
    _sequential(_dense(), lambda: tf.keras.layers.Dense(2, name='cold', trainable=False)),
    'head/cold/kernel has trainable=False and is drawn at random: give it by tf.keras.initializers.Constant',
  ),
  'float64': (_sequential(_dense(dtype='float64')), 'dense/kernel.* is float64, and weights here are float32'),
  'own noise': (_sequential(_Noise, _dense()), 'gives other outputs while training, or each time'),
  'own training': (_sequential(_Doubled, _dense()), 'gives other outputs while training, or each time'),
  'own initial values': (
    _sequential(_Shifted, _dense()),
    'begins as something else each time: use a random initializer of',
  ),
  'loaded weights': (
    _loading,
    'head/first/kernel is set after it was created: give it by tf.keras.initializers.Constant',
  ),
  'assignment': (_sequential(_Assigning, _dense()), 'cannot be run with tensors for weights'),
  'no weights': (lambda: tf.keras.Sequential([tf.keras.layers.Dense(3)]), 'the Keras model has no weights yet'),
}


@pytest.mark.parametrize(('build', 'said'), _REFUSED.values(), ids=_REFUSED)
def test_what_is_more_than_a_function_of_weights_is_refused(build, said):
  spec = tf.TensorSpec([2, 6], tf.int32) if build.__qualname__.startswith('_gru') else _VECTOR
  with pytest.raises(ValueError, match=said) as caught:
    keras_bridge.from_keras(build, spec)
  assert len(str(caught.value).splitlines()) == 1


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
