"""Algorithms: which optimizer runs at the clients and which at the server, composed into a TFF learning process.

FedAvg   McMahan et al. 2016 (arXiv 1602.05629): SGD at both ends, server learning rate 1
FedAdam  Reddi et al. 2020 (arXiv 2003.00295): SGD at the clients, Adam on the averaged update at the server
"""

import dataclasses

import tensorflow_federated as tff

from compression import adaptive
from compression import broadcast
from compression import partial_mean
from compression import update_codec
from models import task as task_lib
from optimizers import client_work
from optimizers import gradient_clipping
from optimizers import local_batches


@dataclasses.dataclass(frozen=True)
class Communication:
  """How updates go up and weights come down, and whether clients measure what encoding their update loses."""

  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec = dataclasses.field(
    default_factory=update_codec.UpdateCodec
  )
  download: update_codec.UpdateCodec = dataclasses.field(default_factory=update_codec.UpdateCodec)
  measure_distortion: bool = False


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """Which optimizer runs where; called with the rest of a run, it composes the learning process."""

  client_optimizer: tff.learning.optimizers.Optimizer
  server_optimizer: tff.learning.optimizers.Optimizer

  def __call__(
    self, task: task_lib.Task, communication: Communication, batches: local_batches.LocalBatches, seed: int
  ) -> tff.learning.templates.LearningProcess:
    """Composes the four slots of a TFF learning process; `seed` decides the initial weights and every draw."""

    @tff.tensorflow.computation
    def initial_weights():
      return tff.learning.models.ModelWeights(task.model.initial_weights(seed), ())

    weights_type = initial_weights.type_signature.result
    work = client_work.build_client_work(task, self.client_optimizer, batches)
    client_result = work.next.type_signature.result.result.member
    aggregation = partial_mean.PartialMeanFactory(communication.upload, communication.measure_distortion)
    return tff.learning.templates.compose_learning_process(
      initial_weights,
      broadcast.build_broadcast(weights_type, communication.download, seed),
      work,
      aggregation.create(client_result.update, client_result.update_weight),
      tff.learning.templates.build_apply_optimizer_finalizer(self.server_optimizer, weights_type),
    )


def fed_avg(client_lr: float = 3.0, server_lr: float = 1.0, clip_norm: float = 1.0) -> Algorithm:
  """Configures federated averaging.

  Args:
    client_lr: Learning rate of the clients' SGD.
    server_lr: Scales the averaged update.
    clip_norm: Largest global norm of the gradient of a local step.

  Returns:
    The algorithm.

  Raises:
    ValueError: For a value that is not positive.
  """
  _check_positive(client_lr=client_lr, server_lr=server_lr, clip_norm=clip_norm)
  return Algorithm(_clipped_sgd(client_lr, clip_norm), tff.learning.optimizers.build_sgdm(server_lr))


def fed_adam(
  client_lr: float = 3.0,
  server_lr: float = 0.015,
  beta_1: float = 0.9,
  beta_2: float = 0.99,
  epsilon: float = 1e-3,
  clip_norm: float = 1.0,
) -> Algorithm:
  """Configures federated averaging with Adam at the server.

  Args:
    client_lr: Learning rate of the clients' SGD.
    server_lr: Learning rate of the server's Adam.
    beta_1: Decay of Adam's first moment, in [0, 1).
    beta_2: Decay of Adam's second moment, in [0, 1).
    epsilon: Added to the root of Adam's second moment; large values make it less adaptive.
    clip_norm: Largest global norm of the gradient of a local step.

  Returns:
    The algorithm.

  Raises:
    ValueError: For a value out of range.
  """
  _check_positive(client_lr=client_lr, server_lr=server_lr, epsilon=epsilon, clip_norm=clip_norm)
  for name, value in dict(beta_1=beta_1, beta_2=beta_2).items():
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 <= value < 1.0:
      raise ValueError(f'{name} must lie in [0, 1), not {value!r}')
  server_optimizer = tff.learning.optimizers.build_adam(server_lr, beta_1=beta_1, beta_2=beta_2, epsilon=epsilon)
  return Algorithm(_clipped_sgd(client_lr, clip_norm), server_optimizer)


def _clipped_sgd(learning_rate: float, clip_norm: float) -> tff.learning.optimizers.Optimizer:
  return gradient_clipping.ClippedOptimizer(tff.learning.optimizers.build_sgdm(learning_rate), clip_norm)


def _check_positive(**values: float) -> None:
  for name, value in values.items():
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < float('inf'):
      raise ValueError(f'{name} must be a positive number, not {value!r}')
