"""The Conformer has the published sizes, looks back and never ahead, and trains in parts as the other models do."""

import collections
import functools
import re
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from models import accounting
from models import adapters
from models import conformer
from models import gradients as gradients_lib
from models import language_task
from models import layers
from tests.models import plain_conformer

_LENGTH, _BATCH, _VOCABULARY = 4, 3, 17
_BUILD = functools.partial(conformer.conformer, width=8, mlp_width=10, num_layers=2, num_heads=2)
_MODEL = _BUILD(kernel_size=3)(_VOCABULARY)
_ONE = _BUILD(kernel_size=3, num_layers=1)(_VOCABULARY)
_LONG = _BUILD(kernel_size=6, num_layers=1)(_VOCABULARY)  # Its filter is longer than the sequence.
_SEED = (5, 7)  # Without dropout it changes nothing.


def _weights(model, stddev=0.4):
  """Weights without the zeros and ones of a fresh model, so that a forgotten bias shows."""
  rng = np.random.default_rng(3)
  return tuple(tf.constant(rng.normal(0.0, stddev, variable.shape), tf.float32) for variable in model.variables)


def _tokens(batch, length, vocabulary=_VOCABULARY):
  return np.random.default_rng(4).integers(0, vocabulary, [batch, length]).astype(np.int32)


def _batch():
  return collections.OrderedDict(
    tokens=tf.constant(_tokens(_BATCH, _LENGTH + 1)), client_key=tf.zeros([_BATCH], tf.int64)
  )


def _apply(model, weights, tokens, seed=None):
  return model.apply(weights, tf.constant(tokens), seed).numpy()


def _plain_gradients(task, weights, batch):
  with tf.GradientTape() as tape:
    tape.watch(weights)
    measures = task.evaluate(weights, batch, tf.constant(_SEED, tf.int64))
    loss = measures['loss_sum'] / measures['weight_sum']
  return [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights)]


def _gradients(task, trained, weights, batch):
  return gradients_lib.gradients(task, weights, trained, batch, tf.constant(_SEED, tf.int64))[1]


def _assert_equal(gradients, expected, trained):
  for gradient, full, flag in zip(gradients, expected, trained, strict=True):
    if flag:
      np.testing.assert_allclose(gradient, full, rtol=1e-3, atol=2e-5)
    else:
      assert gradient is None or gradient.shape == (0,)


def _weight_products(trained, shape):
  """The functions (empty for the outermost) in which a product stands that gives a weight's gradient of this shape."""
  graph = accounting.trace_step(language_task.build(_ONE, _LENGTH), trained, _BATCH).as_graph_def(add_shapes=True)
  nodes = [('', node) for node in graph.node]
  nodes += [(function.signature.name, node) for function in graph.library.function for node in function.node_def]
  return [
    function
    for function, node in nodes
    if (node.op == 'BatchMatMulV2' or (node.op == 'MatMul' and node.attr['transpose_a'].b))
    and tuple(dim.size for dim in node.attr['_output_shapes'].list.shape[0].dim) == shape
  ]


@pytest.mark.parametrize(
  ('arguments', 'vocabulary_size', 'expected'),
  [
    # V E + V + L (2 (2 E M + M + E) + 4 (E E + E) + (3 E E + k E + 6 E) + 10 E): M = 2048, L = 3; E = 128 and E = 512.
    pytest.param(dict(size='small'), 4000, 4_038_432, id='small'),
    pytest.param(dict(size='small'), 4096, 4_050_816, id='small_of_4096_words'),
    pytest.param(dict(size='large'), 4000, 20_233_632, id='large'),
    pytest.param(dict(size='large', kernel_size=3), 4000, 20_190_624, id='large_of_short_filters'),
    # 128,000 + 1,000 + 2 (2 (65,536 + 384) + 66,048 + 53,888 + 1,280)
    pytest.param(dict(), 1000, 635_112, id='tiny'),
  ],
)
def test_number_of_parameters(arguments, vocabulary_size, expected):
  assert conformer.conformer(**arguments)(vocabulary_size).num_parameters == expected


@pytest.mark.parametrize('kernel_size', [3, 9])
def test_model_equals_plain_numpy(kernel_size):
  model = _BUILD(num_layers=1, kernel_size=kernel_size)(11)
  weights, tokens = model.by_name(_weights(model, 0.3)), _tokens(3, 7, 11)
  np.testing.assert_allclose(_apply(model, weights, tokens), plain_conformer.logits(weights, tokens, 2), atol=1e-5)


