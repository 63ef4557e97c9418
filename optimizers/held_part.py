"""What a client holds of a model whose slices or blocks alone it received, and the way back to the whole."""

from collections.abc import Mapping
from collections.abc import Sequence

import tensorflow as tf

from compression import slices
from models import model as model_lib
from optimizers import blocks as blocks_lib
from optimizers import local_optimizer
from optimizers import unit_keys


class HeldPart:
  """The part of a model that a client holds: some units of an axis, some of the blocks.

  Attributes:
    layout: How many units of each axis.
    units: For each axis of which the client holds some units, their indices, int32.
    model: The part, as a model of its own.
    sizes: Scalars of its variables, for each of those of the whole model.
  """

  def __init__(
    self, model: model_lib.Model, layout: slices.Layout, units: Mapping[str, tf.Tensor], chosen: tf.Tensor | None
  ):
    """Takes the part.

    Args:
      model: The whole.
      layout: See the class.
      units: See the class.
      chosen: The indices of the blocks that the client holds, ascending: int32 [number of them]; None for all.
    """
    self.layout, self.units = layout, units
    self._whole, self._variables, self._chosen = model, model.variables, chosen
    self._blocks = None if chosen is None else blocks_lib.Blocks(model)
    self.model = model if self._blocks is None else self._blocks.first(chosen.shape[0])
    self.sizes = [layout.spec(variable).shape.num_elements() for variable in model.variables]

  def take(self, weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """Takes the part out of the weights of the whole."""
    taken = tuple(self.layout.take(*each, self.units) for each in zip(self._variables, weights, strict=True))
    return self._blocks.take(taken, self._chosen) if self._blocks else taken

  def put(self, deltas: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """Inverts `take` but for what is not held, which is zero."""
    deltas = self._blocks.put(deltas, self._chosen) if self._blocks else deltas
    return tuple(self.layout.put(*each, self.units) for each in zip(self._variables, deltas, strict=True))

  def take_flags(self, flags: Sequence[local_optimizer.TrainedFlag]) -> Sequence[local_optimizer.TrainedFlag]:
    """Does `take` on one flag for each variable."""
    return self._blocks.take_flags(flags, self._chosen) if self._blocks else flags

  def put_flags(self, flags: Sequence[local_optimizer.TrainedFlag]) -> Sequence[local_optimizer.TrainedFlag]:
    """Clears the flags of variables in blocks that are not held."""
    return self._blocks.only_chosen(flags, self._chosen) if self._blocks else flags

  def positions(self, axis: str) -> tf.Tensor:
    """Returns, for each unit of the full axis, its place among those held, 0 if it is not: int32 [count]."""
    indices = self.units[axis]
    return tf.scatter_nd(indices[:, tf.newaxis], tf.range(tf.size(indices)), [unit_keys.num_units(self._whole, axis)])
