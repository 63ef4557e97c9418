"""Adam at the clients agrees with plain NumPy, keeps no moments between rounds, and is counted in a client's memory."""

import numpy as np
import pytest

from optimizers import algorithms
from optimizers import client_costs
from optimizers import local_adam
from optimizers import local_batches
from tests import tiny_task
from tests.optimizers import plain_fed_avg

_TASK = tiny_task.linear_task()
_TWO_EPOCHS = local_batches.LocalBatches(batch_size=100, num_epochs=2)  # Whole-client batches: shuffling is no matter.


def _clients():
  rng = np.random.default_rng(0)
  return [(rng.normal(size=[n, 2]), rng.normal(size=n)) for n in (5, 1, 8)]


def _trained(algorithm, num_rounds):
  process = algorithm(_TASK, algorithms.Communication(), _TWO_EPOCHS, 3)
  state = process.initialize()
  before = [np.asarray(weight, np.float64) for weight in state.global_model_weights.trainable]
  datasets = [tiny_task.client(x, y, client_key=k + 1) for k, (x, y) in enumerate(_clients())]
  for _ in range(num_rounds):
    state = process.next(state, datasets).state
  return before, state.global_model_weights.trainable


def _mean_update(w, b, learning_rate, clip_norm):
  """The weighted mean update of clients that each make two full-batch steps by Adam."""
  total, mean_w, mean_b = 0, 0.0, 0.0
  for x, y in _clients():
    step_w, step_b = (plain_fed_avg.Adam(learning_rate, 0.8, 0.9, 0.01) for _ in range(2))
    u, c = w, b
    for _ in range(2):
      gu, gc = plain_fed_avg.gradient(u, c, x, y)
      scale = min(1.0, clip_norm / np.sqrt((gu**2).sum() + gc**2))
      u, c = step_w(u, scale * gu), step_b(c, scale * gc)
    total, mean_w, mean_b = total + len(y), mean_w + len(y) * (w - u), mean_b + len(y) * (b - c)
  return mean_w / total, mean_b / total


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  ('clip_norm', 'momentum'),
  [pytest.param(0.0, 0.0, id='plain'), pytest.param(0.4, 0.6, id='clipped_and_with_momentum')],
)
def test_two_rounds_equal_plain_numpy(clip_norm, momentum):
  algorithm = local_adam.local_adam(
    client_lr=0.1, beta_1=0.8, beta_2=0.9, epsilon=0.01, server_lr=0.7, momentum=momentum, clip_norm=clip_norm
  )
  (w, b), (found_w, found_b) = _trained(algorithm, 2)
  velocity_w = velocity_b = 0.0
  for _ in range(2):
    update_w, update_b = _mean_update(w, b, 0.1, clip_norm or np.inf)
    velocity_w, velocity_b = momentum * velocity_w + update_w, momentum * velocity_b + update_b
    w, b = w - 0.7 * velocity_w, b - 0.7 * velocity_b
  np.testing.assert_allclose(found_w, w, rtol=1e-4)
  np.testing.assert_allclose(found_b, b, rtol=1e-4)


def test_a_client_holds_two_moments_of_what_it_trains_and_its_step():
  optimizer = local_adam.local_adam().client_optimizer
  model = tiny_task.linear_task(num_features=10).model
  # Of the kernel, 10 values: 2 x 10 x 4 bytes and 4 of the number of the step; the bias is not trained.
  assert client_costs.optimizer_bytes(optimizer, model, [True, False]) == 84


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(client_lr=0), 'client_lr must be a positive number, not 0'),
    (dict(beta_1=1.0), r'beta_1 must lie in \[0, 1\), not 1.0'),
    (dict(beta_2=-0.1), r'beta_2 must lie in \[0, 1\), not -0.1'),
    (dict(momentum=1), r'momentum must lie in \[0, 1\), not 1'),
    (dict(epsilon=0.0), 'epsilon must be a positive number, not 0.0'),
    (dict(server_lr='1'), "server_lr must be a positive number, not '1'"),
    (dict(clip_norm=-1), 'clip_norm must be 0 or a positive number, not -1'),
    (dict(client_schedule=0.5), 'client_schedule must be a schedule such as'),
  ],
)
def test_refuses(arguments, message):
  with pytest.raises(ValueError, match=message):
    local_adam.local_adam(**arguments)
