"""Sub-models of some of a model's blocks, which have to be alike.

    the client's block_0, block_1, ... are the model's blocks chosen[0] < chosen[1] < ...

What is left out is skipped, as if it were the identity. That suits residual blocks, whose output is their input and
something added, and no others; whether a model's are is not checked.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from models import model as model_lib
from optimizers import local_optimizer

AXIS = 'blocks'  # What they are called beside the axes of `models.model.Units`.


class Blocks:
  """The blocks of a model.

  Weights of the whole model are tuples in its order; `stacks` are one tensor [count, ...] for each variable of a block.
  """

  def __init__(self, model: model_lib.Model):
    """Takes the blocks.

    Args:
      model: Its blocks are those named `block_0`, `block_1` and so on.

    Raises:
      ValueError: For a model without blocks, or with blocks that differ in the names or shapes of their variables.
    """
    members: dict[str, dict[str, int]] = {}
    for index, variable in enumerate(model.variables):
      if variable.block.startswith('block_'):
        members.setdefault(variable.block, {})[variable.name.removeprefix(variable.block)] = index
    if not members:
      raise ValueError('the model has no blocks of which a client could hold some')
    shapes = [{name: model.variables[index].shape for name, index in block.items()} for block in members.values()]
    if any(each != shapes[0] for each in shapes):
      raise ValueError('blocks can be chosen only where all have variables of the same names and shapes')
    self.count = len(members)
    self._model = model
    # For each variable of a block, its index in each block.
    self._indices = [[block[name] for block in members.values()] for name in shapes[0]]

  @property
  def variables(self) -> frozenset[int]:
    """The indices of the variables that lie in blocks."""
    return frozenset(index for indices in self._indices for index in indices)

  def first(self, count: int) -> model_lib.Model:
    """Returns the model of the first `count` blocks and all that lies outside of blocks."""
    return dataclasses.replace(self._model, variables=tuple(self._model.variables[i] for i in self._kept(count)))

  def stack(self, weights: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """Stacks the same variable of all blocks."""
    return tuple(tf.stack([weights[index] for index in indices]) for indices in self._indices)

  def scatter(self, stacks: Sequence[tf.Tensor], chosen: tf.Tensor) -> dict[int, tf.Tensor]:
    """Puts stacks of the chosen blocks only, int32 [k], in their places; what was not chosen is zero.

    Args:
      stacks: float32 [k, ...]; the graph need not know k.
      chosen: Distinct.

    Returns:
      By index, all variables that lie in blocks.
    """
    scattered = {}
    for indices, stack in zip(self._indices, stacks, strict=True):
      whole = tf.scatter_nd(chosen[:, tf.newaxis], stack, [self.count, *self._model.variables[indices[0]].shape])
      scattered.update(zip(indices, tf.unstack(whole), strict=True))
    return scattered

  def take(self, weights: Sequence[tf.Tensor], chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Returns the weights of the model of the chosen blocks, int32 [k] with k static: those of `first(k)`."""
    return self._merged(weights, [tf.unstack(tf.gather(stack, chosen)) for stack in self.stack(weights)])

  def put(self, tensors: Sequence[tf.Tensor], chosen: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """Inverts `take` but for what was not chosen, which is zero."""
    by_index = dict(zip(self._kept(chosen.shape[0]), tensors, strict=True))
    stacks = [tf.stack([by_index[index] for index in indices[: chosen.shape[0]]]) for indices in self._indices]
    by_index |= self.scatter(stacks, chosen)
    return tuple(by_index[index] for index in range(len(self._model.variables)))

  def take_flags(
    self, flags: Sequence[local_optimizer.TrainedFlag], chosen: tf.Tensor
  ) -> tuple[local_optimizer.TrainedFlag, ...]:
    """Does `take` on one flag for each variable; one that is the same in all blocks stays known to the graph."""
    by_block = [[flags[index] for index in indices] for indices in self._indices]
    return self._merged(
      flags,
      [
        each[: chosen.shape[0]]
        if all(flag is each[0] for flag in each)
        else tf.unstack(tf.gather(tf.stack([tf.convert_to_tensor(flag, tf.bool) for flag in each]), chosen))
        for each in by_block
      ],
    )

  def only_chosen(
    self, flags: Sequence[local_optimizer.TrainedFlag], chosen: tf.Tensor
  ) -> tuple[local_optimizer.TrainedFlag, ...]:
    """Clears the flags of variables in blocks that were not chosen."""
    by_index: dict[int, local_optimizer.TrainedFlag] = dict(enumerate(flags))
    for indices in self._indices:
      for block, index in enumerate(indices):
        by_index[index] = tf.logical_and(flags[index], tf.reduce_any(tf.equal(chosen, block)))
    return tuple(by_index.values())

  def _kept(self, count: int) -> list[int]:
    dropped = {index for indices in self._indices for index in indices[count:]}
    return [index for index in range(len(self._model.variables)) if index not in dropped]

  def _merged(self, whole: Sequence, parts: Sequence[Sequence]) -> tuple:
    """Returns one element for each variable of a smaller model: those of `parts` [variable][block], others of `whole`."""
    count = len(parts[0])
    by_index: Mapping[int, object] = {
      index: value
      for indices, values in zip(self._indices, parts, strict=True)
      for index, value in zip(indices, values, strict=False)
    }
    return tuple(by_index.get(index, whole[index]) for index in self._kept(count))
