"""A round of clients with different random neurons equals plain NumPy: every unit is the mean of those who held it."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import randomness
from optimizers import selection as selection_lib
from tests import tiny_task

pytestmark = pytest.mark.usefixtures('worker')

_NEURONS, _RATE, _SEED = 6, 0.1, 3
_TASK = tiny_task.two_layer_task(_NEURONS)
_SIZES = {1: 4, 2: 9}  # Examples of each client.
_SELECTION = selection_lib.Selection(neurons=0.5)
_BATCHES = local_batches.LocalBatches(batch_size=100)  # Whole-client batches, so that shuffling does not matter.


def _examples(client_key, num_examples):
  rng = np.random.default_rng(client_key)
  return rng.normal(size=[num_examples, 2]), rng.normal(size=num_examples)


def _neurons(client_key, round_number=1):
  run_seed = tf.constant([_SEED, 0], tf.int64)
  round_seed = tf.random.experimental.stateless_fold_in(run_seed, tf.constant(round_number, tf.int64))
  seed = randomness.client_seed(round_seed, tf.constant(client_key, tf.int64), randomness.Purpose.SELECTION)
  return np.asarray(_SELECTION.keys(_TASK, None, seed)['neurons'])


def _updates(weights, neurons, x, y):
  """What one step of gradient descent on the chosen neurons takes off, among zeros."""
  up, down, bias = (np.asarray(weight, np.float64) for weight in weights)
  hidden = x @ up[:, neurons]
  residual = hidden @ down[neurons] + bias - y
  d_up, d_down = np.zeros_like(up), np.zeros_like(down)
  d_up[:, neurons] = x.T @ np.outer(residual, down[neurons]) / len(y)
  d_down[neurons] = hidden.T @ residual / len(y)
  return _RATE * d_up, _RATE * d_down, _RATE * residual.mean()


@functools.cache
def _process():
  build = fed_opt.fed_avg(client_lr=_RATE, clip_norm=1e6)
  return build(_TASK, algorithms.Communication(selection=_SELECTION), _BATCHES, _SEED)


def _next(*others):
  """Returns the weights before and after a round, and its metrics."""
  state = _process().initialize()
  clients = [tiny_task.client(*_examples(key, size), key) for key, size in _SIZES.items()]
  result = _process().next(state, [*clients, *others])
  before, after = (
    [np.asarray(weight) for weight in each.global_model_weights.trainable] for each in (state, result.state)
  )
  return before, after, result.metrics


def test_every_unit_is_the_mean_of_the_clients_that_held_it():
  before, after, metrics = _next()
  held = {key: _neurons(key) for key in _SIZES}
  one, other = (set(neurons) for neurons in held.values())
  assert one != other
  sums, weights = [0.0, 0.0, 0.0], np.zeros([_NEURONS])
  for key, size in _SIZES.items():
    update = _updates(before, held[key], *_examples(key, size))
    sums = [total + size * each for total, each in zip(sums, update, strict=True)]
    weights[held[key]] += size
  weights = np.maximum(weights, 1e-9)  # What nobody held is 0 / anything.
  expected = [w - s / d for w, s, d in zip(before, sums, (weights, weights, sum(_SIZES.values())), strict=True)]
  for one, two in zip(after, expected, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
  nobody = sorted(set(range(_NEURONS)).difference(*held.values()))
  np.testing.assert_array_equal(after[0][:, nobody], before[0][:, nobody])
  np.testing.assert_array_equal(after[1][nobody], before[1][nobody])
  # 3 of 6 neurons of 2 + 1 values each, and the bias.
  assert metrics['distributor']['download_bytes'] == 2 * 4 * 10
  assert metrics['aggregator']['upload_bytes_values'] == 2 * 4 * 10
  # 3 variables in 1 byte; 3 of 6 keys, a bit for each of these, in 1 byte.
  assert metrics['aggregator']['upload_bytes_side'] == 2 * 2


def test_a_server_adam_steps_each_unit_as_a_variable_of_its_own():
  build = fed_opt.fed_adam(client_lr=_RATE, server_lr=0.1, beta_1=0.9, beta_2=0.99, epsilon=1e-3, clip_norm=1e6)
  process = build(_TASK, algorithms.Communication(selection=_SELECTION), _BATCHES, _SEED)
  state = process.initialize()
  weights = [np.asarray(weight, np.float64) for weight in state.global_model_weights.trainable]
  shapes = [(1, _NEURONS), (_NEURONS,), ()]  # Of the counts of steps: one a neuron, and one of the bias.
  mean, square = ([np.zeros_like(weight) for weight in weights] for _ in range(2))
  counts, seen = [np.zeros(shape) for shape in shapes], set()
  for round_number in range(1, 5):
    key = 1 + round_number % 2
    neurons = _neurons(key, round_number)
    seen.add(frozenset(neurons.tolist()))
    held = [np.isin(np.arange(_NEURONS), neurons)] * 2 + [np.array(True)]
    updates = _updates(weights, neurons, *_examples(key, _SIZES[key]))
    for index, update in enumerate(updates):
      mask = np.reshape(held[index], shapes[index])
      mean[index] = np.where(mask, 0.9 * mean[index] + 0.1 * update, mean[index])
      square[index] = np.where(mask, 0.99 * square[index] + 0.01 * update**2, square[index])
      counts[index] = counts[index] + mask
      step = np.maximum(counts[index], 1)
      rate = 0.1 * np.sqrt(1 - 0.99**step) / (1 - 0.9**step)
      weights[index] = weights[index] - mask * rate * mean[index] / (np.sqrt(square[index]) + 1e-3)
    state = process.next(state, [tiny_task.client(*_examples(key, _SIZES[key]), key)]).state
    for found, expected in zip(state.global_model_weights.trainable, weights, strict=True):
      np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
  assert len(seen) > 1


@pytest.mark.parametrize(
  ('x', 'y', 'dropped'),
  [
    pytest.param(np.zeros([0, 2]), np.zeros([0]), 0, id='empty'),
    pytest.param([[np.nan, 0.0]], [1.0], 1, id='not_a_number'),
  ],
)
def test_a_disturbing_client_changes_nothing(x, y, dropped):
  _, alone, metrics = _next()
  _, disturbed, disturbed_metrics = _next(tiny_task.client(x, y, client_key=9))
  for one, two in zip(alone, disturbed, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-6)
  assert disturbed_metrics['client_work']['dropped_updates'] == dropped
  # It receives its slices, and sends its presence bits and its weight.
  extra = {
    way: disturbed_metrics[slot][f'{way}_bytes'] - metrics[slot][f'{way}_bytes']
    for way, slot in (('download', 'distributor'), ('upload', 'aggregator'))
  }
  assert extra == {'download': 40, 'upload': 1 + 4}
