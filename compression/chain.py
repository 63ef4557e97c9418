"""From the links of a chain, as a spec lists them, to the codec of an update."""

from collections.abc import Sequence
import dataclasses

from compression import adaptive
from compression import codec as codec_lib
from compression import stage as stage_lib
from compression import update_codec
from data import arguments


@dataclasses.dataclass(frozen=True)
class Identity:
  """Leaves values as they are: a link that adds nothing."""


@dataclasses.dataclass(frozen=True)
class Concat:
  """Encodes variables that clients always train together as one tensor, with one range or one set of indices."""


@dataclasses.dataclass(frozen=True)
class SmallAs:
  """Variables of fewer than `size` values are encoded by a codec of their own."""

  codec: codec_lib.Codec
  size: int

  def __post_init__(self):
    arguments.check_whole(1, 2**31, size=self.size)


Link = Identity | Concat | SmallAs | adaptive.AdaptiveCodec | stage_lib.Stage


def build(links: Sequence[Link]) -> update_codec.UpdateCodec | adaptive.AdaptiveCodec:
  """Builds the codec of an update from its links, left to right.

  Raises:
    ValueError: If the chain makes no sense: a stage that cannot encode what the one before it leaves, a link about
      variables after a stage, or two that say how small ones are encoded.
  """
  if any(isinstance(link, adaptive.AdaptiveCodec) for link in links):
    if len(links) > 1:
      raise ValueError('a codec that adapts itself is a whole codec: it stands alone')
    return links[0]
  structure, stages = [], []
  for link in links:
    if isinstance(link, stage_lib.Stage):
      stages.append(link)
    elif stages and not isinstance(link, Identity):
      raise ValueError(f'{type(link).__name__.lower()} is about whole variables: put it before the stages')
    else:
      structure.append(link)
  small = [link for link in structure if isinstance(link, SmallAs)]
  if len(small) > 1:
    raise ValueError('small_as is there twice: keep one')
  return update_codec.UpdateCodec(
    codec=codec_lib.Codec(stages),
    small=small[0].codec if small else codec_lib.Codec(),
    small_size=small[0].size if small else 0,
    concatenate=any(isinstance(link, Concat) for link in structure),
  )
