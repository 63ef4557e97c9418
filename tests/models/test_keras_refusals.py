"""A Keras model that is more than a function of its weights is refused, by what it does more, in one line."""

import numpy as np
import pytest
import tensorflow as tf

from models import keras_bridge

_VECTOR = tf.TensorSpec([None, 4])
_LAYER = tf.keras.layers.Dense(4, name='before')
_MODEL = tf.keras.Sequential([tf.keras.Input([4]), tf.keras.layers.Dense(4, name='before_2')])
_VARIABLE = tf.Variable(2.0)


def _sequential(*layers):
  return lambda: tf.keras.Sequential([tf.keras.Input([4]), *(layer() for layer in layers)])


def _dense(**options):
  return lambda: tf.keras.layers.Dense(3, name='dense', **options)


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
  'half floats': (
    _sequential(_dense(dtype='mixed_float16')),
    'dense computes in float16, and models here in float32: build',
  ),
  'a layer made before': (_sequential(lambda: _LAYER, _dense()), 'uses before/kernel:0, made outside of build'),
  'a model made before': (lambda: _MODEL, 'uses before_2/kernel:0, made outside of build: make each of its layers'),
  'a variable made before': (
    _sequential(lambda: tf.keras.layers.Lambda(lambda x: x * _VARIABLE), _dense()),
    'cannot be built in a graph .*: make whatever it uses within build',
  ),
  'assignment': (_sequential(_Assigning, _dense()), 'cannot be run with tensors for weights'),
  'no weights': (lambda: tf.keras.Sequential([tf.keras.layers.Dense(3)]), 'the Keras model has no weights yet'),
  'never weights': (_sequential(tf.keras.layers.Flatten), 'the Keras model has no weights to train: add a layer'),
  'only frozen weights': (
    _sequential(_dense(kernel_initializer='ones', trainable=False)),
    'the Keras model has no weights to train: add a layer',
  ),
}


@pytest.mark.parametrize(('build', 'said'), _REFUSED.values(), ids=_REFUSED)
def test_what_is_more_than_a_function_of_weights_is_refused(build, said):
  spec = tf.TensorSpec([2, 6], tf.int32) if build.__qualname__.startswith('_gru') else _VECTOR
  with pytest.raises(ValueError, match=said) as caught:
    keras_bridge.from_keras(build, spec)
  assert len(str(caught.value).splitlines()) == 1
