"""Depth dropout against SGD on a residual network in plain NumPy, whose blocks are left out by the same draws."""

import numpy as np
import pytest
import tensorflow as tf

from models import bert
from models import conformer
from models import image_task
from models import transformer
from models import vit
from optimizers import depth_dropout
from optimizers import devices
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import local_training
from optimizers import policies
from tests import tiny_task

_KEY, _PURPOSE, _RATE, _LEARNING_RATE = 7, 8, 0.5, 0.1
_ROUND_SEED = (3, 9)
_BLOCKS = 4
_TASK = tiny_task.residual_task(_BLOCKS)
_X, _Y = np.random.default_rng(0).normal(size=[6, 2]), np.arange(6.0)


def _fold_in(seed, number):
  return tf.random.experimental.stateless_fold_in(seed, tf.constant(number, tf.int64))


def _kept(per, step, key=_KEY):
  """The draws as the module's docstring has them: bool for each of the three frozen blocks."""
  seed = tf.constant(_ROUND_SEED, tf.int64)
  if per != 'round':
    seed = _fold_in(seed, key)
  seed = _fold_in(seed, _PURPOSE)
  if per == 'step':
    seed = _fold_in(seed, step)
  return (tf.random.stateless_uniform([_BLOCKS - 1], seed) >= _RATE).numpy()


def _trained(policy, key=_KEY):
  """Weights of a client after three steps of all its examples."""
  local = local_training.LocalTraining(
    _TASK,
    fed_opt.fed_avg(client_lr=_LEARNING_RATE, clip_norm=0).client_optimizer,
    local_batches.LocalBatches(batch_size=6, num_epochs=3),
    devices.Devices((policy,), (1.0,)),
  )
  received = local_training.Received(
    _TASK.model.initial_weights(1), tf.constant(_ROUND_SEED, tf.int64), tf.constant(1, tf.int64), {}
  )
  run = tf.function(local.trained_weights, autograph=False)
  return [weight.numpy() for weight in run(received, tiny_task.client(_X, _Y, key))]


def _oracle(kept_of_step):
  """Trains the last block and the bias by hand; kept_of_step: from a step to a bool for each of the others."""
  weights = [np.array(weight, np.float64) for weight in _TASK.model.initial_weights(1)]
  for step in range(3):
    x, y = _X, _Y
    for block in range(_BLOCKS - 1):
      if kept_of_step(step)[block]:
        x = x + x @ weights[2 * block] + weights[2 * block + 1]
    error = (x + x @ weights[-3] + weights[-2]).sum(axis=1) + weights[-1] - y
    gradients = (x.T @ np.stack([error, error], axis=1) / 6, np.full(2, error.mean()), error.mean())
    for index, gradient in zip((-3, -2, -1), gradients, strict=True):
      weights[index] = weights[index] - _LEARNING_RATE * gradient
  return weights


@pytest.mark.parametrize('per', ['step', 'client', 'round'])
def test_depth_dropout_trains_on_what_is_left(per):
  found = _trained(policies.Layerwise(1, _RATE, per))
  expected = _oracle(lambda step: _kept(per, step))
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
  whole = _trained(policies.Layerwise(1))
  for one, other in zip(whole, _oracle(lambda step: [True] * 3), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
  assert np.abs(found[-3] - whole[-3]).max() > 1e-3


def test_depth_dropout_draws_by_step_client_or_round():
  keys = range(20)
  assert len({tuple(_kept('client', 0, key)) for key in keys}) > 1
  of_round = [tuple(depth_dropout.DepthDropout(_RATE, 'round').kept_in_round(3, *_drawn(key)).numpy()) for key in keys]
  assert set(of_round) == {tuple(_kept('round', 0))}
  of_client = [depth_dropout.DepthDropout(_RATE, 'client').kept_in_round(3, *_drawn(key)).numpy() for key in keys]
  np.testing.assert_array_equal(of_client, [_kept('client', 0, key) for key in keys])


def test_a_client_whose_steps_draw_needs_all_blocks():
  assert depth_dropout.DepthDropout(_RATE, 'step').kept_in_round(3, *_drawn(_KEY)).numpy().all()


def test_drops_at_its_rate():
  kept = depth_dropout.DepthDropout(0.3).draw(10_000, tf.constant([1, 2], tf.int64)).numpy()
  assert abs(kept.mean() - 0.7) < 0.02  # Four standard deviations: 4 sqrt(.3 .7 / 10,000) = .018.


def test_depth_dropout_knows_the_frozen_blocks():
  flags = [True, False, False, False, False, tf.constant(False), False, False, True]
  assert depth_dropout.frozen_blocks(_TASK, flags) == ['block_1', 'block_3']


@pytest.mark.parametrize('rate', [1.0, -0.1, True, 'half'])
def test_depth_dropout_refuses_a_rate_out_of_range(rate):
  with pytest.raises(ValueError, match=r'drop_rate must lie in \[0, 1\), not'):
    policies.Layerwise(1, drop_rate=rate)


def test_depth_dropout_refuses_an_unknown_granularity():
  with pytest.raises(ValueError, match="drop_per must be one of step, client, round, not 'batch'"):
    policies.Layerwise(1, drop_rate=0.5, drop_per='batch')


def _drawn(key):
  return tf.constant(_ROUND_SEED, tf.int64), tf.constant(key, tf.int64)


_DIMENSIONS = dict(width=8, mlp_width=16, num_layers=3, num_heads=2)
_TOKENS = np.random.default_rng(1).integers(4, 30, [2, 6]).astype(np.int32)
_IMAGES = np.random.default_rng(1).uniform(-1, 1, [2, 4, 4, 1]).astype(np.float32)


@pytest.mark.parametrize(
  ('model', 'inputs'),
  [
    pytest.param(transformer.transformer(**_DIMENSIONS)(30), _TOKENS, id='transformer'),
    pytest.param(conformer.conformer(**_DIMENSIONS, kernel_size=3)(30), _TOKENS, id='conformer'),
    pytest.param(bert.bert(**_DIMENSIONS).classifier(30, 3), _TOKENS, id='bert'),
    pytest.param(vit.vit(**_DIMENSIONS, patch_size=2).classifier((4, 4, 1), 3), _IMAGES, id='vit'),
  ],
)
def test_a_dropped_block_is_the_identity(model, inputs):
  generator = np.random.default_rng(0)
  weights = {each.name: tf.constant(generator.normal(size=each.shape), tf.float32) for each in model.variables}
  without = {name: weight for name, weight in weights.items() if not name.startswith('block_2/')}
  task = image_task.build(model, (4, 4, 1))  # Any task: only its model is used.
  expected = model.apply(without, tf.constant(inputs), None).numpy()
  for flags in ([True, True, False], tf.constant([True, True, False])):
    dropping = depth_dropout.partly(task, ['block_0', 'block_1', 'block_2'], flags).model
    run = tf.function(dropping.apply, autograph=False)
    np.testing.assert_allclose(run(weights, tf.constant(inputs), None).numpy(), expected, atol=1e-4)
  assert np.abs(model.apply(weights, tf.constant(inputs), None).numpy() - expected).max() > 0.1
