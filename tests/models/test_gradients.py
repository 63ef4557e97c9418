"""Gradients of trained variables equal those of a plain tape, and those of frozen ones are nowhere in the graph."""

import collections
import functools
import itertools
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from models import gradients as gradients_lib
from models import keras_bridge
from models import language_task
from models import lstm
from models import model as model_lib
from models import task as task_lib
from models import transformer
from optimizers import federated_types
from tests import tiny_task

_LENGTH, _BATCH = 4, 3
_TRANSFORMER = transformer.transformer(width=8, mlp_width=10, num_layers=2, num_heads=2)(17)
_LSTM = lstm.lstm(width=6, num_cells=5)(17)
_SEED = (5, 7)  # Without dropout it changes nothing.


def _values(model):
  rng = np.random.default_rng(3)
  return [rng.normal(0.0, 0.4, variable.shape).astype(np.float32) for variable in model.variables]


def _weights(model):
  return tuple(tf.constant(value) for value in _values(model))


def _batch():
  tokens = np.random.default_rng(4).integers(0, 17, [_BATCH, _LENGTH + 1])
  return collections.OrderedDict(tokens=tf.constant(tokens, tf.int32), client_key=tf.zeros([_BATCH], tf.int64))


def _plain(task, weights, batch):
  with tf.GradientTape() as tape:
    tape.watch(weights)
    measures = task.evaluate(weights, batch, tf.constant(_SEED, tf.int64))
    loss = measures['loss_sum'] / measures['weight_sum']
  gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
  return [tf.convert_to_tensor(gradient) for gradient in gradients]


def _tapped(task, trained, weights, batch):
  return gradients_lib.gradients(task, weights, trained, batch, tf.constant(_SEED, tf.int64))


def _assert_equal(gradients, expected, trained):
  for gradient, full, flag in zip(gradients, expected, trained, strict=True):
    if flag:
      np.testing.assert_allclose(gradient, full, rtol=1e-4, atol=1e-5)
    else:
      assert gradient is None or gradient.shape == (0,)


def _traced(task, trained):
  """The concrete function of a step whose flags are known, or all run-time inputs if `trained` is None."""
  weights = tuple(tf.TensorSpec(variable.shape) for variable in task.model.variables)
  batch = collections.OrderedDict(
    (name, tf.TensorSpec([_BATCH, *spec.shape], spec.dtype)) for name, spec in task.example_spec.items()
  )
  if trained is not None:
    return tf.function(functools.partial(_tapped, task, trained), autograph=False).get_concrete_function(weights, batch)
  step = tf.function(lambda flags, *args: _tapped(task, tf.unstack(flags), *args), autograph=False)
  return step.get_concrete_function(tf.TensorSpec([len(weights)], tf.bool), weights, batch)


def _nodes(concrete):
  """Yields the function (empty for the outermost) and the definition of every operation, those of branches included."""
  definition = concrete.graph.as_graph_def(add_shapes=True)
  for node in definition.node:
    yield '', node
  for function in definition.library.function:
    for node in function.node_def:
      yield function.signature.name, node


def _products(concrete, shape=None):
  """The functions in which a two-dimensional product stands, once for each; those of weight gradients with a shape."""
  found = [(function, node.attr) for function, node in _nodes(concrete) if node.op == 'MatMul']
  if shape is None:
    return [function for function, _ in found]
  sizes = [[dim.size for dim in attributes['_output_shapes'].list.shape[0].dim] for _, attributes in found]
  return [
    f for (f, attributes), size in zip(found, sizes, strict=True) if attributes['transpose_a'].b and size == list(shape)
  ]


def _all_but(model, *frozen):
  return [variable.name not in frozen for variable in model.variables]


