"""In which stages an encoder grows: block by block, training the newest ones or all so far, or the whole at once.

layerwise     stage s adds blocks on top of frozen ones and trains only those: Guo et al. 2023 (arXiv 2309.05213); of the
              frozen ones, some may be dropped at random
progressive   stage s adds blocks and trains all so far
end_to_end    one stage with all blocks
"""

from collections.abc import Sequence
import dataclasses

from data import arguments
from optimizers import depth_dropout as depth_dropout_lib
from optimizers import policies
from optimizers import trainable

HEADS = ('per_stage', 'shared')


@dataclasses.dataclass(frozen=True)
class TrainingStage:
  """One stage.

  Attributes:
    number: From 1.
    num_blocks: Blocks of the encoder in this stage.
    num_trained_blocks: The last ones.
    depth_dropout: Which of the others are left out while training.
  """

  number: int
  num_blocks: int
  num_trained_blocks: int
  depth_dropout: depth_dropout_lib.DepthDropout = depth_dropout_lib.NONE

  @property
  def policy(self) -> trainable.Policy:
    """What clients train in it."""
    return policies.Layerwise(self.num_trained_blocks, self.depth_dropout.rate, self.depth_dropout.per)


@dataclasses.dataclass(frozen=True)
class Growth:
  """How an encoder grows.

  Attributes:
    layers_per_stage: Blocks that a stage adds; None for all at once.
    freezes: Whether blocks of earlier stages are frozen.
    head: Whether each stage begins with a head of its own, `per_stage`, or goes on with that of the last, `shared`.
    depth_dropout: Which frozen blocks are left out while training.
  """

  layers_per_stage: int | None
  freezes: bool
  head: str = 'per_stage'
  depth_dropout: depth_dropout_lib.DepthDropout = depth_dropout_lib.NONE

  def __post_init__(self):
    if self.layers_per_stage is not None:
      arguments.check_whole(1, layers_per_stage=self.layers_per_stage)
    arguments.check_one_of(HEADS, head=self.head)

  def of(self, num_blocks: int) -> tuple[TrainingStage, ...]:
    """Returns the stages of an encoder; raises `ValueError` if they do not come out even."""
    added = self.layers_per_stage or num_blocks
    if num_blocks % added:
      raise ValueError(f'layers_per_stage={added} must divide the {num_blocks} blocks of the encoder')
    depths = range(added, num_blocks + 1, added)
    return tuple(
      TrainingStage(number, depth, added if self.freezes else depth, self.depth_dropout)
      for number, depth in enumerate(depths, start=1)
    )


def check(stages: Sequence[TrainingStage], num_blocks: int) -> None:
  """Raises `ValueError` or `TypeError` for stages that do not grow an encoder of so many blocks, one after the other."""
  if not stages:
    raise ValueError('there must be one at least')
  for number, stage in enumerate(stages, start=1):
    if not isinstance(stage, TrainingStage) or stage.number != number:
      raise ValueError(f'stage {number} must be a TrainingStage of number={number}, not {stage!r}')
    arguments.check_whole(1, num_blocks, num_blocks=stage.num_blocks)
    arguments.check_whole(1, stage.num_blocks, num_trained_blocks=stage.num_trained_blocks)


def layerwise(
  layers_per_stage: int = 1, head: str = 'per_stage', drop_rate: float = 0.0, drop_per: str = 'step'
) -> Growth:
  """Configures layer-wise learning: each stage trains the blocks it adds, on top of frozen ones.

  Args:
    layers_per_stage: See `Growth`.
    head: See `Growth`.
    drop_rate: With which probability each frozen block is left out, in [0, 1).
    drop_per: How often that is drawn: `step`, `client` (in each round) or `round` (for all clients alike).

  Returns:
    The stages.

  Raises:
    ValueError: For a value out of range.
  """
  depth_dropout = depth_dropout_lib.DepthDropout(drop_rate, drop_per)
  return Growth(layers_per_stage, freezes=True, head=head, depth_dropout=depth_dropout)


def progressive(layers_per_stage: int = 1, head: str = 'per_stage') -> Growth:
  """Configures progressive learning: each stage adds blocks and trains all so far.

  Args:
    layers_per_stage: See `Growth`.
    head: See `Growth`.

  Returns:
    The stages.

  Raises:
    ValueError: For a value out of range.
  """
  return Growth(layers_per_stage, freezes=False, head=head)


def end_to_end() -> Growth:
  """Configures learning of all blocks at once, in one stage."""
  return Growth(None, freezes=False)


GROWTHS = {'layerwise': layerwise, 'progressive': progressive, 'end_to_end': end_to_end}