def test_a_token_changes_what_comes_from_its_position_on():
  weights, tokens = _MODEL.by_name(_weights(_MODEL)), _tokens(2, 9)
  for position in (0, 4, 8):
    changed = tokens.copy()
    changed[:, position] = (changed[:, position] + 1) % _VOCABULARY
    moved = np.abs(_apply(_MODEL, weights, changed) - _apply(_MODEL, weights, tokens)).max(axis=(0, 2))
    np.testing.assert_array_equal(moved > 1e-4, np.arange(9) >= position)
    np.testing.assert_array_equal(moved[:position], np.zeros([position]))


def test_a_convolution_reaches_as_far_as_its_filter():
  model = _BUILD(num_layers=1, kernel_size=4)(_VOCABULARY)
  weights, tokens = model.by_name(_weights(model)), _tokens(2, 9)
  for name in ('block_0/attention/output_kernel', 'block_0/attention/output_bias'):
    weights[name] = tf.zeros_like(weights[name])
  changed = tokens.copy()
  changed[:, 2] = (changed[:, 2] + 1) % _VOCABULARY
  moved = np.abs(_apply(model, weights, changed) - _apply(model, weights, tokens)).max(axis=(0, 2))
  np.testing.assert_array_equal(moved > 1e-4, [False, False, True, True, True, True, False, False, False])
  np.testing.assert_array_equal(moved[6:], np.zeros([3]))


@pytest.mark.parametrize(
  ('axis', 'kept', 'outgoing'),
  [
    pytest.param('heads', [1], ('attention/output_kernel',), id='heads'),
    pytest.param('neurons', [0, 2, 7], ('first_mlp/down_kernel', 'last_mlp/down_kernel'), id='neurons'),
  ],
)
def test_units_that_are_left_out_contribute_nothing(axis, kept, outgoing):
  weights, silenced, smaller = (_MODEL.by_name(_weights(_MODEL)) for _ in range(3))
  for variable in _MODEL.variables:
    if variable.units and variable.units.axis == axis:
      elements = variable.shape[variable.units.position] // variable.units.count
      indices = [unit * elements + element for unit in kept for element in range(elements)]
      smaller[variable.name] = tf.gather(weights[variable.name], indices, axis=variable.units.position)
      if variable.name.endswith(outgoing):
        rows = tf.reduce_sum(tf.one_hot(indices, variable.shape[0]), 0)
        silenced[variable.name] = weights[variable.name] * rows[:, tf.newaxis]
  full, expected, actual = (_apply(_MODEL, w, _tokens(2, 7)) for w in (weights, silenced, smaller))
  np.testing.assert_allclose(actual, expected, atol=2e-5)
  assert np.abs(full - expected).max() > 1e-2


def test_units_of_a_block():
  units = {
    variable.name.removeprefix('block_1/'): (variable.units.axis, variable.units.position, variable.units.count)
    for variable in _MODEL.variables
    if variable.block == 'block_1' and variable.units
  }
  columns = {f'{mlp}/up_kernel': ('neurons', 1, 10) for mlp in ('first_mlp', 'last_mlp')}
  biases = {f'{mlp}/up_bias': ('neurons', 0, 10) for mlp in ('first_mlp', 'last_mlp')}
  rows = {f'{mlp}/down_kernel': ('neurons', 0, 10) for mlp in ('first_mlp', 'last_mlp')}
  for name in ('query', 'key', 'value'):
    columns[f'attention/{name}_kernel'], biases[f'attention/{name}_bias'] = ('heads', 1, 2), ('heads', 0, 2)
  assert units == {**columns, **biases, **rows, 'attention/output_kernel': ('heads', 0, 2)}


def test_a_block_that_adds_nothing_may_be_skipped():
  assert _MODEL.skips_blocks
  weights = _MODEL.by_name(_weights(_MODEL))
  weights |= {f'block_{index}/norm_scale': tf.ones([8]) for index in range(2)}
  weights |= {f'block_{index}/norm_bias': tf.zeros([8]) for index in range(2)}
  for name in weights:
    if name.startswith('block_1/') and name.endswith(
      ('down_kernel', 'down_bias', 'output_kernel', 'output_bias', 'projection_kernel', 'projection_bias')
    ):
      weights[name] = tf.zeros_like(weights[name])
  fewer = {name: weight for name, weight in weights.items() if not name.startswith('block_1/')}
  np.testing.assert_allclose(_apply(_MODEL, fewer, _tokens(2, 7)), _apply(_MODEL, weights, _tokens(2, 7)), atol=1e-5)


def test_dropout_is_decided_by_the_seed():
  model = _BUILD(dropout=0.5)(_VOCABULARY)
  weights, tokens = model.by_name(_weights(model)), _tokens(2, 7)
  first, again, other = (
    _apply(model, weights, tokens, tf.constant(seed, tf.int64)) for seed in ((1, 2), (1, 2), (1, 3))
  )
  np.testing.assert_array_equal(first, again)
  assert np.abs(first - other).max() > 1e-2


