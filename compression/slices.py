"""Slices of variables: the part of a model that a client of a sub-model holds, and where it belongs in the whole.

    sliced = take(kernel, units, indices)                  # the chosen units of a variable
    put(sliced, units, indices, kernel.shape)              # the same in their places among zeros

A variable's units may lie in several copies (the gates of an LSTM) and be several array elements wide (the columns of an
attention head); see `models.model.Units`. A slice has its units in the order of the indices.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math

import tensorflow as tf

from models import model as model_lib


def take(tensor: tf.Tensor, units: model_lib.Units, indices: tf.Tensor) -> tf.Tensor:
  """Takes the chosen units of a variable.

  Args:
    tensor: A tensor of static shape, the variable's.
    units: The units that it consists of.
    indices: int32 [k], k static, each in [0, units.count).

  Returns:
    The slice, of static shape: that of `tensor` but for k instead of `units.count` units.

  Raises:
    InvalidArgumentError: When the graph runs, for an index out of range; names the axis.
  """
  by_unit = take_by_unit(tensor, units, indices)
  return tf.reshape(tf.transpose(by_unit, [1, 0, 2]), sliced_shape(tensor.shape, units, indices.shape[0]))


def take_by_unit(tensor: tf.Tensor, units: model_lib.Units, indices: tf.Tensor) -> tf.Tensor:
  """Takes the chosen units as `take` does, but one after the other: [k, before, values], where a unit is [before, values]."""
  before, _, values = _view(tensor.shape, units)
  by_unit = tf.reshape(tensor, [before, units.count, values])
  taken = tf.gather(by_unit, _checked(indices, units.axis, units.count), axis=1)
  return tf.transpose(taken, [1, 0, 2])


def put(sliced: tf.Tensor, units: model_lib.Units, indices: tf.Tensor, full_shape: Sequence[int]) -> tf.Tensor:
  """Puts a slice where it was taken from; the inverse of `take` but for what was not taken, which is zero.

  Args:
    sliced: A tensor of static shape: k units.
    units: The units that the whole variable consists of.
    indices: int32 [k], distinct, each in [0, units.count); the graph need not know k.
    full_shape: The shape of the whole variable.

  Returns:
    A tensor of `full_shape`.

  Raises:
    InvalidArgumentError: When the graph runs, for an index out of range; names the axis.
  """
  before, elements, values = _view(full_shape, units)
  num_taken = sliced.shape[units.position] // (units.copies * elements)
  by_unit = tf.transpose(tf.reshape(sliced, [before, num_taken, values]), [1, 0, 2])
  return put_by_unit(by_unit, units, indices, full_shape)


def put_by_unit(by_unit: tf.Tensor, units: model_lib.Units, indices: tf.Tensor, full_shape: Sequence[int]) -> tf.Tensor:
  """Puts units, [k, before, values], where `take_by_unit` took them from; the graph need not know k."""
  before, _, values = _view(full_shape, units)
  indices = _checked(indices, units.axis, units.count)
  scattered = tf.scatter_nd(indices[:, tf.newaxis], by_unit, [units.count, before, values])
  return tf.reshape(tf.transpose(scattered, [1, 0, 2]), full_shape)


def spread(per_unit: tf.Tensor, units: model_lib.Units, full_shape: Sequence[int]) -> tf.Tensor:
  """Repeats a number for each unit, [units.count], over that unit's elements; broadcasts with the variable."""
  elements = full_shape[units.position] // (units.copies * units.count)
  repeated = tf.tile(tf.repeat(per_unit, elements), [units.copies])
  return tf.reshape(repeated, [-1, *[1] * (len(full_shape) - units.position - 1)])


def occurrences(axis: str, count: int, indices: tf.Tensor) -> tf.Tensor:
  """Returns how often each of an axis' `count` units occurs in `indices`, int32 of any length: float32 [count].

  Raises:
    InvalidArgumentError: When the graph runs, for an index out of range; names the axis.
  """
  indices = _checked(indices, axis, count)
  return tf.scatter_nd(indices[:, tf.newaxis], tf.ones(tf.shape(indices)), [count])


