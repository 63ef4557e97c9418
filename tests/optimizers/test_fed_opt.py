"""Averaging algorithms agree with plain NumPy, FedProx up to its sign with stock TFF, and a bad argument is refused in one line."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from models import functional
from optimizers import algorithms
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import local_training
from optimizers import trainable
from tests import tiny_task
from tests.optimizers import plain_fed_avg

_TASK = tiny_task.linear_task()
_PLAIN = algorithms.Communication()
_WHOLE = local_batches.LocalBatches(batch_size=100)  # Whole-client batches, so that shuffling does not matter.


class _Momentum:
  def __init__(self, learning_rate, momentum):
    self.learning_rate, self.momentum, self.velocity = learning_rate, momentum, 0.0

  def __call__(self, value, update):
    self.velocity = self.momentum * self.velocity + update
    return value - self.learning_rate * self.velocity


class _Adagrad:
  def __init__(self, learning_rate, initial, epsilon):
    self.learning_rate, self.epsilon, self.squares = learning_rate, epsilon, initial

  def __call__(self, value, update):
    self.squares = self.squares + update**2
    return value - self.learning_rate * update / np.sqrt(self.squares + self.epsilon)


class _Yogi:
  """As in Zaheer et al. 2018, with the bias correction of Adam."""

  def __init__(self, learning_rate, beta_1, beta_2, epsilon, initial):
    self.learning_rate, self.beta_1, self.beta_2, self.epsilon = learning_rate, beta_1, beta_2, epsilon
    self.m, self.v, self.step = 0.0, initial, 0

  def __call__(self, value, update):
    self.step += 1
    self.m = self.beta_1 * self.m + (1 - self.beta_1) * update
    self.v = self.v - (1 - self.beta_2) * np.sign(self.v - update**2) * update**2
    rate = self.learning_rate * np.sqrt(1 - self.beta_2**self.step) / (1 - self.beta_1**self.step)
    return value - rate * self.m / (np.sqrt(self.v) + self.epsilon)


def _clients(scale=1.0):
  rng = np.random.default_rng(0)
  return [(scale * rng.normal(size=[n, 2]), scale * rng.normal(size=n)) for n in (5, 1, 8)]


def _datasets(clients):
  return [tiny_task.client(x, y, client_key=k + 1) for k, (x, y) in enumerate(clients)]


def _trained(algorithm, num_rounds, clients, batches=_WHOLE):
  """Returns the weights before and after a few rounds, in float64."""
  process = algorithm(_TASK, _PLAIN, batches, 3)
  state = process.initialize()
  before = [np.asarray(weight, np.float64) for weight in state.global_model_weights.trainable]
  for _ in range(num_rounds):
    state = process.next(state, _datasets(clients)).state
  return before, state.global_model_weights.trainable


def _prox_round(w, b, clients, learning_rate, mu, clip_norm):
  """The weighted mean update of clients that do two full-batch steps each, pulled to where they started."""
  total, mean_w, mean_b = 0, 0.0, 0.0
  for x, y in clients:
    u, c = w, b
    for _ in range(2):
      gu, gc = plain_fed_avg.gradient(u, c, x, y)
      gu, gc = gu + mu * (u - w), gc + mu * (c - b)
      scale = min(1.0, clip_norm / np.sqrt((gu**2).sum() + gc**2))
      u, c = u - learning_rate * scale * gu, c - learning_rate * scale * gc
    total, mean_w, mean_b = total + len(y), mean_w + len(y) * (w - u), mean_b + len(y) * (b - c)
  return mean_w / total, mean_b / total


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  ('algorithm', 'build_server'),
  [
    pytest.param(
      fed_opt.fed_avgm(client_lr=0.1, server_lr=0.7, momentum=0.8, clip_norm=0),
      lambda: _Momentum(0.7, 0.8),
      id='fed_avgm',
    ),
    pytest.param(
      fed_opt.fed_adagrad(client_lr=0.1, server_lr=0.2, initial_accumulator=0.01, epsilon=0.003, clip_norm=0),
      lambda: _Adagrad(0.2, 0.01, 0.003),
      id='fed_adagrad',
    ),
    pytest.param(
      fed_opt.fed_yogi(
        client_lr=0.1, server_lr=0.2, beta_1=0.8, beta_2=0.9, epsilon=0.01, initial_accumulator=0.001, clip_norm=0
      ),
      lambda: _Yogi(0.2, 0.8, 0.9, 0.01, 0.001),
      id='fed_yogi',
    ),
  ],
)
def test_two_rounds_equal_plain_numpy(algorithm, build_server):
  clients = _clients()
  (w, b), (found_w, found_b) = _trained(algorithm, 2, clients)
  step_w, step_b = build_server(), build_server()
  for _ in range(2):
    dw, db = plain_fed_avg.mean_update(w, b, [[c] for c in clients], 0.1)
    w, b = step_w(w, dw), step_b(b, db)
  np.testing.assert_allclose(found_w, w, rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(found_b, b, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures('worker')
def test_clip_norm_0_does_not_clip():
  clients = _clients(scale=30.0)  # Gradients of a norm of hundreds.
  (w, b), (found_w, found_b) = _trained(fed_opt.fed_avg(client_lr=0.001, clip_norm=0), 1, clients)
  dw, db = plain_fed_avg.mean_update(w, b, [[c] for c in clients], 0.001)
  np.testing.assert_allclose(found_w, w - dw, rtol=1e-4)
  np.testing.assert_allclose(found_b, b - db, rtol=1e-4)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('clip_norm', [pytest.param(0.0, id='without_clipping'), pytest.param(0.4, id='with_clipping')])
def test_fed_prox_equals_plain_numpy(clip_norm):
  clients = _clients()
  algorithm = fed_opt.fed_prox(
    mu=2.0, client_lr=0.2, server_lr=0.3, beta_1=0.8, beta_2=0.9, epsilon=0.5, clip_norm=clip_norm
  )
  (w, b), (found_w, found_b) = _trained(algorithm, 1, clients, local_batches.LocalBatches(100, num_epochs=2))
  dw, db = _prox_round(w, b, clients, 0.2, 2.0, clip_norm or np.inf)
  np.testing.assert_allclose(found_w, plain_fed_avg.Adam(0.3, 0.8, 0.9, 0.5)(w, dw), rtol=1e-5)
  np.testing.assert_allclose(found_b, plain_fed_avg.Adam(0.3, 0.8, 0.9, 0.5)(b, db), rtol=1e-5)


@pytest.mark.usefixtures('worker')
def test_fed_prox_equals_stock_tff_but_for_the_sign():
  # TFF 0.87 adds mu (received - w) to the gradient, which pushes clients away; the paper's term has the other sign.
  clients = _clients()
  algorithm = fed_opt.fed_prox(mu=2.0, client_lr=0.2, server_lr=0.3, epsilon=0.5, clip_norm=0)
  optimizer = dataclasses.replace(algorithm.client_optimizer, proximal=-2.0)
  algorithm = dataclasses.replace(algorithm, client_optimizer=optimizer)
  _, found = _trained(algorithm, 2, clients, local_batches.LocalBatches(100, num_epochs=2))
  stock = tff.learning.algorithms.build_weighted_fed_prox(
    functional.functional_model(_TASK, seed=3),
    proximal_strength=2.0,
    client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.2),
    server_optimizer_fn=tff.learning.optimizers.build_adam(0.3, 0.9, 0.99, 0.5),
    client_weighting=tff.learning.ClientWeighting.NUM_EXAMPLES,
  )
  state = stock.initialize()
  for _ in range(2):
    data = [dataset.batch(100).repeat(2).map(lambda batch: (batch, batch)) for dataset in _datasets(clients)]
    state = stock.next(state, data).state
  for one, two in zip(found, state.global_model_weights.trainable, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures('worker')
def test_fed_prox_of_mu_0_is_fed_adam_to_the_bit():
  batches = local_batches.LocalBatches(batch_size=3, num_epochs=2)
  arguments = dict(client_lr=0.2, server_lr=0.3, beta_1=0.8, beta_2=0.9, epsilon=0.01, clip_norm=0.5)
  _, prox = _trained(fed_opt.fed_prox(mu=0, **arguments), 2, _clients(), batches)
  _, adam = _trained(fed_opt.fed_adam(**arguments), 2, _clients(), batches)
  for one, two in zip(prox, adam, strict=True):
    np.testing.assert_array_equal(one, two)


class _Chosen(trainable.Policy):
  """Answers with flags that are made when the graph is traced."""

  def __init__(self, flags):
    self._flags = flags

  def choose(self, model, seeds):
    return [flag() for flag in self._flags]


def _delta(flags):
  optimizer = fed_opt.fed_prox(mu=2.0, client_lr=0.2, clip_norm=0.4).client_optimizer
  local = local_training.LocalTraining(
    _TASK, optimizer, local_batches.LocalBatches(100, num_epochs=2), devices_lib.Devices((_Chosen(flags),))
  )
  weights = (tf.constant([0.5, -1.0]), tf.constant(0.25))
  received = local_training.Received(weights, tf.constant([1, 2], tf.int64), tf.constant(1, tf.int64), {})
  ((x, y), *_) = _clients()
  return [
    d.numpy()
    for d in tf.function(local.__call__, autograph=False)(received, tiny_task.client(x, y, client_key=1)).delta
  ]


def test_a_variable_that_turns_out_not_trained_gets_no_pull():
  delta_w, delta_b = _delta([lambda: tf.constant(False), lambda: True])
  np.testing.assert_array_equal(delta_w, [0.0, 0.0])
  ((x, y), *_) = _clients()
  w, start, b = np.array([0.5, -1.0]), 0.25, 0.25
  for _ in range(2):
    g = plain_fed_avg.gradient(w, b, x, y)[1] + 2.0 * (b - start)
    b -= 0.2 * g * min(1.0, 0.4 / abs(g))
  np.testing.assert_allclose(delta_b, start - b, rtol=1e-5)


def test_a_variable_that_turns_out_trained_is_like_one_that_is_known_to_be():
  drawn = _delta([lambda: tf.constant(True), lambda: True])
  for one, two in zip(drawn, _delta([lambda: True, lambda: True]), strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-6)


@pytest.mark.parametrize(
  ('builder', 'arguments', 'message'),
  [
    (fed_opt.fed_prox, dict(mu=-0.1), 'mu must be 0 or a positive number, not -0.1'),
    (fed_opt.fed_prox, dict(mu=float('inf')), 'mu must be 0 or a positive number, not inf'),
    (fed_opt.fed_avgm, dict(momentum=1.0), r'momentum must lie in \[0, 1\), not 1.0'),
    (fed_opt.fed_avgm, dict(server_lr=0), 'server_lr must be a positive number, not 0'),
    (fed_opt.fed_adagrad, dict(initial_accumulator=-1), 'initial_accumulator must be 0 or a positive number, not -1'),
    (fed_opt.fed_adagrad, dict(epsilon=0.0), 'epsilon must be a positive number, not 0.0'),
    (fed_opt.fed_yogi, dict(beta_2=1), r'beta_2 must lie in \[0, 1\), not 1'),
    (fed_opt.fed_yogi, dict(client_lr=True), 'client_lr must be a positive number, not True'),
    (fed_opt.fed_avg, dict(clip_norm=-1), 'clip_norm must be 0 or a positive number, not -1'),
    (fed_opt.fed_avg, dict(clip_norm=None), 'clip_norm must be 0 or a positive number, not None'),
    (fed_opt.fed_adam, dict(client_schedule=0.5), 'client_schedule must be a schedule such as'),
  ],
)
def test_refuses(builder, arguments, message):
  with pytest.raises(ValueError, match=message):
    builder(**arguments)
