"""Local steps move a task's target as an exponential moving average, and only for tasks that have one."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from optimizers import devices
from optimizers import fed_opt
from optimizers import full_gradient
from optimizers import local_batches
from optimizers import local_training
from optimizers import policies
from tests import tiny_task

_RATE = 0.5


def _task(momentum, num_features):
  """The prediction should be above that of the target by y: half the mean squared error."""
  task = tiny_task.linear_task(num_features)

  def measure(outputs, batch):
    own, aim = outputs
    return task.measure(own - aim, batch)

  return dataclasses.replace(task, measure=measure, target_momentum=momentum)


def _local(task, num_steps, policy=None):
  optimizer = fed_opt.fed_avg(client_lr=_RATE, clip_norm=0).client_optimizer
  who = devices.Devices((policy or policies.All(),))
  return local_training.LocalTraining(task, optimizer, local_batches.LocalBatches(100, num_steps), who)


def _received(weights):
  weights = tuple(tf.constant(weight, tf.float32) for weight in weights)
  return local_training.Received(weights, tf.constant([1, 2], tf.int64), tf.constant(1, tf.int64), {})


def _train(local, weights, examples):
  return tf.function(local.__call__, autograph=False)(_received(weights), examples)


def _plain(weights, x, y, trained, momentum, num_steps):
  """In float64: the weights after some steps on all examples, and the sum of the losses on the way."""
  (kernel, bias), target = [np.array(weight, np.float64) for weight in weights], weights
  loss = 0.0
  for _ in range(num_steps):
    error = x @ kernel + bias - (x @ target[0] + target[1]) - y
    loss += 0.5 * np.sum(error**2)
    kernel = kernel - trained[0] * _RATE * error @ x / len(x)
    bias = bias - trained[1] * _RATE * error.mean()
    target = [momentum * t + (1 - momentum) * w for t, w in zip(target, (kernel, bias), strict=True)]
  return (kernel, bias), loss


@pytest.mark.parametrize(
  ('momentum', 'num_steps', 'weights', 'loss'),
  [
    # One example x = 1, y = 1; kernel k = 2 and bias b = 0, rate 0.5. The error of step 1 is 2 - 2 - 1 = -1: k = 2.5,
    # b = 0.5. Momentum 0.8: target 2 + 0.2 * 0.5 = 2.1 and 0.1; error 3 - 2.2 - 1 = -0.2: k = 2.6, b = 0.6.
    # Losses 0.5 * 1 + 0.5 * 0.04.
    pytest.param(0.8, 2, (2.6, 0.6), 0.52, id='two_steps'),
    # Target 2.1 + 0.2 * 0.5 = 2.2 and 0.2; error 3.2 - 2.4 - 1 = -0.2: k = 2.7, b = 0.7. Loss 0.52 + 0.5 * 0.04.
    pytest.param(0.8, 3, (2.7, 0.7), 0.54, id='three_steps'),
    # Momentum 0: the target is the model itself, and every error -1.
    pytest.param(0.0, 3, (3.5, 1.5), 1.5, id='no_momentum'),
  ],
)
def test_average_by_hand(momentum, num_steps, weights, loss):
  done = _train(_local(_task(momentum, 1), num_steps), ([2.0], 0.0), tiny_task.client([[1.0]], [1.0]))
  np.testing.assert_allclose([2.0 - done.delta[0][0], 0.0 - done.delta[1]], weights, rtol=1e-6, atol=1e-6)
  np.testing.assert_allclose(done.measures['loss_sum'], loss, rtol=1e-6, atol=1e-6)


# Known while tracing; and drawn by the client.
@pytest.mark.parametrize('policy', [policies.All(), policies.Bias(), policies.Random(fraction=0.5)])
@pytest.mark.parametrize('momentum', [0.0, 0.6, 0.99])
def test_equals_a_plain_loop(policy, momentum):
  rng = np.random.default_rng(3)
  weights, x, y = (rng.normal(size=4), 0.7), rng.normal(size=[5, 4]), rng.normal(size=5)
  done = _train(_local(_task(momentum, 4), 4, policy), weights, tiny_task.client(x, y))
  trained = done.trained.numpy()
  assert trained.any()
  expected, loss = _plain(weights, x, y, trained, momentum, num_steps=4)
  found = [weight - delta for weight, delta in zip(weights, done.delta, strict=True)]
  for one, two, flag, delta in zip(found, expected, trained, done.delta, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)
    assert np.any(delta) == flag
  np.testing.assert_allclose(done.measures['loss_sum'], loss, rtol=1e-5, atol=1e-6)


def test_a_round_begins_with_a_new_target():
  local, examples = _local(_task(0.8, 1), 2), tiny_task.client([[1.0]], [1.0])
  # The errors are those of the first round, wherever it begins.
  for weights in (([2.0], 0.0), ([2.6], 0.6)):
    for got, wanted in zip(_train(local, weights, examples).delta, [[-0.6], -0.6], strict=True):
      np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


def test_the_gradient_over_all_data_is_that_at_the_beginning_of_a_round():
  # The target is the model: the errors are -y, and the gradient of the kernel is -mean(x y) = -(1 * 3 + 2 * 1) / 2.
  each = local_batches.LocalBatches(1)
  batches = each.in_order(each.read(tiny_task.client([[1.0], [2.0]], [3.0, 1.0])))
  weights, seed = (tf.constant([5.0]), tf.constant(1.0)), tf.constant([1, 2], tf.int64)
  found = full_gradient.full_gradient(lambda step: _task(0.8, 1), batches, weights, [True, False], seed)
  for got, wanted in zip(found, [[-2.5], 0.0], strict=True):
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
  ('policy', 'num_averages'),
  [
    # The first weights, then averages of those that are trained.
    pytest.param(policies.All(), 2, id='all'),
    pytest.param(policies.Bias(), 1, id='bias'),
  ],
)
def test_only_what_is_trained_has_an_average(policy, num_averages):
  def num_carried(task):
    examples = tf.data.DatasetSpec(task.example_spec)
    traced = tf.function(_local(task, 2, policy).__call__, autograph=False)
    graph = traced.get_concrete_function(_received(([2.0], 0.0)), examples).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    (loop,) = (node for node in nodes if node.op == 'StatelessWhile')
    return len(loop.attr['T'].list.type)

  without = dataclasses.replace(tiny_task.linear_task(1), target_momentum=None)
  aimed = dataclasses.replace(without, measure=_task(0.8, 1).measure, target_momentum=0.8)
  assert num_carried(aimed) - num_carried(without) == num_averages
