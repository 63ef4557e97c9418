"""Adam at the clients: federated averaging whose clients adapt their steps (Wang et al. 2021, arXiv 2106.02305).

    client:  w_k <- Adam(w_k, grad loss(w_k, batch)) for each batch, from moments of zero in each round
    server:  v <- momentum v + mean_k (w - w_k);  w <- w - server_lr v

Moments neither travel nor stay, so that clients keep no state; the paper's corrections of the mean are left out. Adam's
steps have one size whatever the scale of a gradient, which suits parts whose gradients differ in scale, such as the two
factors of LoRA; clients hold twice the size of what they train for it.
"""

import tensorflow_federated as tff

from data import arguments
from optimizers import algorithms
from optimizers import local_optimizer
from optimizers import schedules


def local_adam(
  client_lr: float = 0.001,
  beta_1: float = 0.9,
  beta_2: float = 0.999,
  epsilon: float = 1e-7,
  server_lr: float = 1.0,
  momentum: float = 0.0,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures federated averaging with Adam at the clients and SGD at the server.

  Args:
    client_lr: The learning rate of a client's Adam.
    beta_1: Decay of its first moment, in [0, 1).
    beta_2: Decay of its second moment, in [0, 1).
    epsilon: Added to the root of the second moment.
    server_lr: Scales the averaged update.
    momentum: Momentum of the server, in [0, 1); 0 for none.
    clip_norm: Largest global norm of the gradient of a local step; 0 for no clipping.
    client_schedule: Schedule, in quotes, by which `client_lr` changes from round to round.
    server_schedule: Schedule, in quotes, by which `server_lr` changes from round to round.

  Returns:
    The algorithm.

  Raises:
    ValueError: For a value out of range.
  """
  arguments.check_positive(client_lr=client_lr, epsilon=epsilon, server_lr=server_lr)
  arguments.check_within('[0, 1)', beta_1=beta_1, beta_2=beta_2, momentum=momentum)
  schedules.check_schedules(client_schedule=client_schedule, server_schedule=server_schedule)
  optimizers = tff.learning.optimizers
  client_optimizer = local_optimizer.LocalOptimizer(
    optimizers.build_adam(client_lr, beta_1, beta_2, epsilon),
    local_optimizer.clip_norm_or_infinity(clip_norm),
    schedule=client_schedule,
  )
  return algorithms.Algorithm(client_optimizer, optimizers.build_sgdm(server_lr, momentum), server_schedule)
