"""The server's step: any TFF optimizer on the mean update, variable by variable, and unit by unit where clients hold parts.

A variable that no client of the round trained skips the round: its weight and its optimizer's state stay bit-identical,
where a server momentum would move it along old updates. So does a unit, such as a row of the vocabulary, of a variable of
which clients hold some units: each is stepped as if it were a variable of its own, with its own count of steps. A
variable that no client may ever train has no state at all.
A schedule of the learning rate follows the rounds, however often a variable was trained.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import functools
import types
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from compression import slices
from models import model as model_lib
from optimizers import optimizer_slots
from optimizers import schedules

_NO_UNITS = types.MappingProxyType({})


def update_type(
  weights_type: tff.types.StructType, units: Mapping[int, model_lib.Units] = _NO_UNITS
) -> tff.types.StructType:
  """Returns the type of what the finalizer takes.

  Args:
    weights_type: `tff.learning.models.ModelWeights` of n trainable tensors.
    units: By index, those of the variables of which clients hold parts.

  Returns:
    `<delta=the trainable weights' type, trained=bool[n]>`; with `units` also `units=<bool[count], ...>`: which units of
    these variables, in ascending order, some client trained.
  """
  trainable = weights_type.trainable
  members = collections.OrderedDict(delta=trainable, trained=tff.TensorType(np.bool_, [len(trainable)]))
  if units:
    members['units'] = tuple(tff.TensorType(np.bool_, [each.count]) for _, each in sorted(units.items()))
  return tff.types.to_type(members)


def build_finalizer(
  optimizer: tff.learning.optimizers.Optimizer,
  weights_type: tff.types.StructType,
  trainable: Sequence[bool],
  schedule: schedules.Schedule = schedules.CONSTANT,
  units: Mapping[int, model_lib.Units] = _NO_UNITS,
) -> tff.learning.templates.FinalizerProcess:
  """Builds `next(state@SERVER, weights_type@SERVER, update_type@SERVER)`; its result are the next weights.

  Args:
    optimizer: The server optimizer; takes the mean of received minus trained weights as its gradient.
    weights_type: `tff.learning.models.ModelWeights` of float32 tensors of static shape.
    trainable: For each variable, whether clients ever train it.
    schedule: How the server's learning rate changes.
    units: See `update_type`.

  Returns:
    The process. Its state is one optimizer state for each variable, empty for those that are never trained; with a
    schedule it is `<round_number=int64, states=those>`, and the number that of the round that comes next.

  Raises:
    ValueError: For an optimizer that cannot serve units, see `optimizer_slots.by_unit`.
  """
  taken_type = update_type(weights_type, units)
  specs = [tf.TensorSpec(member.shape, member.dtype) for member in weights_type.trainable]

  @tff.tensorflow.computation
  def initial_state():
    states = tuple(
      _initial_state(optimizer, spec, units.get(index)) if ever else ()
      for index, (spec, ever) in enumerate(zip(specs, trainable, strict=True))
    )
    return states if schedule.is_constant else _with_round(tf.constant(1, tf.int64), states)

  @tff.tensorflow.computation(initial_state.type_signature.result, weights_type, taken_type)
  def step(state, weights, update):
    states, round_number = (state, None) if schedule.is_constant else (state['states'], state['round_number'])
    next_ = functools.partial(_next, optimizer, schedule, round_number)
    apply = tf.function(functools.partial(_apply, next_, trainable), autograph=False)
    masks = _masks(update['units'], units, specs) if units else {}
    states, trained_weights = apply(states, weights.trainable, update['delta'], update['trained'], masks)
    next_state = states if schedule.is_constant else _with_round(round_number + 1, states)
    return next_state, tff.learning.models.ModelWeights(trained_weights, weights.non_trainable)

  @tff.federated_computation()
  def initialize():
    return tff.federated_eval(initial_state, tff.SERVER)

  @tff.federated_computation(
    initialize.type_signature.result,
    tff.FederatedType(weights_type, tff.SERVER),
    tff.FederatedType(taken_type, tff.SERVER),
  )
  def next_fn(state, weights, update):
    state, weights = tff.federated_map(step, (state, weights, update))
    return tff.templates.MeasuredProcessOutput(state, weights, tff.federated_value((), tff.SERVER))

  return tff.learning.templates.FinalizerProcess(initialize, next_fn)


def _with_round(round_number: tf.Tensor, states: Any) -> collections.OrderedDict[str, Any]:
  return collections.OrderedDict(round_number=round_number, states=states)


def _initial_state(
  optimizer: tff.learning.optimizers.Optimizer, spec: tf.TensorSpec, units: model_lib.Units | None
) -> Any:
  return optimizer.initialize(spec) if units is None else optimizer_slots.by_unit(optimizer, spec, units)


def _masks(
  trained_units: Sequence[tf.Tensor], units: Mapping[int, model_lib.Units], specs: Sequence[tf.TensorSpec]
) -> dict[int, tf.Tensor]:
  """Returns, by index of the variable, which of its elements are of units that were trained, as of `slices.spread`."""
  return {
    index: slices.spread(of_units, units[index], specs[index].shape)
    for index, of_units in zip(sorted(units), trained_units, strict=True)
  }


def _apply(
  next_: Any,
  trainable: Sequence[bool],
  states: Any,
  weights: Any,
  deltas: Any,
  trained: tf.Tensor,
  masks: Mapping[int, tf.Tensor],
) -> tuple[tuple[Any, ...], tuple[tf.Tensor, ...]]:
  """Steps what was trained; returns all states and weights. A mask, of the shape of `slices.spread`, is one of units."""

  # A function, so that variables of one shape are traced once.
  @tf.function(autograph=False, experimental_attributes={'_noinline': True})
  def step(
    is_trained: tf.Tensor, mask: tf.Tensor | None, state: Any, weight: tf.Tensor, delta: tf.Tensor
  ) -> tuple[Any, tf.Tensor]:
    def trained_step():
      stepped = next_(state, weight, delta)
      return stepped if mask is None else _where(mask, stepped, (state, weight))

    return tf.cond(is_trained, trained_step, lambda: (state, weight))

  stepped = [
    step(trained[index], masks.get(index), state, weight, delta) if trainable[index] else (state, weight)
    for index, (state, weight, delta) in enumerate(zip(states, weights, deltas, strict=True))
  ]
  return tuple(state for state, _ in stepped), tuple(weight for _, weight in stepped)


def _where(mask: tf.Tensor, stepped: Any, before: Any) -> Any:
  """Chooses unit by unit; hyper-parameters, which are numbers of a whole variable, do not change in a step."""
  return tf.nest.map_structure(lambda new, old: tf.where(mask, new, old) if old.shape.rank else old, stepped, before)


def _next(
  optimizer: tff.learning.optimizers.Optimizer,
  schedule: schedules.Schedule,
  round_number: tf.Tensor | None,
  state: Any,
  weight: tf.Tensor,
  delta: tf.Tensor,
) -> tuple[Any, tf.Tensor]:
  """Steps one variable at the learning rate of the round; the state keeps that of factor 1."""
  next_state, next_weight = optimizer.next(schedule.scale(optimizer, state, round_number), weight, delta)
  if schedule.is_constant:
    return next_state, next_weight
  return optimizer.set_hparams(next_state, optimizer.get_hparams(state)), next_weight
