"""A model runs with some of its units or blocks, and computes what it would if the others contributed nothing."""

import numpy as np
import pytest
import tensorflow as tf

from models import bert
from models import catalog
from models import lstm
from models import model as model_lib
from models import transformer

_TRANSFORMER = transformer.transformer(width=8, mlp_width=10, num_layers=2, num_heads=4)(11)
_LSTM = lstm.lstm(width=6, num_cells=5, num_layers=2)(11)
_BERT, _ALBERT = (
  configure(width=8, mlp_width=10, num_layers=2, num_heads=4).masked_language_model(11)
  for configure in (bert.bert, bert.albert)
)
_TOKENS = np.random.default_rng(0).integers(0, 11, [3, 7])


def _weights(model, seed=3):
  rng = np.random.default_rng(seed)
  return {v.name: rng.normal(0.0, 0.3, v.shape).astype(np.float32) for v in model.variables}


def _units(variable, weight):
  """The weight with its units along an axis of their own, and that axis: [..., copies, count, elements, ...]."""
  units = variable.units
  shape = list(weight.shape)
  shape[units.position : units.position + 1] = [units.copies, units.count, -1]
  return weight.reshape(shape), units.position + 1


def _kept(model, weights, axis, kept):
  """Keeps some units of an axis in every variable that has it."""
  result = dict(weights)
  for variable in model.variables:
    if variable.units and variable.units.axis == axis:
      split, position = _units(variable, weights[variable.name])
      shape = list(variable.shape)
      shape[variable.units.position] = -1
      result[variable.name] = np.take(split, kept, position).reshape(shape)
  return result


def _silenced(model, weights, axis, kept, names):
  """Zeroes the other units of an axis in the variables through which they reach the rest of the model."""
  result = dict(weights)
  for variable in model.variables:
    if variable.name.endswith(names):
      split, position = _units(variable, weights[variable.name])
      lost = np.setdiff1d(np.arange(variable.units.count), kept)
      split = np.moveaxis(split.copy(), position, 0)
      split[lost] = 0.0
      result[variable.name] = np.moveaxis(split, 0, position).reshape(variable.shape)
  return result


def _apply(model, weights, tokens):
  return model.apply(weights, tokens.astype(np.int32), None).numpy()


@pytest.mark.parametrize(
  ('model', 'axis', 'kept', 'outgoing'),
  [
    pytest.param(_TRANSFORMER, 'heads', [3, 0], 'attention/output_kernel', id='heads'),
    pytest.param(_TRANSFORMER, 'neurons', [0, 2, 7], 'mlp/down_kernel', id='mlp_neurons'),
    pytest.param(_BERT, 'heads', [3, 0], 'attention/output_kernel', id='heads_of_bert'),
    pytest.param(_ALBERT, 'neurons', [0, 2, 7], 'mlp/down_kernel', id='neurons_of_albert'),
    pytest.param(_LSTM, 'neurons', [4, 1, 2], 'projection_kernel', id='cells'),
  ],
)
def test_units_that_are_left_out_contribute_nothing(model, axis, kept, outgoing):
  weights = _weights(model)
  expected = _apply(model, _silenced(model, weights, axis, kept, outgoing), _TOKENS)
  np.testing.assert_allclose(_apply(model, _kept(model, weights, axis, kept), _TOKENS), expected, atol=2e-5)
  assert np.abs(expected - _apply(model, weights, _TOKENS)).max() > 1e-2


@pytest.mark.parametrize(
  'model',
  [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm'), pytest.param(_ALBERT, id='albert')],
)
def test_a_part_of_the_vocabulary_scores_its_words(model):
  weights, kept = _weights(model), np.array([0, 9, 3, 4])
  positions = np.random.default_rng(1).integers(0, len(kept), [2, 5])
  smaller = _apply(model, _kept(model, weights, 'vocabulary', kept), positions)
  np.testing.assert_allclose(smaller, _apply(model, weights, kept[positions])[..., kept], atol=2e-5)


@pytest.mark.parametrize(
  ('model', 'shallower'),
  [
    pytest.param(
      _TRANSFORMER, transformer.transformer(width=8, mlp_width=10, num_layers=1, num_heads=4)(11), id='transformer'
    ),
    pytest.param(_LSTM, lstm.lstm(width=6, num_cells=5, num_layers=1)(11), id='lstm'),
    pytest.param(
      _BERT, bert.bert(width=8, mlp_width=10, num_layers=1, num_heads=4).masked_language_model(11), id='bert'
    ),
  ],
)
def test_fewer_blocks_are_a_shallower_model(model, shallower):
  weights = _weights(model)
  fewer = {variable.name: weights[variable.name] for variable in shallower.variables}
  np.testing.assert_array_equal(_apply(model, fewer, _TOKENS), _apply(shallower, fewer, _TOKENS))


@pytest.mark.parametrize('configure', catalog.LANGUAGE_MODELS.values(), ids=catalog.LANGUAGE_MODELS)
def test_units_divide_the_axis_along_which_they_lie(configure):
  for variable in configure()(50).variables:
    if variable.units:
      length = variable.shape[variable.units.position]
      assert length % (variable.units.count * variable.units.copies) == 0, variable.name


def test_a_recurrent_layer_has_its_cells_once_for_each_gate():
  units = {v.name.removeprefix('block_0/'): v.units for v in _LSTM.variables if v.block == 'block_0'}
  assert units['recurrent_kernel'] == model_lib.Units('neurons', 1, 5, copies=3)
  assert units['bias'] == model_lib.Units('neurons', 0, 5, copies=3)
  assert units['projection_kernel'] == model_lib.Units('neurons', 0, 5)
  assert units['projection_bias'] is None


@pytest.mark.parametrize(
  ('shape', 'inputs'), [pytest.param((3, 3, 20, 50), 180, id='convolution'), pytest.param((180, 50), 180, id='dense')]
)
def test_he_normal_has_twice_the_variance_of_one_input(shape, inputs):
  drawn = model_lib.he_normal(shape, tf.constant([0, 1], tf.int64)).numpy()
  assert drawn.mean() * inputs**0.5 == pytest.approx(0.0, abs=0.06)  # 9,000 draws of deviation 1.4.
  assert drawn.var() * inputs == pytest.approx(2.0, abs=0.12)


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('block_0/mlp/up_bias', True),
    ('head/bias', True),
    ('block_0/mlp/up_kernel', False),
    ('head/norm_scale', False),
    ('bias/table', False),
  ],
)
def test_biases_are_additive(name, expected):
  assert model_lib.Variable(name, (2,), model_lib.zeros).is_additive == expected
