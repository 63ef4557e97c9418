"""Depth dropout: blocks that a client does not train are left out at random (Guo et al. 2023, arXiv 2309.05213).

    x <- x + f(x) with probability 1 - rate, else x <- x            for each frozen block; trained ones always run

The paper leaves open how often the draw is made; here it is by step, by client in each round, or by round for all clients
alike. An evaluation runs all blocks.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from data import arguments
from models import layers
from models import task as task_lib
from optimizers import local_optimizer
from optimizers import randomness

PER = ('step', 'client', 'round')


@dataclasses.dataclass(frozen=True)
class DepthDropout:
  """Which frozen blocks are left out.

  Attributes:
    rate: The probability for each block, in [0, 1).
    per: How often that is drawn: one of `PER`.
  """

  rate: float = 0.0
  per: str = 'step'

  def __post_init__(self):
    arguments.check_within('[0, 1)', drop_rate=self.rate)
    arguments.check_one_of(PER, drop_per=self.per)

  def at_client(
    self,
    task: task_lib.Task,
    flags: Sequence[local_optimizer.TrainedFlag],
    round_seed: tf.Tensor,
    client_key: tf.Tensor,
  ) -> Callable[[tf.Tensor], task_lib.Task]:
    """Begins a client's round.

    Args:
      task: What is trained.
      flags: Which variables, in the order of its model.
      round_seed: int64[2], broadcast by the server.
      client_key: int64 [].

    Returns:
      From the number of a step, int64 [], to the task whose model leaves out what is dropped in it.
    """
    blocks = frozen_blocks(task, flags)
    if self.rate == 0.0 or not blocks:
      return lambda step: task
    seed = self._seed(round_seed, client_key)
    if self.per == 'step':
      return lambda step: partly(task, blocks, self.draw(len(blocks), _folded(seed, step)))
    drawn = partly(task, blocks, self.draw(len(blocks), seed))
    return lambda step: drawn

  def kept_in_round(self, num_blocks: int, round_seed: tf.Tensor, client_key: tf.Tensor) -> tf.Tensor:
    """Tells which of the frozen blocks a client needs in a round, bool [num_blocks]: if steps draw, all of them."""
    if self.per == 'step' or self.rate == 0.0:
      return tf.fill([num_blocks], True)
    return self.draw(num_blocks, self._seed(round_seed, client_key))

  def draw(self, num_blocks: int, seed: tf.Tensor) -> tf.Tensor:
    """Draws from a seed, int64[2], which blocks are kept: bool [num_blocks]."""
    return tf.random.stateless_uniform([num_blocks], seed) >= self.rate

  def _seed(self, round_seed: tf.Tensor, client_key: tf.Tensor) -> tf.Tensor:
    if self.per == 'round':
      return randomness.round_seed(round_seed, randomness.Purpose.DEPTH_DROPOUT)
    return randomness.client_seed(round_seed, client_key, randomness.Purpose.DEPTH_DROPOUT)


def frozen_blocks(task: task_lib.Task, flags: Sequence[local_optimizer.TrainedFlag]) -> list[str]:
  """Returns the names of the blocks of which nothing is trained, in order."""
  trains = {}
  for variable, flag in zip(task.model.variables, flags, strict=True):
    if variable.block.startswith('block_'):
      trains[variable.block] = trains.get(variable.block, False) or flag is not False
  return [block for block, is_trained in trains.items() if not is_trained]


def partly(task: task_lib.Task, blocks: Sequence[str], kept: Sequence[bool] | tf.Tensor) -> task_lib.Task:
  """Returns the task whose model leaves out blocks.

  Args:
    task: Its model has residual blocks that run by `layers.passed`.
    blocks: Names of blocks.
    kept: For each of them, whether it runs: bool [number of blocks], or bools that are known while tracing.

  Returns:
    The task, with the same variables.
  """
  flags = {layers.kept_name(block): kept[index] for index, block in enumerate(blocks)}
  apply = task.model.apply
  model = dataclasses.replace(task.model, apply=lambda weights, inputs, seed: apply({**weights, **flags}, inputs, seed))
  return dataclasses.replace(task, model=model)


def _folded(seed: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
  return tf.random.experimental.stateless_fold_in(seed, number)


NONE = DepthDropout()
