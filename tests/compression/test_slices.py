"""Slices are the units they are said to be, and return to where they were taken from."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from compression import slices
from models import model as model_lib

_GATES = model_lib.Units('neurons', 1, 2, copies=3)
_HEADS = model_lib.Units('heads', 0, 3)
_VARIABLES = (
  model_lib.Variable('block_0/kernel', (2, 6), model_lib.zeros, _GATES),
  model_lib.Variable('block_0/output', (6, 2), model_lib.zeros, _HEADS),
  model_lib.Variable('head/bias', (4,), model_lib.zeros),
)


def _positions(shape, units):
  """The flat positions of each unit, one by one: what `Units` says, in loops."""
  elements = shape[units.position] // (units.copies * units.count)
  positions = [[] for _ in range(units.count)]
  for flat, index in enumerate(np.ndindex(*shape)):
    positions[index[units.position] // elements % units.count].append(flat)
  return positions


@strategies.composite
def _cases(draw):
  """A shape, its units, and some of them in any order."""
  count, copies, elements = (draw(strategies.integers(1, high)) for high in (5, 3, 3))
  shape = draw(strategies.lists(strategies.integers(1, 3), max_size=2))
  position = draw(strategies.integers(0, len(shape)))
  shape.insert(position, copies * count * elements)
  indices = draw(strategies.lists(strategies.integers(0, count - 1), min_size=1, max_size=count, unique=True))
  return shape, model_lib.Units('neurons', position, count, copies), indices


@pytest.mark.parametrize(
  ('tensor', 'units', 'indices', 'expected'),
  [
    # Gates beside each other: [forget 0, forget 1, output 0, output 1, candidate 0, candidate 1].
    pytest.param([0, 1, 2, 3, 4, 5], model_lib.Units('neurons', 0, 2, copies=3), [1], [1, 3, 5], id='gates'),
    pytest.param(
      [0, 1, 2, 3, 4, 5], model_lib.Units('neurons', 0, 2, copies=3), [1, 0], [1, 0, 3, 2, 5, 4], id='gates_turned'
    ),
    pytest.param([0, 1, 2, 3, 4, 5], model_lib.Units('heads', 0, 3), [2, 0], [4, 5, 0, 1], id='heads'),
    pytest.param(
      [0, 1, 2, 3, 4, 5, 6, 7], model_lib.Units('heads', 0, 2, copies=2), [1], [2, 3, 6, 7], id='gates_of_heads'
    ),
    pytest.param([[0, 1], [2, 3], [4, 5]], model_lib.Units('vocabulary', 0, 3), [2, 1], [[4, 5], [2, 3]], id='rows'),
    pytest.param([[0, 1], [2, 3], [4, 5]], model_lib.Units('rank', 1, 2), [1], [[1], [3], [5]], id='columns'),
    pytest.param(
      [[0, 1, 2, 3], [4, 5, 6, 7]],
      model_lib.Units('neurons', 1, 2, copies=2),
      [0],
      [[0, 2], [4, 6]],
      id='gates_of_rows',
    ),
  ],
)
def test_slices_takes(tensor, units, indices, expected):
  np.testing.assert_array_equal(slices.take(tf.constant(tensor), units, tf.constant(indices)), expected)


@pytest.mark.parametrize(
  ('sliced', 'units', 'indices', 'expected'),
  [
    pytest.param([7.0, 8.0, 9.0], model_lib.Units('neurons', 0, 2, copies=3), [1], [0, 7, 0, 8, 0, 9], id='gates'),
    pytest.param([1.0, 2.0, 3.0, 4.0], model_lib.Units('heads', 0, 3), [2, 0], [3, 4, 0, 0, 1, 2], id='heads'),
    pytest.param([[1.0, 2.0]], model_lib.Units('vocabulary', 0, 3), [1], [[0, 0], [1, 2], [0, 0]], id='rows'),
  ],
)
def test_slices_puts(sliced, units, indices, expected):
  found = slices.put(tf.constant(sliced), units, tf.constant(indices), np.shape(expected))
  np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
  ('shape', 'units', 'expected'),
  [
    pytest.param((6, 2), model_lib.Units('neurons', 0, 2, copies=3), [[1], [2], [1], [2], [1], [2]], id='gates'),
    pytest.param((2, 4), model_lib.Units('heads', 1, 2), [1, 1, 2, 2], id='heads'),
  ],
)
def test_slices_spreads(shape, units, expected):
  found = slices.spread(tf.constant([1.0, 2.0]), units, shape)
  np.testing.assert_array_equal(np.broadcast_to(found, shape), np.broadcast_to(expected, shape))


@hypothesis.given(_cases())
def test_slices_takes_and_puts_what_the_definition_says(case):
  shape, units, indices = case
  x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
  positions = _positions(shape, units)
  sliced = slices.take(tf.constant(x), units, tf.constant(indices))
  # In the order of the indices at each place where the variable has all units in order.
  for place, index in enumerate(indices):
    of_slice = _positions(sliced.shape, model_lib.Units('neurons', units.position, len(indices), units.copies))[place]
    np.testing.assert_array_equal(np.ravel(sliced)[of_slice], np.ravel(x)[positions[index]])
  expected = np.zeros(x.size, np.float32)
  chosen = [flat for index in indices for flat in positions[index]]
  expected[chosen] = np.ravel(x)[chosen]
  np.testing.assert_array_equal(slices.put(sliced, units, tf.constant(indices), shape), np.reshape(expected, shape))


def test_shapes_are_static_and_the_number_of_indices_put_need_not_be():
  signature = [tf.TensorSpec([2, 6]), tf.TensorSpec([1], tf.int32), tf.TensorSpec([None], tf.int32)]

  @tf.function(input_signature=signature, autograph=False)
  def graph(x, taken, put):
    sliced = slices.take(x, _GATES, taken)
    assert sliced.shape == [2, 3]
    full = slices.put(sliced, _GATES, put, [2, 6])
    assert full.shape == [2, 6]
    return full

  found = graph(tf.ones([2, 6]), tf.constant([0]), tf.constant([1]))
  np.testing.assert_array_equal(found, [[0, 1, 0, 1, 0, 1]] * 2)


@pytest.mark.parametrize('index', [-1, 3])
def test_slices_refuses_an_index_out_of_range_by_axis(index):
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'axis heads must lie in \[0, 3\)'):
    slices.take(tf.ones([6, 2]), _HEADS, tf.constant([0, index]))
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'axis heads must lie in \[0, 3\)'):
    slices.put(tf.ones([4, 2]), _HEADS, tf.constant([0, index]), [6, 2])


def test_layout_specs():
  layout = slices.Layout({'neurons': 1})
  assert [layout.spec(variable).shape for variable in _VARIABLES] == [[2, 3], [6, 2], [4]]
  layout = slices.Layout({'heads': 2, 'neurons': 2})
  assert [layout.spec(variable).shape for variable in _VARIABLES] == [[2, 6], [4, 2], [4]]
  assert [slices.WHOLE.spec(variable).shape for variable in _VARIABLES] == [[2, 6], [6, 2], [4]]


@pytest.mark.parametrize('count', [0, -1, 4, 1.0, True])
def test_layout_refuses_a_number_of_units_that_there_is_not(count):
  with pytest.raises(ValueError, match="block_0/output has 3 units of axis 'heads'"):
    slices.Layout({'heads': count}).check(_VARIABLES)


def test_layout_refuses_an_axis_that_is_not_there():
  with pytest.raises(ValueError, match="no variable has units of axis 'rank'"):
    slices.Layout({'rank': 1}).check(_VARIABLES)


def test_layout_refuses_an_axis_of_two_lengths():
  other = model_lib.Variable('block_1/output', (4, 2), model_lib.zeros, model_lib.Units('heads', 0, 4))
  with pytest.raises(ValueError, match=r"\[3, 4\] units of axis 'heads'"):
    slices.Layout({'heads': 2}).check([*_VARIABLES, other])


def test_largest_counts_by_name():
  layouts = [slices.Layout({'neurons': 2, 'heads': 1}), slices.WHOLE, slices.Layout({'heads': 3})]
  assert list(slices.largest_counts(layouts).items()) == [('heads', 3), ('neurons', 2)]
  assert len(slices.largest_counts([slices.WHOLE])) == 0
