"""An algorithm: which optimizer runs at the clients and which at the server, composed into a TFF learning process.

Those with a name are in `fed_opt` and `mime_lite`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import broadcast
from compression import delivery
from compression import partial_mean
from compression import slices
from compression import update_codec
from compression.privacy import mechanism as mechanism_lib
from compression.secure_sums import modular
from data import arguments
from models import model as model_lib
from models import task as task_lib
from optimizers import client_dropout as client_dropout_lib
from optimizers import client_work
from optimizers import devices as devices_lib
from optimizers import finalizer
from optimizers import frozen_base
from optimizers import local_batches
from optimizers import local_optimizer
from optimizers import local_training
from optimizers import optimizer_slots
from optimizers import private_rounds
from optimizers import schedules
from optimizers import secure_rounds
from optimizers import select_process
from optimizers import selection as selection_lib
from optimizers import shared_state
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
    selection: The units of which clients ask for a part; None for all.
    base: How often variables travel that nobody ever trains: `once` to each client, not at all if they came
      `preinstalled`, or in `every_round`. What clients select or hold in part travels in every round, whatever it is.
  """

  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec = dataclasses.field(
    default_factory=update_codec.UpdateCodec
  )
  download: update_codec.UpdateCodec = dataclasses.field(default_factory=update_codec.UpdateCodec)
  measure_distortion: bool = False
  selection: selection_lib.Selection | None = None
  base: str = 'once'

  def __post_init__(self):
    arguments.check_one_of(tuple(devices_lib.BASES), base=self.base)


@dataclasses.dataclass(frozen=True)
class Algorithm:
  """Which optimizer runs where; called with the rest of a run, it composes the learning process.

  Attributes:
    client_optimizer: Makes the local steps.
    server_optimizer: Makes the step along the mean update.
    server_schedule: How its learning rate changes over rounds.
    precision: In which clients form the products of weights: see `models.precision`. Evaluations form them in float32.
  """

  client_optimizer: local_optimizer.LocalOptimizer
  server_optimizer: tff.learning.optimizers.Optimizer
  server_schedule: schedules.Schedule = schedules.CONSTANT
  precision: str = 'float32'

  def __call__(
    self,
    task: task_lib.Task,
    communication: Communication,
    batches: local_batches.LocalBatches,
    seed: int,
    devices: devices_lib.Devices = devices_lib.ALIKE,
    client_dropout: client_dropout_lib.ClientDropout = client_dropout_lib.NONE,
    client_weighting: str = 'examples',
    privacy: mechanism_lib.Mechanism | None = None,
    secure_sum: modular.SumPlan | None = None,
  ) -> tff.learning.templates.LearningProcess:
    """Composes the four slots of a TFF learning process.

    Args:
      task: What is trained; its model is the one that `devices` adapted.
      communication: How updates and weights travel.
      batches: How a client goes through its examples.
      seed: Decides the initial weights and every draw.
      devices: Which client trains which part; by default every client all of it.
      client_dropout: Which clients vanish in a round; by default nobody.
      client_weighting: What a client's update counts in the mean: `examples` for their number, `uniform` for 1 each.
      privacy: What makes each round private to its clients; by default nothing does.
      secure_sum: How the server adds up clients that it does not see; by default it sees them.

    Returns:
      The process.

    Raises:
      ValueError: If the devices' policies, the selection and the algorithm do not fit the model or each other, or privacy
        or a secure sum do not fit them.
    """
    model, task = task.model, dataclasses.replace(task, precision=self.precision)
    self.check(model, communication, devices)
    if privacy is not None:
      self.check_private(communication, devices, client_weighting)
    if secure_sum is not None:
      self.check_secure(model, communication, devices, client_weighting)
    ever = devices.ever(model, seed)
    initial_weights = self._build_initial_weights(model, ever, seed)
    weights_type = initial_weights.type_signature.result
    selection, layouts = communication.selection, _layouts(model, devices, communication.selection)
    local = local_training.LocalTraining(
      task, self.client_optimizer, batches, devices, layouts, seed, client_dropout, client_weighting
    )
    deliveries, sources = _delivered(model, communication, devices, seed)
    distributor = broadcast.build_broadcast(weights_type, communication.download, seed, deliveries)
    server_step = self._build_finalizer(weights_type, ever, slices.sliced_units(model.variables, layouts))
    aggregation = self._aggregation(model, communication, devices, seed, layouts, privacy, secure_sum)
    if sources:
      download = slice_download.SliceDownload(local, selection, sources, distributor)
      process = select_process.compose(initial_weights, distributor, download, local, aggregation.create, server_step)
    else:
      process = _composed(initial_weights, distributor, local, aggregation, server_step)
    held = [index for index, each in enumerate(deliveries) if each.way is delivery.Way.HELD]
    return frozen_base.hold(process, held, communication.download, seed) if held else process

  def _aggregation(
    self,
    model: model_lib.Model,
    communication: Communication,
    devices: devices_lib.Devices,
    seed: int,
    layouts: Sequence[slices.Layout],
    privacy: mechanism_lib.Mechanism | None,
    secure_sum: modular.SumPlan | None,
  ) -> tff.aggregators.WeightedAggregationFactory:
    selection, sliced_axes = communication.selection, slices.largest_counts(layouts)
    copies = 2 if self.client_optimizer.is_shared else 1  # An update and, of the same variables, a gradient.
    shape = dict(
      measure_distortion=communication.measure_distortion,
      variables=model.variables * copies,
      layouts=layouts if sliced_axes else (slices.WHOLE,),
      units_per_key={axis: unit_keys.units_per_key(model, axis) for axis in sliced_axes} if selection else None,
      together=devices.together(model, seed, selection is not None and selection.blocks is not None) * copies,
    )
    where = (communication.upload, model, devices, seed)
    if privacy is not None:
      return private_rounds.build_aggregation(privacy, *where, secure_sum, **shape)
    if secure_sum is None:
      return partial_mean.PartialMeanFactory(communication.upload, denominator=devices.denominator, **shape)
    return secure_rounds.build_aggregation(secure_sum, *where, communication.measure_distortion, shape['together'])

  def check(self, model: model_lib.Model, communication: Communication, devices: devices_lib.Devices) -> None:
    """Raises `ValueError` if the algorithm cannot serve this communication or these devices.

    Args:
      model: The adapted one.
      communication: How updates and weights travel.
      devices: Which client trains which part.
    """
    if communication.selection is not None and devices.kept(model):
      raise ValueError('clients cannot select among variables that they have kept: leave out select')
    if communication.selection is not None:
      communication.selection.check(model, devices)
    if not self.client_optimizer.is_shared:
      return
    if communication.selection is not None or slices.largest_counts(devices.layouts(model)):
      raise ValueError(
        'mime_lite shares the optimizer state of whole variables: clients cannot hold a part of them; use another '
        'algorithm, or neither select nor width'
      )
    if communication.upload.shares_scale:
      raise ValueError(
        'mime_lite sends gradients beside updates, and this upload gives both one scale: leave out concat, and use '
        'another codec than rate_distortion'
      )

  def check_private(self, communication: Communication, devices: devices_lib.Devices, client_weighting: str) -> None:
    """Raises `ValueError` if rounds could not be private, whatever the mechanism; see `private_rounds.check`."""
    private_rounds.check(self.client_optimizer.is_shared, communication.upload, devices, client_weighting)

  def check_secure(
    self,
    model: model_lib.Model,
    communication: Communication,
    devices: devices_lib.Devices,
    client_weighting: str,
  ) -> None:
    """Raises `ValueError` if clients could not be added up unseen; see `secure_rounds.check`."""
    secure_rounds.check(
      self.client_optimizer.is_shared,
      communication.upload,
      devices.layouts(model),
      communication.selection is not None,
      client_weighting,
    )

  def _build_initial_weights(self, model: model_lib.Model, ever: Sequence[bool], seed: int) -> tff.Computation:
    specs = [tf.TensorSpec(variable.shape) for variable in model.variables]

    @tff.tensorflow.computation
    def initial_weights():
      client = self.client_optimizer
      slots = optimizer_slots.initial(client.optimizer, specs, ever) if client.is_shared else ()
      return tff.learning.models.ModelWeights(model.initial_weights(seed), slots)

    return initial_weights

  def _build_finalizer(
    self, weights_type: tff.types.StructType, ever: Sequence[bool], units: Mapping[int, model_lib.Units]
  ) -> tff.learning.templates.FinalizerProcess:
    step = finalizer.build_finalizer(self.server_optimizer, weights_type, ever, self.server_schedule, units)
    return (
      shared_state.build_finalizer(step, self.client_optimizer.optimizer) if self.client_optimizer.is_shared else step
    )


