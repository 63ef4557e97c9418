"""Keys cover every unit once, and numbers of units are whole keys."""

from absl.testing import parameterized
import numpy as np
import tensorflow as tf

from models import model as model_lib
from optimizers import unit_keys

_AXES = ('vocabulary', 'neurons', 'heads')


def _model(*units):
  return model_lib.Model(
    tuple(
      model_lib.Variable(f'block_0/{index}', (each.count,), model_lib.zeros, each) for index, each in enumerate(units)
    ),
    apply=lambda weights, inputs, seed: inputs,
  )


class UnitKeysTest(parameterized.TestCase):
  @parameterized.product(axis=_AXES, count=(1, 6, 48, 64, 4000))
  def test_keys_stand_for_every_unit_once(self, axis, count):
    model = _model(model_lib.Units(axis, 0, count))
    keys = tf.range(unit_keys.num_keys(model, axis))
    np.testing.assert_array_equal(unit_keys.units_of(model, axis, keys), np.arange(count))

  def test_units_of_a_key_are_neighbours(self):
    model = _model(model_lib.Units('neurons', 0, 64))
    size = unit_keys.units_per_key(model, 'neurons')
    self.assertGreater(size, 1)
    units = unit_keys.units_of(model, 'neurons', tf.constant([2, 0]))
    np.testing.assert_array_equal(units, [*range(2 * size, 3 * size), *range(size)])

  def test_an_axis_that_groups_do_not_divide_has_one_unit_a_key(self):
    self.assertEqual(unit_keys.units_per_key(_model(model_lib.Units('neurons', 0, 50)), 'neurons'), 1)

  @parameterized.product(axis=_AXES, fraction=(1e-9, 0.1, 0.5, 0.99, 1.0), count=(1, 6, 64))
  def test_whole_keys_are_the_nearest_and_at_least_one(self, axis, fraction, count):
    model = _model(model_lib.Units(axis, 0, count))
    size, units = unit_keys.units_per_key(model, axis), unit_keys.whole_keys(model, axis, fraction)
    self.assertEqual(units % size, 0)
    self.assertBetween(units, size, count)
    self.assertTrue(units == size or abs(units - fraction * count) <= size / 2)

  def test_all_of_the_axis_is_all_keys(self):
    self.assertEqual(unit_keys.whole_keys(_model(model_lib.Units('heads', 0, 7)), 'heads', 1.0), 7)

  def test_a_model_without_the_axis_is_refused(self):
    with self.assertRaisesRegex(ValueError, 'the model has no heads of which a client could hold a part'):
      unit_keys.num_units(_model(model_lib.Units('neurons', 0, 4)), 'heads')

  def test_variables_that_disagree_are_refused(self):
    with self.assertRaisesRegex(ValueError, r'variables have \[4, 6\] neurons'):
      unit_keys.num_units(_model(model_lib.Units('neurons', 0, 4), model_lib.Units('neurons', 0, 6)), 'neurons')
