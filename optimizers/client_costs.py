"""What a round costs one client: the memory of a local step, operations, and the bytes it sends, before anything runs.

Bytes are those that will travel. Operations are those of the matrix products, see `models.accounting`. Memory is modelled.
"""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import tensorflow as tf

from compression import adaptive
from compression import slices
from compression import update_codec
from models import accounting
from models import model as model_lib
from models import task as task_lib
from optimizers import devices as devices_lib
from optimizers import local_optimizer
from optimizers import optimizer_slots

_WEIGHT_BYTES = 4  # What the update counts in the mean travels with it.


class ClientCost(NamedTuple):
  """The cost of a round.

  Attributes:
    modelled_memory_bytes: At the peak of a local step, weights included.
    upload_bytes: Bytes of the update, the bitmap of its variables and its weight; None if they depend on the values.
    flops: Floating-point operations of all matrix products.
  """

  modelled_memory_bytes: float
  upload_bytes: int | None
  flops: float


@dataclasses.dataclass(frozen=True)
class ClientWorkload:
  """How clients train, whatever they train.

  Attributes:
    build_task: From a model to the task.
    optimizer: Makes the local steps.
    upload: Encodes updates.
    batch_size: Examples in a local batch.
    num_examples: That the client with the most of them goes through in a round, all epochs together.
    seed: The run's.
  """

  build_task: Callable[[model_lib.Model], task_lib.Task]
  optimizer: local_optimizer.LocalOptimizer
  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec
  batch_size: int
  num_examples: int
  seed: int = 0


def client_cost(
  devices: devices_lib.Devices, tier: int, model: model_lib.Model, workload: ClientWorkload
) -> ClientCost:
  """Accounts for a client.

  Args:
    devices: Who trains what; nothing that is drawn when the graph runs.
    tier: The client's.
    model: Before the policies adapt it.
    workload: The rest.

  Returns:
    The cost.

  Raises:
    ValueError: If the policy draws or does not fit the model, or the optimizer's state travels.
  """
  if workload.optimizer.is_shared:
    raise ValueError('clients receive and send the state of an optimizer, which is not accounted for')
  adapted = devices.adapt(model)
  layouts = devices.layouts(adapted)
  held = held_model(adapted, layouts[tier])
  trained = devices.tiers[tier].flags_known_when_traced(adapted, workload.seed)
  if None in trained:
    raise ValueError('what a client trains must not be drawn anew: its cost would change from round to round')
  step = accounting.step_cost(workload.build_task(held), trained, workload.batch_size)
  together = devices.together(adapted, workload.seed)
  payload_bytes = _payload_bytes(workload.upload, adapted, held, trained, together)
  layout_bytes = int(len(layouts) > 1 and bool(slices.largest_counts(layouts)))  # The number of the client's tier.
  return ClientCost(
    modelled_memory_bytes=step.peak_bytes + optimizer_bytes(workload.optimizer, held, trained),
    upload_bytes=None if payload_bytes is None else payload_bytes + layout_bytes + _WEIGHT_BYTES,
    flops=(step.forward_flops + step.backward_flops) * workload.num_examples / workload.batch_size,
  )


def held_model(adapted: model_lib.Model, layout: slices.Layout) -> model_lib.Model:
  """Returns the model as a client holds it: of a sub-model, the slices alone."""
  variables = [
    dataclasses.replace(each, shape=tuple(layout.spec(each).shape), units=None) for each in adapted.variables
  ]
  return model_lib.Model(tuple(variables), adapted.apply)


def _payload_bytes(
  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec,
  adapted: model_lib.Model,
  held: model_lib.Model,
  trained: list[bool | None],
  together: tuple[int, ...],
) -> int | None:
  """Returns what an update takes; None if that depends on its values, or on what clients voted."""
  if not isinstance(upload, update_codec.UpdateCodec):
    return None
  sizes = tuple(variable.size for variable in adapted.variables)
  codec = dataclasses.replace(upload, sizes=sizes, together=together)
  return codec.payload_bytes([tf.TensorSpec(variable.shape) for variable in held.variables], trained)


def optimizer_bytes(
  optimizer: local_optimizer.LocalOptimizer, held: model_lib.Model, trained: list[bool | None]
) -> int:
  """Returns the size of the local optimizer's state: of all variables that are, or may be, trained."""
  specs = [tf.TensorSpec(variable.shape) for variable in held.variables]
  with tf.Graph().as_default():
    slots = optimizer_slots.initial(optimizer.optimizer, specs, [flag is not False for flag in trained])
    tensors = [tf.convert_to_tensor(leaf) for leaf in tf.nest.flatten(slots)]
  return sum(tensor.dtype.size * tensor.shape.num_elements() for tensor in tensors)
