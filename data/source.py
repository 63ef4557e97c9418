"""What every data set is before it is tokenised: a named, fingerprinted stream of text with clients."""

from collections.abc import Callable
from collections.abc import Iterable
import dataclasses
from typing import NamedTuple

from data import arguments

SPLITS = ('pretrain', 'train', 'heldout')

DEFAULT_VOCABULARY = 4000
DEFAULT_SEQUENCE_LENGTH = 30


class Example(NamedTuple):
  """One sentence of one client.

  A `text` without a visible character adds no example but makes the client known: that is how a source
  yields a client that has no data. `label` is what label partitions group by (for docstrings, the package).
  """

  client: str
  text: str
  label: str | None = None


@dataclasses.dataclass(frozen=True)
class TextSource:
  """A text data set that has not been read yet.

  Attributes:
    name: What error messages, progress bars and cache files call it.
    fingerprint: Text that changes whenever what `read` yields could change.
    read: Yields (split, example) pairs, split being one of `SPLITS`, in the same order every time.
    vocabulary: Most sub-word pieces the tokenizer may have, including pad, begin, end and unknown.
    sequence_length: Target positions per example; the token arrays are one longer.
  """

  name: str
  fingerprint: str
  read: Callable[[], Iterable[tuple[str, Example]]]
  vocabulary: int = DEFAULT_VOCABULARY
  sequence_length: int = DEFAULT_SEQUENCE_LENGTH

  def __post_init__(self) -> None:
    arguments.require_integer('vocabulary', self.vocabulary, 8, 1_000_000)
    arguments.require_integer('sequence_length', self.sequence_length, 1, 10_000)


@dataclasses.dataclass(frozen=True)
class LabelledSource:
  """A data set of texts, each of one class, that has not been read yet.

  Attributes:
    name: What error messages, progress bars and cache files call it.
    fingerprint: Text that changes whenever what `read` yields could change.
    read: Yields (split, example) pairs, split being train or heldout and the label one of `class_names`, in the same
      order every time.
    class_names: The names of the classes, in the order of their numbers.
    max_examples: Training examples kept, drawn at random, always the same ones; None = all.
    sequence_length: Tokens per example, those that begin and end it included.
  """

  name: str
  fingerprint: str
  read: Callable[[], Iterable[tuple[str, Example]]]
  class_names: tuple[str, ...]
  max_examples: int | None = None
  sequence_length: int = 128

  def __post_init__(self) -> None:
    if self.max_examples is not None:
      arguments.require_integer('max_examples', self.max_examples, 1, 1_000_000_000)
    arguments.require_integer('sequence_length', self.sequence_length, 3, 10_000)
