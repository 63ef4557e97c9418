"""What every data set is before it is tokenised: a named, fingerprinted stream of text with clients."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import enum
from typing import NamedTuple
from typing import Protocol

from data import arguments
from data import errors

# Of `validation` rates and other settings are chosen, of `heldout` results are told.
SPLITS = ('pretrain', 'train', 'validation', 'heldout')

DEFAULT_VOCABULARY = 4000
DEFAULT_SEQUENCE_LENGTH = 30
CHARACTERS = 'characters'


class Source(Protocol):
  """What every data set is before it is read; `TextSource`, `LabelledSource` and `image_source.ImageSource` are.

  Attributes:
    name: What error messages, progress bars and cache files call it.
    fingerprint: Text that changes whenever what is read could change.
  """

  name: str
  fingerprint: str


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
    read: Yields (split, example) pairs, split being one of `SPLITS`, in the same order every time. If it yields no
      validation examples, some training clients become validation clients; see `spool.Spool.fill`.
    vocabulary: Most sub-word pieces the tokenizer may have, including pad, begin, end and unknown; or `characters`: one
      token for each printable ASCII character, the same ones whatever the text.
    sequence_length: Target positions per example; the token arrays are one longer.
  """

  name: str
  fingerprint: str
  read: Callable[[], Iterable[tuple[str, Example]]]
  vocabulary: int | str = DEFAULT_VOCABULARY
  sequence_length: int = DEFAULT_SEQUENCE_LENGTH

  def __post_init__(self) -> None:
    if isinstance(self.vocabulary, str) and self.vocabulary != CHARACTERS:
      raise errors.DataError(f'vocabulary={self.vocabulary!r} must be a number of pieces, or {CHARACTERS!r}')
    if not isinstance(self.vocabulary, str):
      arguments.require_integer('vocabulary', self.vocabulary, 8, 1_000_000)
    arguments.require_integer('sequence_length', self.sequence_length, 1, 10_000)

  def examples(self) -> Iterator[tuple[str, Example]]:
    """Yields what `read` does; of characters, a text that is too long for one example is cut into several."""
    length = max(1, self.sequence_length - 1)  # A row also begins and ends.
    for split, example in self.read():
      if self.vocabulary != CHARACTERS or len(example.text) <= length:
        yield split, example
      else:
        for start in range(0, len(example.text), length):
          yield split, example._replace(text=example.text[start : start + length])


class Clients(enum.Enum):
  """Who the clients of labelled texts are.

  GROUPS: those that `read` names, or one for all: partition natural takes them, but who evaluates is dealt out anew, and
    validation examples come about as those of `TextSource`.
  USERS: those that `read` names, also of who evaluates; `read` yields all the validation examples there are to be.
  NONE: there are none to keep, and a partition has to make them; validation is as for `USERS`.
  """

  GROUPS = 'groups'
  USERS = 'users'
  NONE = 'none'


@dataclasses.dataclass(frozen=True)
class LabelledSource:
  """A data set of texts, each of one class, that has not been read yet.

  Attributes:
    name: What error messages, progress bars and cache files call it.
    fingerprint: Text that changes whenever what `read` yields could change.
    read: Yields (split, example) pairs, split being train, validation or heldout and the label one of `class_names`,
      in the same order every time.
    class_names: The names of the classes, in the order of their numbers.
    max_examples: Training examples kept, drawn at random, always the same ones; None = all.
    sequence_length: Tokens per example, those that begin and end it included.
    clients: Who they are.
    summary: What is said whenever it is used, such as how many examples a class has; nothing if empty.
  """

  name: str
  fingerprint: str
  read: Callable[[], Iterable[tuple[str, Example]]]
  class_names: tuple[str, ...]
  max_examples: int | None = None
  sequence_length: int = 128
  clients: Clients = Clients.GROUPS
  summary: str = ''

  def __post_init__(self) -> None:
    if self.max_examples is not None:
      arguments.require_integer('max_examples', self.max_examples, 1, 1_000_000_000)
    arguments.require_integer('sequence_length', self.sequence_length, 3, 10_000)
