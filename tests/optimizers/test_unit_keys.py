"""Keys cover every unit once, and numbers of units are whole keys."""

import numpy as np
import pytest
import tensorflow as tf

from models import model as model_lib
from optimizers import client_costs
from optimizers import devices
from optimizers import policies
from optimizers import selection
from optimizers import unit_keys

_AXES = ('vocabulary', 'neurons', 'heads')


def _model(*units):
  return model_lib.Model(
    tuple(
      model_lib.Variable(f'block_0/{index}', (each.count,), model_lib.zeros, each) for index, each in enumerate(units)
    ),
    apply=lambda weights, inputs, seed: inputs,
  )


@pytest.mark.parametrize('axis', _AXES)
@pytest.mark.parametrize('count', [1, 6, 48, 64, 4000])
def test_keys_stand_for_every_unit_once(axis, count):
  model = _model(model_lib.Units(axis, 0, count))
  keys = tf.range(unit_keys.num_keys(model, axis))
  np.testing.assert_array_equal(unit_keys.units_of(model, axis, keys), np.arange(count))


def test_units_of_a_key_are_neighbours():
  model = _model(model_lib.Units('neurons', 0, 64))
  size = unit_keys.units_per_key(model, 'neurons')
  assert size > 1
  units = unit_keys.units_of(model, 'neurons', tf.constant([2, 0]))
  np.testing.assert_array_equal(units, [*range(2 * size, 3 * size), *range(size)])


def test_an_axis_that_groups_do_not_divide_has_one_unit_a_key():
  assert unit_keys.units_per_key(_model(model_lib.Units('neurons', 0, 50)), 'neurons') == 1


@pytest.mark.parametrize('axis', _AXES)
@pytest.mark.parametrize('fraction', [1e-9, 0.1, 0.5, 0.99, 1.0])
@pytest.mark.parametrize('count', [1, 6, 64])
def test_whole_keys_are_the_nearest_and_at_least_one(axis, fraction, count):
  model = _model(model_lib.Units(axis, 0, count))
  size, units = unit_keys.units_per_key(model, axis), unit_keys.whole_keys(model, axis, fraction)
  assert units % size == 0
  assert size <= units <= count
  assert units == size or abs(units - fraction * count) <= size / 2


@pytest.mark.parametrize(
  ('axis', 'count', 'fraction', 'units'),
  [
    # Of 4 heads .5, 1, 1.5, 2, 2.5, 3, 3.5 and 4.
    *(('heads', 4, eighths / 8, units) for eighths, units in zip(range(1, 9), (1, 1, 2, 2, 3, 3, 4, 4), strict=True)),
    ('heads', 12, 0.375, 5),  # 4.5.
    ('heads', 5, 0.5, 3),  # 2.5.
    ('heads', 1, 0.125, 1),
    ('neurons', 128, 0.3125, 48),  # 2.5 keys of 16.
    ('neurons', 128, 0.4375, 64),  # 3.5 keys of 16.
    ('neurons', 100, 0.145, 15),  # 14.5 keys of one.
    ('neurons', 100, 0.285, 29),  # 28.5 keys of one; as floats less.
    ('neurons', 100, np.float32(0.5), 50),
    ('vocabulary', 10, 0.25, 3),
  ],
)
def test_halves_go_up(axis, count, fraction, units):
  assert unit_keys.whole_keys(_model(model_lib.Units(axis, 0, count)), axis, fraction) == units


@pytest.mark.parametrize('count', [1, 4, 6, 7, 12])
def test_a_larger_fraction_is_never_fewer_units(count):
  model = _model(model_lib.Units('heads', 0, count))
  found = [unit_keys.whole_keys(model, 'heads', step / 48) for step in range(1, 49)]
  assert found == sorted(found)
  assert found[-1] == count


@pytest.mark.parametrize(('fraction', 'units'), [(0.375, 2), (0.5, 2), (0.625, 3)])
def test_every_way_to_hold_a_part_of_heads_rounds_alike(fraction, units):
  model = _model(model_lib.Units('heads', 0, 4))
  assert policies.Width(fraction).units(model) == dict(heads=units)
  assert policies.Width(fraction, rolling=False).units(model) == dict(heads=units)
  assert selection.Selection(heads=fraction).counts(model) == dict(heads=units)
  tiers = devices.Devices((policies.Width(fraction), policies.All()), (0.5, 0.5))
  (layout, whole) = tiers.layouts(model)
  assert (layout.counts, whole.counts) == (dict(heads=units), dict(heads=4))
  assert client_costs.held_model(model, layout).variables[0].shape == (units,)


def test_any_number_of_rows_of_the_vocabulary_is_that_number():
  for total in (7, 100, 4003):
    model = _model(model_lib.Units('vocabulary', 0, total))
    for wanted in range(4, total + 1, max(1, total // 97)):
      assert selection.Selection(vocabulary=wanted).counts(model) == dict(vocabulary=wanted)


def test_all_of_the_axis_is_all_keys():
  assert unit_keys.whole_keys(_model(model_lib.Units('heads', 0, 7)), 'heads', 1.0) == 7


def test_a_model_without_the_axis_is_refused():
  with pytest.raises(ValueError, match='the model has no heads of which a client could hold a part'):
    unit_keys.num_units(_model(model_lib.Units('neurons', 0, 4)), 'heads')


def test_variables_that_disagree_are_refused():
  with pytest.raises(ValueError, match=r'variables have \[4, 6\] neurons'):
    unit_keys.num_units(_model(model_lib.Units('neurons', 0, 4), model_lib.Units('neurons', 0, 6)), 'neurons')