@pytest.mark.parametrize('model', [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm')])
def test_training_everything_equals_a_plain_tape(model):
  task, weights = language_task.build(model, _LENGTH), _weights(model)
  trained = [True] * len(weights)
  measures, gradients = tf.function(functools.partial(_tapped, task, trained), autograph=False)(weights, _batch())
  _assert_equal(gradients, _plain(task, weights, _batch()), trained)
  for name, value in task.evaluate(weights, _batch()).items():
    assert float(measures[name]) == pytest.approx(float(value), abs=5e-5)


@pytest.mark.parametrize('model', [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm')])
def test_run_time_flags_select_gradients_within_one_trace(model):
  task, weights = language_task.build(model, _LENGTH), _weights(model)
  expected = _plain(task, weights, _batch())
  step = _traced(task, None)
  rng = np.random.default_rng(0)
  count = len(weights)
  patterns = [np.zeros(count, bool), np.ones(count, bool), *(rng.random([8, count]) < 0.5)]
  for pattern in patterns:
    _, gradients = step(tf.constant(pattern), weights, _batch())
    _assert_equal(gradients, expected, pattern)


def test_lstm_is_right_for_every_subset():
  task, weights = language_task.build(_LSTM, _LENGTH), _weights(_LSTM)
  expected = _plain(task, weights, _batch())
  for trained in itertools.product([False, True], repeat=len(weights)):
    _, gradients = _tapped(task, trained, weights, _batch())
    _assert_equal(gradients, expected, trained)


@pytest.mark.parametrize('name', ['input_kernel', 'recurrent_kernel', 'projection_kernel', 'bias', 'projection_bias'])
def test_traced_lstm_is_right_with_and_without(name):
  task, weights = language_task.build(_LSTM, _LENGTH), _weights(_LSTM)
  expected = _plain(task, weights, _batch())
  without = _all_but(_LSTM, f'block_0/{name}')
  for trained in (without, [not flag for flag in without]):
    _, gradients = _traced(task, trained)(weights, _batch())
    _assert_equal(gradients, expected, trained)


def test_weights_may_be_eager_tensors_that_a_function_captures():
  task, weights = language_task.build(_LSTM, _LENGTH), _weights(_LSTM)
  trained = [index % 3 != 0 for index in range(len(weights))]
  _, gradients = tf.function(lambda: _tapped(task, trained, weights, _batch()), autograph=False)()
  _assert_equal(gradients, _plain(task, weights, _batch()), trained)


def test_two_lstm_layers_are_right():
  model = lstm.lstm(width=6, num_cells=5, num_layers=2)(17)
  task, weights = language_task.build(model, _LENGTH), _weights(model)
  trained = [index % 3 != 1 for index in range(len(weights))]
  _, gradients = _tapped(task, trained, weights, _batch())
  _assert_equal(gradients, _plain(task, weights, _batch()), trained)


@pytest.mark.parametrize('kernel', [False, True])
@pytest.mark.parametrize('bias', [False, True])
def test_a_model_may_treat_weights_as_tensors(kernel, bias):
  task = tiny_task.linear_task()
  weights = (tf.constant([1.0, 2.0]), tf.constant(0.5))
  batch = dict(x=tf.constant([[1.0, 0.0], [0.0, 2.0]]), y=tf.constant([1.0, 1.0]))
  measures, gradients = _tapped(task, [kernel, tf.constant(bias)], weights, batch)
  # The outputs are 1.5 and 4.5, the errors 0.5 and 3.5: 0.5 (0.25 + 12.25), [0.5, 7] / 2, 4 / 2.
  assert float(measures['loss_sum']) == pytest.approx(6.25, abs=5e-8)
  _assert_equal(gradients, [[0.25, 3.5], 2.0], [kernel, bias])


def test_a_keras_model_gets_its_gradients():
  def build():
    return tf.keras.Sequential([tf.keras.layers.Dense(5, 'tanh', input_shape=[2]), tf.keras.layers.Dense(1)])

  model = keras_bridge.from_keras(build, tf.TensorSpec([None, 2]))
  linear = tiny_task.linear_task()
  task = task_lib.Task(model, linear.example_spec, linear.inputs, linear.measure)
  trained = [True, False, False, True]
  with tf.Graph().as_default() as graph:
    weights = tuple(tf.constant(weight) for weight in _values(model))
    batch = dict(x=tf.constant([[1.0, 0.0], [0.0, 2.0]]), y=tf.constant([[1.0], [1.0]]))
    _, gradients = tf.function(functools.partial(_tapped, task, trained), autograph=False)(weights, batch)
    expected = tf.function(functools.partial(_plain, task), autograph=False)(weights, batch)
  with tf.compat.v1.Session(graph=graph) as session:
    gradients, expected = session.run([gradients[::3], expected[::3]])
  _assert_equal(gradients, expected, [True, True])


def test_a_variable_that_the_loss_does_not_depend_on_gets_zeros():
  linear = tiny_task.linear_task()
  variables = (*linear.model.variables, model_lib.Variable('head/unused', (3,), model_lib.zeros))
  task = task_lib.Task(
    model_lib.Model(variables, linear.model.apply), linear.example_spec, linear.inputs, linear.measure
  )
  batch = dict(x=tf.ones([1, 2]), y=tf.ones([1]))
  _, gradients = _tapped(task, [False, False, True], (tf.ones([2]), tf.constant(0.0), tf.ones([3])), batch)
  np.testing.assert_array_equal(gradients[2], np.zeros([3]))


def test_a_batch_of_padding_has_no_gradient():
  task, weights = language_task.build(_TRANSFORMER, _LENGTH), _weights(_TRANSFORMER)
  batch = tf.nest.map_structure(tf.zeros_like, _batch())
  _, gradients = _tapped(task, [True] * len(weights), weights, batch)
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


# Shapes tell weight gradients apart: width 8, MLP 10; width 6, 15 gates, 5 cells; 17 words; 12 positions a batch.
@pytest.mark.parametrize(
  ('model', 'name', 'shape', 'count'),
  [
    pytest.param(_TRANSFORMER, 'block_{}/mlp/up_kernel', (8, 10), 2, id='up'),
    pytest.param(_TRANSFORMER, 'block_{}/mlp/down_kernel', (10, 8), 2, id='down'),
    pytest.param(_TRANSFORMER, 'embedding/table', (17, 8), 1, id='table'),
    pytest.param(_LSTM, 'block_{}/projection_kernel', (5, 6), 1, id='projection'),
  ],
)
def test_a_frozen_variable_has_no_weight_gradient(model, name, shape, count):
  task = language_task.build(model, _LENGTH)
  frozen = [name.format(index) for index in range(2)]
  assert len(_products(_traced(task, _all_but(model, *frozen)), shape)) == 0
  assert _products(_traced(task, _all_but(model)), shape) == [''] * count


@pytest.mark.parametrize('frozen', ['input_kernel', 'recurrent_kernel'])
def test_a_recurrent_layer_has_a_product_only_for_what_is_trained(frozen):
  task = language_task.build(_LSTM, _LENGTH)
  assert len(_products(_traced(task, _all_but(_LSTM, f'block_0/{frozen}')), (6, 15))) == 1
  neither = _all_but(_LSTM, 'block_0/input_kernel', 'block_0/recurrent_kernel')
  assert len(_products(_traced(task, neither), (6, 15))) == 0


@pytest.mark.parametrize(
  ('model', 'shape', 'count'),
  [
    pytest.param(_TRANSFORMER, (8, 10), 2, id='up'),
    pytest.param(_TRANSFORMER, (17, 8), 1, id='table'),
    pytest.param(_LSTM, (6, 15), 2, id='gates'),
    pytest.param(_LSTM, (5, 6), 1, id='projection'),
  ],
)
def test_a_run_time_flag_puts_the_product_into_a_branch(model, shape, count):
  functions = _products(_traced(language_task.build(model, _LENGTH), None), shape)
  assert len(functions) == count
  for function in functions:
    assert re.search(r'^cond(_\d+)?_true_', function)


def test_a_frozen_first_block_has_no_backward_pass():
  task = language_task.build(_TRANSFORMER, _LENGTH)
  suffix = [variable.block in ('block_1', 'head') for variable in _TRANSFORMER.variables]
  nothing, everything = ([flag] * len(suffix) for flag in (False, True))
  forward, partial, full = (list(_nodes(_traced(task, flags))) for flags in (nothing, suffix, everything))

  def count(nodes, op):
    return sum(node.op == op for _, node in nodes)

  # Attention has two products in each of two blocks, and each product two more on the way back.
  assert [count(nodes, 'BatchMatMulV2') for nodes in (forward, partial, full)] == [4, 8, 12]
  assert [count(nodes, 'ReluGrad') for nodes in (forward, partial, full)] == [0, 1, 2]
  # Six kernels a block and the tied table, with two more each on the way back; the frozen table has one.
  assert [count(nodes, 'MatMul') for nodes in (forward, partial, full)] == [13, 13 + 1 + 12, 13 + 2 + 24]


def test_training_nothing_has_no_backward_pass():
  task = language_task.build(_LSTM, _LENGTH)
  step = _traced(task, [False] * len(_LSTM.variables))
  assert not [node for _, node in _nodes(step) if 'Grad' in node.op]


@pytest.mark.parametrize('model', [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm')])
def test_builds_inside_a_computation_of_tff(model):
  task = language_task.build(model, _LENGTH)
  trained_type = tff.TensorType(np.bool_, [len(model.variables)])
  batch_type = collections.OrderedDict(
    (name, tff.TensorType(spec.dtype.as_numpy_dtype, [None, *spec.shape])) for name, spec in task.example_spec.items()
  )

  @tff.tensorflow.computation(federated_types.weights(model), trained_type, batch_type)
  def step(weights, trained, batch):
    @tf.function(autograph=False)
    def traced(weights, trained, batch):
      _, gradients = _tapped(task, tf.unstack(trained), weights, batch)
      return [tf.size(gradient) for gradient in gradients]

    return traced(weights, trained, batch)

  assert len(step.type_signature.result) == len(model.variables)


def test_values_are_right_in_a_graph_of_tff():
  task = language_task.build(_LSTM, _LENGTH)
  values, batch = _values(_LSTM), {name: value.numpy() for name, value in _batch().items()}
  expected = _plain(task, _weights(_LSTM), _batch())
  trained = [index % 2 == 0 for index in range(len(values))]
  with tf.Graph().as_default() as graph:
    step = tf.function(lambda flags, *args: _tapped(task, tf.unstack(flags), *args)[1], autograph=False)
    weights = tuple(tf.constant(value) for value in values)
    gradients = step(tf.constant(trained), weights, {name: tf.constant(value) for name, value in batch.items()})
  with tf.compat.v1.Session(graph=graph) as session:
    gradients = session.run(gradients)
  _assert_equal(gradients, expected, trained)
