"""Algorithms: which optimizer runs at the clients and which at the server, composed into a TFF learning process.

FedAvg   McMahan et al. 2016 (arXiv 1602.05629): SGD at both ends, server learning rate 1
FedAdam  Reddi et al. 2020 (arXiv 2003.00295): SGD at the clients, Adam on the averaged update at the server
"""

from collections.abc import Mapping
import dataclasses
import functools

import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import broadcast
from compression import partial_mean
from compression import slices
from compression import update_codec
from models import model as model_lib
from models import task as task_lib
from optimizers import client_work
from optimizers import devices as devices_lib
from optimizers import finalizer
from optimizers import local_batches
from optimizers import local_optimizer
from optimizers import local_training
from optimizers import select_process
from optimizers import selection as selection_lib
from optimizers import slice_download
from optimizers import slice_source
from optimizers import unit_keys


@dataclasses.dataclass(frozen=True)
class Communication:
  """How updates go up and weights come down.

  Attributes:
    upload: Encodes updates.
    download: Encodes weights; slices travel as they are.
    measure_distortion: Whether clients measure what encoding their update loses.
    selection: Of which units clients ask for a part; None for all.
  """

  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec = dataclasses.field(
    default_factory=update_codec.UpdateCodec
  )
  download: update_codec.UpdateCodec = dataclasses.field(default_factory=update_codec.UpdateCodec)
  measure_distortion: bool = False
  selection: selection_lib.Selection | None = None


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """Which optimizer runs where; called with the rest of a run, it composes the learning process."""

  client_optimizer: local_optimizer.LocalOptimizer
  server_optimizer: tff.learning.optimizers.Optimizer

  def __call__(
    self,
    task: task_lib.Task,
    communication: Communication,
    batches: local_batches.LocalBatches,
    seed: int,
    devices: devices_lib.Devices = devices_lib.ALIKE,
  ) -> tff.learning.templates.LearningProcess:
    """Composes the four slots of a TFF learning process.

    Args:
      task: What is trained; its model is the one that `devices` adapted.
      communication: How updates and weights travel.
      batches: How a client goes through its examples.
      seed: Decides the initial weights and every draw.
      devices: Which client trains which part; by default every client all of it.

    Returns:
      The process.

    Raises:
      ValueError: If the devices' policies or the selection do not fit the model or each other.
    """
    model = task.model

    @tff.tensorflow.computation
    def initial_weights():
      return tff.learning.models.ModelWeights(model.initial_weights(seed), ())

    weights_type = initial_weights.type_signature.result
    selection, rebuilds = communication.selection, _rebuilds(model, devices, seed)
    layouts = _layouts(model, devices, selection)
    sliced_axes = slices.largest_counts(layouts)
    local = local_training.LocalTraining(task, self.client_optimizer, batches, devices, layouts, seed)
    sources = slice_source.build(model, layouts, selection, rebuilds)
    distributor = broadcast.build_broadcast(
      weights_type, communication.download, seed, rebuilds | _zeros(model, sources)
    )
    server_step = finalizer.build_finalizer(self.server_optimizer, weights_type, devices.ever(model, seed))
    aggregation = partial_mean.PartialMeanFactory(
      communication.upload,
      communication.measure_distortion,
      variables=model.variables,
      layouts=layouts if sliced_axes else (slices.WHOLE,),
      denominator=devices.denominator,
      units_per_key={axis: unit_keys.units_per_key(model, axis) for axis in sliced_axes} if selection else None,
    )
    if sources:
      download = slice_download.SliceDownload(local, selection, sources, distributor)
      return select_process.compose(initial_weights, distributor, download, local, aggregation.create, server_step)
    work = client_work.build_client_work(local)
    client_result = work.next.type_signature.result.result.member
    aggregator = aggregation.create(client_result.update, client_result.update_weight)
    return tff.learning.templates.compose_learning_process(initial_weights, distributor, work, aggregator, server_step)


def check_selection(
  model: model_lib.Model, devices: devices_lib.Devices, selection: selection_lib.Selection | None, seed: int
) -> None:
  """Raises `ValueError` if what clients choose does not fit the adapted model or the devices' policies."""
  slice_source.build(model, _layouts(model, devices, selection), selection, _rebuilds(model, devices, seed))


def _layouts(
  model: model_lib.Model, devices: devices_lib.Devices, selection: selection_lib.Selection | None
) -> tuple[slices.Layout, ...]:
  """Returns what the clients of each tier hold; raises `ValueError` if both tiers and a selection have a say."""
  layouts = devices.layouts(model)
  if selection is None:
    return layouts
  if slices.largest_counts(layouts):
    raise ValueError('select does not combine with a policy of sub-models: both decide which units a client holds')
  return tuple(slices.Layout(selection.counts(model)) for _ in layouts)


def _zeros(model: model_lib.Model, sources: Mapping[str, slice_source.SliceSource]) -> dict[int, broadcast.Rebuild]:
  """Returns what clients put where slices will go, in place of a broadcast."""
  return {
    index: functools.partial(tf.zeros, model.variables[index].shape)
    for source in sources.values()
    for index in source.variables
  }


def _rebuilds(model: model_lib.Model, devices: devices_lib.Devices, seed: int) -> dict[int, broadcast.Rebuild]:
  """Returns how clients draw those variables themselves that keep their initial value for the whole training."""
  names = devices.rebuilt(model, seed)
  return {
    index: functools.partial(model.initial_weight, index, seed)
    for index, variable in enumerate(model.variables)
    if variable.name in names
  }


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


def _clipped_sgd(learning_rate: float, clip_norm: float) -> local_optimizer.LocalOptimizer:
  return local_optimizer.LocalOptimizer(tff.learning.optimizers.build_sgdm(learning_rate), clip_norm)


def _check_positive(**values: float) -> None:
  for name, value in values.items():
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < float('inf'):
      raise ValueError(f'{name} must be a positive number, not {value!r}')
