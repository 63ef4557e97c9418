"""The slots of an optimizer: the tensors of its state that a variable has of its own, apart from the hyper-parameters.

Adagrad's preconditioner is a slot, and so is the accumulator of a momentum. A state that travels does so as its slots:
the hyper-parameters are part of both ends' graphs.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tensorflow_federated as tff

from compression import slices
from models import model as model_lib

Slots = Mapping[str, tf.Tensor] | tuple[()]  # By name; () for a variable that no client ever trains.


def of_state(optimizer: tff.learning.optimizers.Optimizer, state: Any) -> Slots:
  """Returns the slots of one variable's state."""
  hparams = optimizer.get_hparams(state)
  return collections.OrderedDict((name, value) for name, value in state.items() if name not in hparams)


def initial(
  optimizer: tff.learning.optimizers.Optimizer, specs: Sequence[tf.TensorSpec], trainable: Sequence[bool]
) -> tuple[Slots, ...]:
  """Returns the slots of each variable before the first step.

  Args:
    optimizer: Any.
    specs: Shapes and dtypes of the variables.
    trainable: For each, whether clients ever train it.

  Returns:
    The slots.
  """
  return tuple(
    of_state(optimizer, optimizer.initialize(spec)) if ever else () for spec, ever in zip(specs, trainable, strict=True)
  )


def by_unit(optimizer: tff.learning.optimizers.Optimizer, spec: tf.TensorSpec, units: model_lib.Units) -> Any:
  """Returns a variable's state before the first step, in which every unit has its own of what a variable has one of.

  A number such as Adam's count of steps is repeated for each unit, so that all slots follow the units' own steps.

  Args:
    optimizer: Any whose slots are one number, or one for each element of the variable.
    spec: Shape and dtype of the variable.
    units: What it consists of.

  Returns:
    The state.

  Raises:
    ValueError: For another optimizer.
  """
  state = optimizer.initialize(spec)
  slots = of_state(optimizer, state)
  for name, value in slots.items():
    shape = None if tf.nest.is_nested(value) else tf.convert_to_tensor(value).shape
    if shape not in (tf.TensorShape([]), spec.shape):
      raise ValueError(
        f'{name} of the server optimizer is neither a number nor of the shape of a variable, so that it cannot pass over '
        'units that nobody trained: use another optimizer, or neither select nor sub-models'
      )
    if not shape.rank:
      slots[name] = slices.spread(tf.fill([units.count], value), units, spec.shape)
  return collections.OrderedDict(state, **slots)


def step(optimizer: tff.learning.optimizers.Optimizer, slots: Slots, gradient: tf.Tensor) -> Slots:
  """Returns a variable's slots after a step along `gradient`; the weight plays no part."""
  state = collections.OrderedDict(optimizer.initialize(tf.TensorSpec.from_tensor(gradient)), **slots)
  next_state, _ = optimizer.next(state, tf.zeros_like(gradient), gradient)
  return of_state(optimizer, next_state)
