"""The server's step: per variable what TFF's optimizer does on all, and nothing at all for what nobody trained."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from models import model as model_lib
from optimizers import finalizer
from optimizers import schedules

pytestmark = pytest.mark.usefixtures('worker')

_WEIGHTS = (np.array([1.0, 2.0], np.float32), np.array([[3.0]], np.float32))
_DELTAS = (np.array([0.5, -0.5], np.float32), np.array([[0.25]], np.float32))
_ADAM = tff.learning.optimizers.build_adam(0.1, epsilon=1e-3)


_SERVERS = {
  'sgd': tff.learning.optimizers.build_sgdm(0.1),
  'momentum': tff.learning.optimizers.build_sgdm(0.1, 0.9),
  'adagrad': tff.learning.optimizers.build_adagrad(0.1),
  'adam': _ADAM,
  'adamw': tff.learning.optimizers.build_adamw(0.1),
  'rmsprop': tff.learning.optimizers.build_rmsprop(0.1),
  'yogi': tff.learning.optimizers.build_yogi(0.1),
}


def _of(optimizer, weights, units, schedule=schedules.CONSTANT):
  """A process over given weights, all of them trainable."""
  tensors = tuple((np.float32, weight.shape) for weight in weights)
  weights_type = tff.types.to_type(tff.learning.models.ModelWeights(tensors, ()))
  return finalizer.build_finalizer(optimizer, weights_type, [True] * len(weights), schedule, units)


def _of_columns(state, columns):
  """The slots of some columns of the only variable."""
  tensors = tf.nest.flatten(state)
  return [np.broadcast_to(tensor, [3, 8])[:, columns] for tensor in tensors if np.ndim(tensor)]


def _process(trainable=(True, True)):
  @tff.tensorflow.computation
  def weights():
    return tff.learning.models.ModelWeights(tuple(tf.constant(weight) for weight in _WEIGHTS), ())

  return finalizer.build_finalizer(_ADAM, weights.type_signature.result, trainable)


def _step(process, state, weights, deltas, trained):
  update = collections.OrderedDict(delta=deltas, trained=np.array(trained))
  return process.next(state, tff.learning.models.ModelWeights(weights, ()), update)


def test_three_steps_equal_adam_in_numpy():
  process = _process()
  state, weights = process.initialize(), _WEIGHTS
  expected = [weight.astype(np.float64) for weight in _WEIGHTS]
  mean, variance = [0.0, 0.0], [0.0, 0.0]
  for step in range(1, 4):
    output = _step(process, state, weights, _DELTAS, [True, True])
    state, weights = output.state, output.result.trainable
    for index, delta in enumerate(_DELTAS):
      mean[index] = 0.9 * mean[index] + 0.1 * delta
      variance[index] = 0.999 * variance[index] + 0.001 * delta**2
      rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
      expected[index] -= rate * mean[index] / (np.sqrt(variance[index]) + 1e-3)
  for found, wanted in zip(weights, expected, strict=True):
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_a_variable_that_nobody_trained_skips_the_round():
  process = _process()
  first = _step(process, process.initialize(), _WEIGHTS, _DELTAS, [True, True])
  weights = first.result.trainable
  second = _step(process, first.state, weights, (_DELTAS[0], np.zeros([1, 1], np.float32)), [True, False])
  # Adam's momentum would move it.
  np.testing.assert_array_equal(second.result.trainable[1], weights[1])
  tf.nest.map_structure(np.testing.assert_array_equal, second.state[1], first.state[1])
  assert not np.array_equal(second.result.trainable[0], weights[0])


def test_a_variable_that_is_never_trained_has_no_state():
  process = _process(trainable=(True, False))
  state = process.initialize()
  assert tf.nest.flatten(state[1]) == []
  output = _step(process, state, _WEIGHTS, _DELTAS, [True, True])
  np.testing.assert_array_equal(output.result.trainable[1], _WEIGHTS[1])


def test_golden_of_momentum():
  # v <- 0.5 v + delta, w <- w - 0.25 v, of units that some client held: three rows.
  weight = np.array([[8.0], [8.0], [8.0]], np.float32)
  process = _of(tff.learning.optimizers.build_sgdm(0.25, 0.5), [weight], {0: model_lib.Units('vocabulary', 0, 3)})
  state, weights = process.initialize(), (weight,)
  for held, expected in (
    ([True, True, False], [[7.0], [7.0], [8.0]]),  # v = 4, 4, 0.
    ([True, False, False], [[5.5], [7.0], [8.0]]),  # v = 2 + 4 = 6; the second row's 4 waits, ...
    ([False, True, True], [[5.5], [5.5], [7.0]]),  # ... and is 2 + 4 = 6 here; the third row's first is 4.
  ):
    delta = np.where(np.array(held)[:, np.newaxis], np.float32(4.0), np.float32(0.0))
    update = collections.OrderedDict(delta=(delta,), trained=np.array([True]), units=(np.array(held),))
    output = process.next(state, tff.learning.models.ModelWeights(weights, ()), update)
    state, weights = output.state, output.result.trainable
    np.testing.assert_array_equal(weights[0], expected)


@pytest.mark.parametrize('schedule', ['constant', 'exponential'])
@pytest.mark.parametrize('server', _SERVERS)
def test_a_unit_is_a_variable_of_its_own(server, schedule):
  # Columns 0, 1 and 4, 5 are unit 0, the others unit 1: two copies of two elements.
  units = model_lib.Units('neurons', 1, 2, copies=2)
  columns = ([0, 1, 4, 5], [2, 3, 6, 7])
  rng = np.random.default_rng(1)
  whole = rng.normal(size=[3, 8]).astype(np.float32)
  schedule = schedules.constant() if schedule == 'constant' else schedules.exponential(decay=0.5, rounds=2)
  joined = _of(_SERVERS[server], [whole], {0: units}, schedule)
  apart = _of(_SERVERS[server], [whole[:, each] for each in columns], {}, schedule)
  states, weights = [joined.initialize(), apart.initialize()], [(whole,), tuple(whole[:, each] for each in columns)]
  for held in ([True, False], [True, True], [False, True], [False, False], [True, True]):
    delta = rng.normal(size=[3, 8]).astype(np.float32)
    for unit in np.flatnonzero(~np.array(held)):
      delta[:, columns[unit]] = 0.0
    updates = [
      dict(delta=(delta,), trained=np.array([any(held)]), units=(np.array(held),)),
      dict(delta=tuple(delta[:, each] for each in columns), trained=np.array(held)),
    ]
    before = weights[0], states[0]
    for index, process in enumerate((joined, apart)):
      given = tff.learning.models.ModelWeights(weights[index], ())
      output = process.next(states[index], given, collections.OrderedDict(updates[index]))
      states[index], weights[index] = output.state, output.result.trainable
    for each, alone in zip(columns, weights[1], strict=True):
      np.testing.assert_allclose(weights[0][0][:, each], alone, rtol=1e-5)
    # What nobody held is the same bit for bit, and so is its state.
    for each in (columns[unit] for unit in np.flatnonzero(~np.array(held))):
      np.testing.assert_array_equal(weights[0][0][:, each], before[0][0][:, each])
      for one, two in zip(_of_columns(states[0], each), _of_columns(before[1], each), strict=True):
        np.testing.assert_array_equal(one, two)


def test_variables_without_units_have_the_state_that_they_have_alone():
  weights = [np.ones([4], np.float32), np.ones([4], np.float32)]
  state = _of(_ADAM, weights, {1: model_lib.Units('neurons', 0, 4)}).initialize()
  assert np.shape(state[0]['step']) == ()
  np.testing.assert_array_equal(state[1]['step'], np.zeros([4]))
  assert np.shape(state[1]['learning_rate']) == ()


@pytest.mark.parametrize(
  'optimizer',
  [
    tff.learning.optimizers.schedule_learning_rate(tff.learning.optimizers.build_sgdm(0.1), lambda number: 0.1),
    tff.learning.optimizers.build_adafactor(learning_rate=0.1),
  ],
  ids=['scheduled', 'adafactor'],
)
def test_units_refuses_an_optimizer_whose_state_has_no_units(optimizer):
  with pytest.raises(ValueError, match='neither a number nor of the shape of a variable') as refusal:
    _of(optimizer, [np.ones([4, 2], np.float32)], {0: model_lib.Units('neurons', 0, 4)})
  assert '\n' not in str(refusal.value)
