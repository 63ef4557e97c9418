"""Averaging algorithms: clients take SGD steps, the server takes the mean of their updates for a gradient.

fed_avg      McMahan et al. 2016 (arXiv 1602.05629): SGD at the server, of learning rate 1
fed_avgm     Hsu et al. 2019 (arXiv 1909.06335): SGD with momentum
fed_adagrad, fed_adam, fed_yogi    Reddi et al. 2020 (arXiv 2003.00295)
fed_prox     Li et al. 2018 (arXiv 1812.06127): clients are pulled back to the weights they received

The server's optimizers are TFF's. All algorithms return an `algorithms.Algorithm`, and raise `ValueError` for a value out
of range.
"""

import dataclasses

import tensorflow_federated as tff

from data import arguments
from optimizers import algorithms
from optimizers import local_optimizer
from optimizers import schedules


def fed_avg(
  client_lr: float = 3.0,
  server_lr: float = 1.0,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures federated averaging: SGD at the clients, and at the server.

  Args:
    client_lr: Learning rate of the clients' SGD, which has no momentum.
    server_lr: Learning rate of the server's optimizer, which takes the mean update of the clients for a gradient.
    clip_norm: Largest global norm of the gradient of a local step; 0 for no clipping.
    client_schedule: Schedule, in quotes, by which `client_lr` changes from round to round: "cosine(rounds=1000)".
    server_schedule: Schedule, in quotes, by which `server_lr` changes from round to round.

  Returns:
    The algorithm.
  """
  arguments.check_positive(server_lr=server_lr)
  return _fed_opt(tff.learning.optimizers.build_sgdm(server_lr), client_lr, clip_norm, client_schedule, server_schedule)


def fed_avgm(
  client_lr: float = 3.0,
  server_lr: float = 0.1,
  momentum: float = 0.9,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures federated averaging with SGD at the clients and SGD with momentum at the server.

  v <- momentum v + update; w <- w - server_lr v

  Args:
    client_lr: See `fed_avg`.
    server_lr: See `fed_avg`; a constant update ends up 1 / (1 - momentum) times as strong.
    momentum: Share of the last step in the next one, in [0, 1).
    clip_norm: See `fed_avg`.
    client_schedule: See `fed_avg`.
    server_schedule: See `fed_avg`.

  Returns:
    The algorithm.
  """
  arguments.check_positive(server_lr=server_lr)
  arguments.check_within('[0, 1)', momentum=momentum)
  server_optimizer = tff.learning.optimizers.build_sgdm(server_lr, momentum=momentum)
  return _fed_opt(server_optimizer, client_lr, clip_norm, client_schedule, server_schedule)


def fed_adagrad(
  client_lr: float = 3.0,
  server_lr: float = 0.03,
  initial_accumulator: float = 0.0,
  epsilon: float = 1e-6,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures federated averaging with SGD at the clients and Adagrad at the server.

  Args:
    client_lr: See `fed_avg`.
    server_lr: See `fed_avg`.
    initial_accumulator: Sum of squares to begin with.
    epsilon: Added to the sum of squares under the root.
    clip_norm: See `fed_avg`.
    client_schedule: See `fed_avg`.
    server_schedule: See `fed_avg`.

  Returns:
    The algorithm.
  """
  arguments.check_positive(server_lr=server_lr, epsilon=epsilon)
  arguments.check_not_negative(initial_accumulator=initial_accumulator)
  server_optimizer = tff.learning.optimizers.build_adagrad(server_lr, initial_accumulator, epsilon)
  return _fed_opt(server_optimizer, client_lr, clip_norm, client_schedule, server_schedule)


def fed_adam(
  client_lr: float = 3.0,
  server_lr: float = 0.015,
  beta_1: float = 0.9,
  beta_2: float = 0.99,
  epsilon: float = 1e-3,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures federated averaging with SGD at the clients and Adam at the server.

  Args:
    client_lr: See `fed_avg`.
    server_lr: See `fed_avg`.
    beta_1: Decay of the first moment, in [0, 1).
    beta_2: Decay of the second moment, in [0, 1).
    epsilon: Added to the root of the second moment; large values make it less adaptive.
    clip_norm: See `fed_avg`.
    client_schedule: See `fed_avg`.
    server_schedule: See `fed_avg`.

  Returns:
    The algorithm.
  """
  arguments.check_positive(server_lr=server_lr, epsilon=epsilon)
  arguments.check_within('[0, 1)', beta_1=beta_1, beta_2=beta_2)
  server_optimizer = tff.learning.optimizers.build_adam(server_lr, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
  return _fed_opt(server_optimizer, client_lr, clip_norm, client_schedule, server_schedule)


def fed_yogi(
  client_lr: float = 3.0,
  server_lr: float = 0.015,
  beta_1: float = 0.9,
  beta_2: float = 0.99,
  epsilon: float = 1e-3,
  initial_accumulator: float = 1e-6,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures federated averaging with SGD at the clients and Yogi at the server.

  Yogi is Adam whose second moment moves by steps of one size.

  Args:
    client_lr: See `fed_avg`.
    server_lr: See `fed_avg`.
    beta_1: Decay of the first moment, in [0, 1).
    beta_2: Decay of the second moment, in [0, 1).
    epsilon: Added to the root of the second moment; large values make it less adaptive.
    initial_accumulator: Second moment to begin with.
    clip_norm: See `fed_avg`.
    client_schedule: See `fed_avg`.
    server_schedule: See `fed_avg`.

  Returns:
    The algorithm.
  """
  arguments.check_positive(server_lr=server_lr, epsilon=epsilon)
  arguments.check_not_negative(initial_accumulator=initial_accumulator)
  arguments.check_within('[0, 1)', beta_1=beta_1, beta_2=beta_2)
  server_optimizer = tff.learning.optimizers.build_yogi(server_lr, beta_1, beta_2, epsilon, initial_accumulator)
  return _fed_opt(server_optimizer, client_lr, clip_norm, client_schedule, server_schedule)


def fed_prox(
  mu: float = 0.01,
  client_lr: float = 3.0,
  server_lr: float = 0.015,
  beta_1: float = 0.9,
  beta_2: float = 0.99,
  epsilon: float = 1e-3,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures `fed_adam` whose clients minimize loss + mu / 2 |w - received|^2.

  Args:
    mu: Strength of the pull, not negative; 0 is `fed_adam` itself.
    client_lr: See `fed_avg`.
    server_lr: See `fed_avg`.
    beta_1: See `fed_adam`.
    beta_2: See `fed_adam`.
    epsilon: See `fed_adam`.
    clip_norm: See `fed_avg`; the gradient that is clipped has the pull in it.
    client_schedule: See `fed_avg`.
    server_schedule: See `fed_avg`.

  Returns:
    The algorithm.
  """
  arguments.check_not_negative(mu=mu)
  adam = fed_adam(client_lr, server_lr, beta_1, beta_2, epsilon, clip_norm, client_schedule, server_schedule)
  return dataclasses.replace(adam, client_optimizer=dataclasses.replace(adam.client_optimizer, proximal=float(mu)))


def _fed_opt(
  server_optimizer: tff.learning.optimizers.Optimizer,
  client_lr: float,
  clip_norm: float,
  client_schedule: schedules.Schedule,
  server_schedule: schedules.Schedule,
) -> algorithms.Algorithm:
  arguments.check_positive(client_lr=client_lr)
  schedules.check_schedules(client_schedule=client_schedule, server_schedule=server_schedule)
  client_optimizer = local_optimizer.LocalOptimizer(
    tff.learning.optimizers.build_sgdm(client_lr),
    local_optimizer.clip_norm_or_infinity(clip_norm),
    schedule=client_schedule,
  )
  return algorithms.Algorithm(client_optimizer, server_optimizer, server_schedule)
