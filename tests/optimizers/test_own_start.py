"""Weights that each client draws for itself in the first round, and clients whose updates count alike."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import model as model_lib
from optimizers import algorithms
from optimizers import devices
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import local_training
from optimizers import policies
from optimizers import trainable
from tests import tiny_task

pytestmark = pytest.mark.usefixtures('worker')

_KEYS = (11, 12, 13)
_BATCHES = local_batches.LocalBatches(batch_size=10)
_ALL = policies.All()


def _task(drawn: frozenset[str] = frozenset({'block_0/kernel'}), num_features: int = 4000):
  """Zero initial weights as far as the server goes; a client that draws its own has them of deviation 0.5."""
  task = tiny_task.linear_task(num_features)
  kernel = dataclasses.replace(task.model.variables[0], initializer=model_lib.normal(0.5))
  model = dataclasses.replace(task.model, variables=(kernel, task.model.variables[1]), drawn_by_clients=drawn)
  return dataclasses.replace(task, model=model)


def _trained(
  task, client_key: int, round_number: int, seed: int = 5, policy: trainable.Policy = _ALL
) -> list[np.ndarray]:
  """Weights of a client after steps too small to see, having received ones."""
  optimizer = fed_opt.fed_avg(client_lr=1e-12).client_optimizer
  local = local_training.LocalTraining(task, optimizer, _BATCHES, devices=devices.Devices((policy,), (1.0,)))
  received = local_training.Received(
    tuple(tf.ones(variable.shape) for variable in task.model.variables),
    tf.constant([seed, seed], tf.int64),
    tf.constant(round_number, tf.int64),
    units={},
  )
  examples = tiny_task.client(np.zeros([3, 4000]), np.ones(3), client_key)
  return [weight.numpy() for weight in local.trained_weights(received, examples)]


def test_a_client_starts_from_its_own_draw_in_the_first_round_only():
  kernel, bias = _trained(_task(), client_key=11, round_number=1)
  assert bias == 1.0
  assert abs(kernel.mean()) < 0.05 and kernel.std() == pytest.approx(0.5, rel=0.05)
  np.testing.assert_array_equal(_trained(_task(), client_key=11, round_number=1)[0], kernel)
  np.testing.assert_array_equal(_trained(_task(), client_key=11, round_number=2)[0], np.ones(4000))
  np.testing.assert_array_equal(_trained(_task(frozenset()), client_key=11, round_number=1)[0], np.ones(4000))


def test_what_a_client_does_not_train_it_takes_as_it_was_received():
  kernel, _ = _trained(_task(), client_key=11, round_number=1, policy=policies.Bias())
  np.testing.assert_array_equal(kernel, np.ones(4000))


def test_clients_draw_differently():
  kernels = [_trained(_task(), key, round_number=1)[0] for key in _KEYS]
  correlations = np.corrcoef(kernels)[np.triu_indices(3, 1)]
  assert np.abs(correlations).max() < 0.1


def test_the_server_gets_the_mean_of_what_the_clients_drew():
  process = fed_opt.fed_avg(client_lr=1e-12)(_task(), algorithms.Communication(), _BATCHES, seed=0)
  clients = [tiny_task.client(np.zeros([1, 4000]), [1.0], key) for key in _KEYS]
  first = process.next(process.initialize(), clients)
  kernel = first.state.global_model_weights.trainable[0]
  # The mean of three independent draws of deviation 0.5 has deviation 0.5 / sqrt(3) = 0.289.
  assert np.std(kernel) == pytest.approx(0.289, rel=0.06)
  second = process.next(first.state, clients)
  np.testing.assert_allclose(second.state.global_model_weights.trainable[0], kernel, atol=1e-6)


@pytest.mark.parametrize(('client_weighting', 'bias'), [('examples', 0.7), ('uniform', 0.6)])
def test_updates_count_alike_or_by_their_examples(client_weighting, bias):
  # With inputs of zero the prediction is the bias b = 0, and a step of rate 0.1 moves it by 0.1 times the mean of y:
  # a client with y = 4, 8, 12 by 0.8, one with y = 4 by 0.4. Means: (3 x 0.8 + 0.4) / 4 = 0.7 and (0.8 + 0.4) / 2 = 0.6.
  process = fed_opt.fed_avg(client_lr=0.1, clip_norm=0)(
    tiny_task.linear_task(), algorithms.Communication(), _BATCHES, seed=0, client_weighting=client_weighting
  )
  clients = [tiny_task.client(np.zeros([3, 2]), [4, 8, 12], 1), tiny_task.client(np.zeros([1, 2]), [4], 2)]
  output = process.next(process.initialize(), clients)
  assert output.state.global_model_weights.trainable[1] == pytest.approx(bias, rel=1e-5)


def test_an_unknown_weighting_is_refused():
  with pytest.raises(ValueError, match="client_weighting must be one of examples, uniform, not 'none'"):
    fed_opt.fed_avg()(tiny_task.linear_task(), algorithms.Communication(), _BATCHES, 0, client_weighting='none')
