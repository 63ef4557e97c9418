"""What one key of federated select stands for: a few units of an axis in all variables that have it, or a whole block."""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Protocol

import tensorflow as tf

from compression import delivery as delivery_lib
from compression import slices as slices_lib
from models import model as model_lib
from optimizers import blocks as blocks_lib
from optimizers import selection as selection_lib
from optimizers import unit_keys


class SliceSource(Protocol):
  """A way to cut some of a model's variables into slices that one key each stands for.

  Attributes:
    variables: The indices of these variables.
    num_keys: Keys are int32 in [0, num_keys).
    counts: For each tier, of how many keys its clients receive the slices.
  """

  variables: Sequence[int]
  num_keys: int
  counts: Sequence[int]

  def extract(self, weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """Returns what the server cuts up, from all weights."""

  def select(self, tensors: Sequence[tf.Tensor], key: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns the slices of one key, int32 [], of what `extract` returned."""

  def indices(self, keys: tf.Tensor) -> tf.Tensor:
    """Returns what clients call these keys, int32 [n]: the indices of units or blocks, int32."""

  def place(self, slices: Sequence[tf.Tensor], keys: tf.Tensor) -> dict[int, tf.Tensor]:
    """Puts the slices of keys, int32 [n], each [n, ...] with n unknown to the graph, in their places among zeros.

    Returns:
      By index, the variables, of full shape.
    """


class UnitSource:
  """Keys of neighbouring units of an axis; see `SliceSource`."""

  def __init__(
    self,
    model: model_lib.Model,
    axis: str,
    layouts: Sequence[slices_lib.Layout],
    deliveries: Sequence[delivery_lib.Delivery],
  ):
    """Takes the axis.

    Args:
      model: That of the server.
      axis: The axis of its units.
      layouts: The layout of each tier.
      deliveries: How whole variables reach clients; those that clients rebuild are no source.

    Raises:
      ValueError: If nothing of the axis travels.
    """
    self._model, self._axis, self._per_key = model, axis, unit_keys.units_per_key(model, axis)
    self.variables = [
      index
      for index, (variable, each) in enumerate(zip(model.variables, deliveries, strict=True))
      if variable.units and variable.units.axis == axis and each.way is not delivery_lib.Way.REBUILT
    ]
    if not self.variables:
      raise ValueError(f'there is nothing to select by {axis}: all that has such units is frozen')
    self.num_keys = unit_keys.num_keys(model, axis)
    self.counts = [layout.counts[axis] // self._per_key for layout in layouts]

  def extract(self, weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """See `SliceSource.extract`."""
    return tuple(weights[index] for index in self.variables)

  def select(self, tensors: Sequence[tf.Tensor], key: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """See `SliceSource.select`."""
    units = self.indices(key[tf.newaxis])
    return tuple(
      slices_lib.take_by_unit(tensor, self._model.variables[index].units, units)
      for index, tensor in zip(self.variables, tensors, strict=True)
    )

  def indices(self, keys: tf.Tensor) -> tf.Tensor:
    """See `SliceSource.indices`."""
    return unit_keys.units_of(self._model, self._axis, keys)

  def place(self, slices: Sequence[tf.Tensor], keys: tf.Tensor) -> dict[int, tf.Tensor]:
    """See `SliceSource.place`."""
    placed, units = {}, self.indices(keys)
    for index, by_key in zip(self.variables, slices, strict=True):
      variable = self._model.variables[index]
      by_unit = tf.reshape(by_key, [-1, *by_key.shape[2:]])
      placed[index] = slices_lib.put_by_unit(by_unit, variable.units, units, variable.shape)
    return placed


class BlockSource:
  """One key for each block, of all its variables; see `SliceSource`."""

  def __init__(self, model: model_lib.Model, count: int, num_tiers: int):
    """Takes the blocks of a model, of which every client receives `count`; raises `ValueError` if they differ."""
    self._blocks = blocks_lib.Blocks(model)
    self.variables = sorted(self._blocks.variables)
    self.num_keys = self._blocks.count
    self.counts = [count] * num_tiers

  def extract(self, weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """See `SliceSource.extract`."""
    return self._blocks.stack(weights)

  def select(self, tensors: Sequence[tf.Tensor], key: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """See `SliceSource.select`."""
    return tuple(tf.gather(stack, key) for stack in tensors)

  def indices(self, keys: tf.Tensor) -> tf.Tensor:
    """See `SliceSource.indices`."""
    return keys

  def place(self, slices: Sequence[tf.Tensor], keys: tf.Tensor) -> dict[int, tf.Tensor]:
    """See `SliceSource.place`."""
    return self._blocks.scatter(slices, keys)


def build(
  model: model_lib.Model,
  layouts: Sequence[slices_lib.Layout],
  selection: selection_lib.Selection | None,
  deliveries: Sequence[delivery_lib.Delivery],
) -> collections.OrderedDict[str, SliceSource]:
  """Returns the sources of all that reaches clients in slices, by axis name.

  Args:
    model: That of the server.
    layouts: The layout of each tier.
    selection: What clients choose themselves, if they do.
    deliveries: How each variable reaches clients that receive it whole.

  Returns:
    One for each axis that a layout slices, and one for blocks if clients choose some.

  Raises:
    ValueError: For blocks that differ or are frozen, and for an axis that is frozen altogether.
  """
  sources = collections.OrderedDict(
    (axis, UnitSource(model, axis, layouts, deliveries)) for axis in slices_lib.largest_counts(layouts)
  )
  if selection and selection.blocks is not None:
    sources[blocks_lib.AXIS] = BlockSource(model, selection.blocks, len(layouts))
    if any(deliveries[index].way is delivery_lib.Way.REBUILT for index in sources[blocks_lib.AXIS].variables):
      raise ValueError('select(blocks=...) does not combine with frozen variables in blocks: they never travel')
  return sources


def sliced(
  model: model_lib.Model, deliveries: Sequence[delivery_lib.Delivery], sources: Mapping[str, SliceSource]
) -> tuple[delivery_lib.Delivery, ...]:
  """Returns how each variable reaches clients that receive those of `sources` in slices.

  Args:
    model: That of the server.
    deliveries: How each variable reaches clients that receive it whole.
    sources: Made by `build`.

  Raises:
    ValueError: If clients hold one of them already.
  """
  changed = list(deliveries)
  for index in [index for source in sources.values() for index in source.variables]:
    variable = model.variables[index]
    if deliveries[index].way is delivery_lib.Way.KEPT:
      raise ValueError(f'clients cannot both keep a variable and receive slices of it: {variable.name}')
    changed[index] = delivery_lib.Delivery(delivery_lib.Way.SLICED, functools.partial(tf.zeros, variable.shape))
  return tuple(changed)