def test_every_dropout_draws_for_itself():
  weights = _MODEL.by_name(_weights(_MODEL))
  with mock.patch.object(layers, 'dropout', side_effect=lambda x, *rest: x) as dropout:
    _apply(_MODEL, weights, _tokens(2, 7))
  assert [call.args[3] for call in dropout.call_args_list] == list(range(12))


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(size='huge'), 'size must be one of tiny, small, large'),
    (dict(width=0), 'width must be a whole number from 1 to 1,000,000'),
    (dict(kernel_size=0), 'kernel_size must be a whole number from 1 to 1,000,000'),
    (dict(kernel_size=2.5), 'kernel_size must be a whole number from 1 to 1,000,000'),
    (dict(num_heads=3), 'num_heads=3 must divide width=128'),
    (dict(dropout=1.0), r'dropout must lie in \[0, 1\)'),
  ],
)
def test_model_refuses(arguments, message):
  with pytest.raises(ValueError, match=message):
    conformer.conformer(**arguments)


@pytest.mark.parametrize('model', [pytest.param(_MODEL, id='two_blocks'), pytest.param(_LONG, id='long_filter')])
def test_training_everything_equals_a_plain_tape(model):
  task, weights = language_task.build(model, _LENGTH), _weights(model)
  trained = [True] * len(weights)
  gradients = tf.function(functools.partial(_gradients, task, trained), autograph=False)(weights, _batch())
  _assert_equal(gradients, _plain_gradients(task, weights, _batch()), trained)


@pytest.mark.parametrize(
  'name',
  [
    pytest.param('embedding/table', id='embedding'),
    pytest.param('block_0/convolution/gate_kernel', id='gate'),
    pytest.param('block_0/convolution/depthwise_filter', id='filter'),
    pytest.param('block_0/last_mlp/down_kernel', id='last'),
  ],
)
def test_training_one_variable_or_all_but_it_equals_a_plain_tape(name):
  task, weights = language_task.build(_ONE, _LENGTH), _weights(_ONE)
  expected = _plain_gradients(task, weights, _batch())
  for wanted in (True, False):
    trained = [(variable.name == name) == wanted for variable in _ONE.variables]
    _assert_equal(_gradients(task, trained, weights, _batch()), expected, trained)


def test_run_time_flags_select_gradients_within_one_trace():
  task, weights = language_task.build(_ONE, _LENGTH), _weights(_ONE)
  expected = _plain_gradients(task, weights, _batch())
  step = tf.function(lambda flags, *args: _gradients(task, tf.unstack(flags), *args), autograph=False)
  for pattern in np.random.default_rng(0).random([4, len(weights)]) < 0.5:
    _assert_equal(step(tf.constant(pattern), weights, _batch()), expected, pattern)


@pytest.mark.parametrize(
  ('name', 'shape', 'when_trained', 'when_frozen'),
  [
    pytest.param('first_mlp/up_kernel', (8, 10), 2, 1, id='up'),  # The other MLP's is as large.
    pytest.param('convolution/gate_kernel', (8, 16), 1, 0, id='gate'),
    pytest.param('convolution/depthwise_filter', (8, _LENGTH, _LENGTH), 1, 0, id='filter'),
  ],
)
def test_a_frozen_variable_has_no_weight_gradient(name, shape, when_trained, when_frozen):
  frozen = [not variable.name.endswith(name) for variable in _ONE.variables]
  assert _weight_products([True] * len(frozen), shape) == [''] * when_trained
  assert _weight_products(frozen, shape) == [''] * when_frozen


def test_a_run_time_flag_puts_the_product_of_a_filter_into_a_branch():
  (function,) = _weight_products([0.5] * len(_ONE.variables), (8, _LENGTH, _LENGTH))
  assert re.search(r'^cond(_\d+)?_true_', function)


@pytest.mark.parametrize(
  ('model', 'num_adapted'),
  [
    pytest.param(adapters.with_lora(_ONE, rank=2, alpha=4.0), 10, id='lora'),
    pytest.param(adapters.with_lora(_ONE, rank=2, alpha=4.0, on='kernel$|filter$'), 11, id='lora_on_filters_too'),
    pytest.param(adapters.with_adapters(_ONE, width=3), 4, id='adapters'),
  ],
)
def test_adapted_models_get_their_gradients(model, num_adapted):
  task, weights = language_task.build(model, _LENGTH), _weights(model)
  new = [variable not in _ONE.variables for variable in model.variables]
  assert sum(new) == 2 * num_adapted  # Two additions each.
  gradients = tf.function(functools.partial(_gradients, task, new), autograph=False)(weights, _batch())
  _assert_equal(gradients, _plain_gradients(task, weights, _batch()), new)
