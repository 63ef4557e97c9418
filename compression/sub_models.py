"""The sub-models that a round's clients may have, and how each says which units of the model its slices are.

A client's layout is one of a few, known when graphs are built, so that every slice has a static shape; which layout a
client has, and which units, is known when they run. Units that follow from the round are known at both ends and travel
uncounted; those that a client chose itself travel as packed bits and are counted, unless it trained nothing of theirs: as
ascending keys that stand for a few neighbouring units each.
"""

import collections
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import functools
from typing import Any
from typing import NamedTuple

import tensorflow as tf

from compression import positions
from compression import slices
from models import model as model_lib


class Claim(NamedTuple):
  """What a client says of its sub-model.

  Attributes:
    layout: uint8 [1]: the index of its layout; uint8 [0] if there is only one.
    keys: For each axis whose units clients choose: uint8, packed by `positions`; empty if none of it travels.
    known: For each other axis, int32 [largest count]: the indices, not counted.
  """

  layout: tf.Tensor
  keys: Mapping[str, tf.Tensor]
  known: Mapping[str, tf.Tensor]


class SubModels:
  """The layouts over the variables of a model."""

  def __init__(
    self,
    variables: Sequence[model_lib.Variable],
    layouts: Sequence[slices.Layout] = (slices.WHOLE,),
    units_per_key: Mapping[str, int] | None = None,
  ):
    """Takes the layouts.

    Args:
      variables: Those of the whole model.
      layouts: 1 to 256; those of which none slices anything are like one.
      units_per_key: For each axis whose units clients choose, how many neighbouring units one key stands for: a client's
        indices are those of whole keys, one key after the other, ascending.

    Raises:
      ValueError: For a layout that does not fit the variables, for an axis of keys that no layout slices, and for keys that do not
        divide what clients hold.
    """
    if not 1 <= len(layouts) <= 256:
      raise ValueError(f'clients have one of 1 to 256 layouts, not of {len(layouts)}')
    for layout in layouts:
      layout.check(variables)
    self.variables = tuple(variables)
    self.counts = slices.largest_counts(layouts)
    self.layouts = tuple(layouts) if self.counts else (slices.WHOLE,)
    self.specs = [tf.TensorSpec(variable.shape) for variable in variables]
    self.sliced = slices.sliced(variables, layouts)
    self._totals = {variable.units.axis: variable.units.count for variable in variables if variable.units}
    self._units_per_key = dict(units_per_key or {})
    if unknown := sorted(set(self._units_per_key).difference(self.counts)):
      raise ValueError(f'units_per_key names {", ".join(unknown)}, of which no layout holds a part')
    for axis, size in self._units_per_key.items():
      counts = [self._totals[axis], *(layout.counts[axis] for layout in layouts if axis in layout.counts)]
      if any(count % size for count in counts):
        raise ValueError(f'keys of {size} units of axis {axis!r} do not divide {sorted(set(counts))}')

  def specs_in(self, layout: slices.Layout) -> list[tf.TensorSpec]:
    """Returns the specs of what clients of a layout hold."""
    return [layout.spec(variable) for variable in self.variables]

  def switch(self, layout: tf.Tensor, build: Callable[[slices.Layout], Any]) -> Any:
    """Runs the graph that `build` makes for one layout.

    Args:
      layout: int32 []: which.
      build: Returns tensors in the same structure for each layout; their shapes may differ.

    Returns:
      What `build` returns.

    Raises:
      InvalidArgumentError: When the graph runs, if there is no such layout.
    """
    if len(self.layouts) == 1:
      return build(self.layouts[0])
    exists = tf.logical_and(layout >= 0, layout < len(self.layouts))
    with tf.control_dependencies([tf.debugging.Assert(exists, ['no such layout:', layout])]):
      layout = tf.identity(layout)
    return tf.switch_case(layout, [functools.partial(build, each) for each in self.layouts])

  def indices(self, layout: slices.Layout, units: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns those of a client's indices, int32 [largest count] for each axis, that count in its layout."""
    return {axis: units[axis][:count] for axis, count in layout.counts.items()}

  def pack(
    self, layout: slices.Layout, indices: Mapping[str, tf.Tensor], trained: tf.Tensor
  ) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns `Claim.keys`; `trained` is bool [n]: what travels at all.

    Raises:
      InvalidArgumentError: When the graph runs, for keys that do not ascend.
    """
    keys = collections.OrderedDict()
    for axis in self._chosen():
      holders = [i for i, variable in enumerate(self.variables) if variable.units and variable.units.axis == axis]
      keys[axis] = (
        tf.cond(
          tf.reduce_any(tf.gather(trained, holders)),
          lambda axis=axis: self._pack_keys(axis, indices[axis]),
          lambda: tf.zeros([0], tf.uint8),
        )
        if axis in layout.counts
        else tf.zeros([0], tf.uint8)
      )
    return keys

  def claim(self, layout: tf.Tensor, keys: Mapping[str, tf.Tensor], units: Mapping[str, tf.Tensor]) -> Claim:
    """Returns what a client says of its sub-model, from its int32 [] layout, the result of `pack` and all its indices."""
    number = tf.zeros([0], tf.uint8) if len(self.layouts) == 1 else tf.cast(layout[tf.newaxis], tf.uint8)
    known = collections.OrderedDict((axis, units[axis]) for axis in self.counts if axis not in self._units_per_key)
    return Claim(number, keys, known)

  def layout_of(self, claim: Claim) -> tf.Tensor:
    """Returns the client's layout, int32 []."""
    return tf.constant(0) if len(self.layouts) == 1 else tf.cast(claim.layout[0], tf.int32)

  def claimed(self, layout: slices.Layout, claim: Claim) -> dict[str, tf.Tensor]:
    """Inverts `pack`: the indices, int32, of each axis of the client's layout, their number unknown to the graph."""
    return {
      axis: self._unpack_keys(axis, claim.keys[axis], count)
      if axis in self._units_per_key
      else claim.known[axis][:count]
      for axis, count in layout.counts.items()
    }

  def held(self, layout: slices.Layout, indices: Mapping[str, tf.Tensor]) -> collections.OrderedDict[str, tf.Tensor]:
    """Returns which units a client holds of each axis that some layout slices: float32 [total], 1 or 0.

    Raises:
      InvalidArgumentError: When the graph runs, for a unit out of range or one that occurs twice; names the axis.
    """
    held = collections.OrderedDict()
    for axis in self.counts:
      if axis not in layout.counts:
        held[axis] = tf.ones([self._totals[axis]])
        continue
      times = slices.occurrences(axis, self._totals[axis], indices[axis])
      message = f'a client has a unit of axis {axis} twice:'
      with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(times <= 1.0), [message, indices[axis]])]):
        held[axis] = tf.identity(times)
    return held

  def _chosen(self) -> list[str]:
    return [axis for axis in self.counts if axis in self._units_per_key]

  def _pack_keys(self, axis: str, indices: tf.Tensor) -> tf.Tensor:
    size = self._units_per_key[axis]
    return positions.pack(indices[::size] // size, self._totals[axis] // size)

  def _unpack_keys(self, axis: str, packed: tf.Tensor, count: int) -> tf.Tensor:
    size = self._units_per_key[axis]
    keys = positions.unpack(packed, self._totals[axis] // size, count // size)
    # The slice keeps the length that `slices.put` knows from becoming that of the keys, where it would be counted.
    return tf.reshape(keys[:, tf.newaxis] * size + tf.range(size), [-1])[:count]
