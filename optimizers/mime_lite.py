"""MimeLite: clients step with the server's optimizer state (Karimireddy et al. 2020, arXiv 2008.03606).

    client:  w_k <- U(grad loss(w_k, batch), s)   for each batch;  s stays as it is
    server:  w <- w - server_lr mean_k (w - w_k);   s <- V(mean_k grad loss(w, all data of k), s)

U and V are the two halves of a step of a TFF optimizer: of the weights, and of the state. The gradient over all of its
data costs a client one more pass, and an upload as large as that of the update: both go through the codec of the upload
and are counted. The state comes down with the weights, as it is, and is counted. The mean is weighted by examples.
"""

import tensorflow_federated as tff

from data import arguments
from optimizers import algorithms
from optimizers import local_optimizer
from optimizers import schedules

_BASES = ('adagrad', 'momentum')


def mime_lite(
  base: str = 'adagrad',
  client_lr: float = 0.1,
  server_lr: float = 1.0,
  momentum: float = 0.9,
  initial_accumulator: float = 0.0,
  epsilon: float = 1e-3,
  clip_norm: float = 1.0,
  client_schedule: schedules.Schedule = schedules.CONSTANT,
  server_schedule: schedules.Schedule = schedules.CONSTANT,
) -> algorithms.Algorithm:
  """Configures MimeLite, whose clients step with the server's optimizer state.

  Args:
    base: The optimizer: `adagrad`, or `momentum` for SGD with momentum.
    client_lr: Learning rate of the clients' steps by it.
    server_lr: Scales the averaged update.
    momentum: Momentum of the base `momentum`, in (0, 1).
    initial_accumulator: Sum of squares that the base `adagrad` begins with.
    epsilon: Added to the sum of squares under the root, by the base `adagrad`.
    clip_norm: Largest global norm of the gradient of a local step; 0 for no clipping. The one over all data is not
      clipped.
    client_schedule: Schedule, in quotes, by which `client_lr` changes from round to round.
    server_schedule: Schedule, in quotes, by which `server_lr` changes from round to round.

  Returns:
    The algorithm. It refuses to be composed with select, width and an upload whose variables share a scale, such as
    concat and rate_distortion.

  Raises:
    ValueError: For a value out of range.
  """
  arguments.check_one_of(_BASES, base=base)
  arguments.check_positive(client_lr=client_lr, server_lr=server_lr, epsilon=epsilon, momentum=momentum)
  arguments.check_within('[0, 1)', momentum=momentum)
  arguments.check_not_negative(initial_accumulator=initial_accumulator)
  schedules.check_schedules(client_schedule=client_schedule, server_schedule=server_schedule)
  optimizers = tff.learning.optimizers
  optimizer = (
    optimizers.build_adagrad(client_lr, initial_accumulator, epsilon)
    if base == 'adagrad'
    else optimizers.build_sgdm(client_lr, momentum)
  )
  client_optimizer = local_optimizer.LocalOptimizer(
    optimizer, local_optimizer.clip_norm_or_infinity(clip_norm), schedule=client_schedule, is_shared=True
  )
  return algorithms.Algorithm(client_optimizer, optimizers.build_sgdm(server_lr), server_schedule)