def sliced_shape(full_shape: Sequence[int], units: model_lib.Units, num_units: int) -> list[int]:
  """Returns the shape of `num_units` units of a variable."""
  shape = list(full_shape)
  shape[units.position] = shape[units.position] // units.count * num_units
  return shape


@dataclasses.dataclass(frozen=True)
class Layout:
  """What one kind of client holds of a model.

  Attributes:
    counts: For each axis of which it holds a part, the number of units; all other axes it holds whole.
  """

  counts: Mapping[str, int]

  def slices(self, variable: model_lib.Variable) -> bool:
    """Tells whether a client holds a part of the variable rather than the whole."""
    return variable.units is not None and variable.units.axis in self.counts

  def spec(self, variable: model_lib.Variable) -> tf.TensorSpec:
    """Returns the spec of what a client holds of the variable, float32.

    Raises:
      ValueError: For a number of units that is not within 1 and what there are.
    """
    if not self.slices(variable):
      return tf.TensorSpec(variable.shape)
    units, count = variable.units, self.counts[variable.units.axis]
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= units.count:
      raise ValueError(f'{variable.name} has {units.count} units of axis {units.axis!r}: no client can hold {count!r}')
    return tf.TensorSpec(sliced_shape(variable.shape, units, count))

  def take(self, variable: model_lib.Variable, tensor: tf.Tensor, indices: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Takes what a client holds of a variable; `indices` of each axis as for `take`."""
    return take(tensor, variable.units, indices[variable.units.axis]) if self.slices(variable) else tensor

  def put(self, variable: model_lib.Variable, sliced: tf.Tensor, indices: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Puts what a client holds of a variable in its place; `indices` of each axis as for `put`."""
    return (
      put(sliced, variable.units, indices[variable.units.axis], variable.shape) if self.slices(variable) else sliced
    )

  def check(self, variables: Sequence[model_lib.Variable]) -> None:
    """Checks the layout against a model.

    Raises:
      ValueError: For an axis that no variable has, an axis with more units in one variable than in another, and a
        number of units that is not within 1 and what there are.
    """
    for axis in self.counts:
      totals = {variable.units.count for variable in variables if variable.units and variable.units.axis == axis}
      if not totals:
        raise ValueError(f'no variable has units of axis {axis!r}')
      if len(totals) > 1:
        raise ValueError(
          f'variables have {sorted(totals)} units of axis {axis!r}: one set of indices cannot fit them all'
        )
    for variable in variables:
      self.spec(variable)


WHOLE = Layout({})


def largest_counts(layouts: Sequence[Layout]) -> collections.OrderedDict[str, int]:
  """Returns, for each axis that some layout slices, the largest number of units that one holds, by axis name."""
  axes = sorted({axis for layout in layouts for axis in layout.counts})
  return collections.OrderedDict(
    (axis, max(layout.counts[axis] for layout in layouts if axis in layout.counts)) for axis in axes
  )


def sliced(variables: Sequence[model_lib.Variable], layouts: Sequence[Layout]) -> list[int]:
  """Returns the indices of the variables of which some layout holds a part."""
  return [index for index, variable in enumerate(variables) if any(layout.slices(variable) for layout in layouts)]


def sliced_units(variables: Sequence[model_lib.Variable], layouts: Sequence[Layout]) -> dict[int, model_lib.Units]:
  """Returns the units of the variables of which some layout holds a part, by index."""
  return {index: variables[index].units for index in sliced(variables, layouts)}


def _view(full_shape: Sequence[int], units: model_lib.Units) -> tuple[int, int, int]:
  """Returns (before, elements, values): the variable's view [before, units.count, values]; elements as in `Units`."""
  full_shape = list(full_shape)
  elements = full_shape[units.position] // (units.copies * units.count)
  before = math.prod(full_shape[: units.position]) * units.copies
  return before, elements, elements * math.prod(full_shape[units.position + 1 :])


def _checked(indices: tf.Tensor, axis: str, count: int) -> tf.Tensor:
  in_range = tf.reduce_all(tf.logical_and(indices >= 0, indices < count))
  message = f'indices of axis {axis} must lie in [0, {count}), not'
  with tf.control_dependencies([tf.debugging.Assert(in_range, [message, indices])]):
    return tf.identity(indices)