def check_selection(
  model: model_lib.Model, devices: devices_lib.Devices, selection: selection_lib.Selection | None, seed: int
) -> None:
  """Raises `ValueError` if what clients choose does not fit the adapted model or the devices' policies."""
  slice_source.build(model, _layouts(model, devices, selection), selection, devices.deliveries(model, seed))


def num_base_parameters(
  model: model_lib.Model, communication: Communication, devices: devices_lib.Devices, seed: int
) -> int:
  """Returns how many parameters of the adapted model reach clients as often as `communication.base` says."""
  deliveries, _ = _delivered(model, dataclasses.replace(communication, base='once'), devices, seed)
  return sum(
    variable.size for variable, each in zip(model.variables, deliveries, strict=True) if each.way is delivery.Way.HELD
  )


def _delivered(
  model: model_lib.Model, communication: Communication, devices: devices_lib.Devices, seed: int
) -> tuple[tuple[delivery.Delivery, ...], Mapping[str, slice_source.SliceSource]]:
  """Returns how each variable reaches clients, and where those that travel in slices come from."""
  deliveries, layouts = devices.deliveries(model, seed), _layouts(model, devices, communication.selection)
  sources = slice_source.build(model, layouts, communication.selection, deliveries)
  return devices_lib.with_base(slice_source.sliced(model, deliveries, sources), communication.base), sources


def _composed(
  initial_weights: tff.Computation,
  distributor: tff.learning.templates.DistributionProcess,
  local: local_training.LocalTraining,
  aggregation: tff.aggregators.WeightedAggregationFactory,
  server_step: tff.learning.templates.FinalizerProcess,
) -> tff.learning.templates.LearningProcess:
  """Returns the process of clients that receive whole variables."""
  work = client_work.build_client_work(local, distributor.next.type_signature.result.result.member)
  client_result = work.next.type_signature.result.result.member
  aggregator = aggregation.create(client_result.update, client_result.update_weight)
  return tff.learning.templates.compose_learning_process(initial_weights, distributor, work, aggregator, server_step)


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
