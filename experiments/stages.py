"""In which stages an encoder grows: block by block, training the newest ones or all so far, or the whole at once.

layerwise     stage s adds blocks on top of frozen ones and trains only those: Guo et al. 2023 (arXiv 2309.05213)
progressive   stage s adds blocks and trains all so far
end_to_end    one stage with all blocks
"""

import dataclasses

from optimizers import policies
from optimizers import trainable

HEADS = ('per_stage', 'shared')


@dataclasses.dataclass(frozen=True)
class Stage:
  """One stage.

  Attributes:
    number: From 1.
    num_blocks: Of the encoder in this stage.
    num_trained_blocks: The last ones.
  """

  number: int
  num_blocks: int
  num_trained_blocks: int

  @property
  def policy(self) -> trainable.Policy:
    """What clients train in it."""
    return policies.layerwise(self.num_trained_blocks)


@dataclasses.dataclass(frozen=True)
class Stages:
  """How an encoder grows.

  Attributes:
    layers_per_stage: Blocks that a stage adds; None for all at once.
    freezes: Whether blocks of earlier stages are frozen.
    head: Whether each stage begins with a head of its own, `per_stage`, or goes on with that of the last, `shared`.
  """

  layers_per_stage: int | None
  freezes: bool
  head: str = 'per_stage'

  def __post_init__(self):
    count = self.layers_per_stage
    if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
      raise ValueError(f'layers_per_stage must be a whole number of at least 1, not {count!r}')
    if self.head not in HEADS:
      raise ValueError(f'head must be one of {", ".join(HEADS)}, not {self.head!r}')

  def of(self, num_blocks: int) -> tuple[Stage, ...]:
    """Returns the stages of an encoder; raises `ValueError` if they do not come out even."""
    added = self.layers_per_stage or num_blocks
    if num_blocks % added:
      raise ValueError(f'layers_per_stage={added} must divide the {num_blocks} blocks of the encoder')
    depths = range(added, num_blocks + 1, added)
    return tuple(Stage(number, depth, added if self.freezes else depth) for number, depth in enumerate(depths, start=1))


def layerwise(layers_per_stage: int = 1, head: str = 'per_stage') -> Stages:
  """Configures layer-wise learning; see `Stages`."""
  return Stages(layers_per_stage, freezes=True, head=head)


def progressive(layers_per_stage: int = 1, head: str = 'per_stage') -> Stages:
  """Configures progressive learning; see `Stages`."""
  return Stages(layers_per_stage, freezes=False, head=head)


def end_to_end() -> Stages:
  """Configures learning of all blocks at once."""
  return Stages(None, freezes=False)


STAGES = {'layerwise': layerwise, 'progressive': progressive, 'end_to_end': end_to_end}
