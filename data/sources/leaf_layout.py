"""Tells the two layouts of LEAF's files apart: windows of running text with their next characters, texts with labels.

Both may have a `y` of one character. Windows of a user overlap: each is the one before, moved on by one character, so
that x[i + 1] == x[i][1:] + y[i]; texts do not.
"""

from collections.abc import Iterable
from collections.abc import Sequence

from data import errors

_REMEDY = (
  'keep the windows of a user in their order (preprocess.sh -s niid), or write labels as numbers or as longer text'
)


class Evidence:
  """What the examples of all files of a data set say about its layout."""

  def __init__(self) -> None:
    self._num_longer = 0  # `y` that is not one character
    self._num_pairs = 0  # neighbours that can tell
    self._num_overlaps = 0  # of them
    self._num_scattered = 0  # windows that move on to one that is not their neighbour
    self._lengths: set[int] = set()

  def add_file(self, users: Iterable[tuple[Sequence[str], Sequence[object]]]) -> None:
    """Takes the examples of one file: `x` as text, and `y`, of each user."""
    users = list(users)
    before = self._num_overlaps
    for texts, ys in users:
      self._num_longer += sum(not _is_character(y) for y in ys)
      self._lengths.update(map(len, texts))
      for text, y, following in zip(texts, ys, texts[1:], strict=False):
        moved = _moved(text, y)
        if moved is not None and not moved == text == following:  # A run of one character is its own next window.
          self._num_pairs += 1
          self._num_overlaps += moved == following
    if self._num_overlaps == before:
      everywhere = {text for texts, _ in users for text in texts}
      for texts, ys in users:
        moves = ((text, _moved(text, y)) for text, y in zip(texts, ys, strict=True))
        self._num_scattered += sum(moved != text and moved in everywhere for text, moved in moves)

  def is_windows(self, place: str) -> bool:
    """Whether the data set has windows: at least half of the neighbours overlap, and each `y` is one character.

    It has labels if no windows overlap, or not half of them and some `y` is not one character.

    Raises:
      DataError: If neither can be said; it begins with `place`.
    """
    mostly = self._num_pairs > 0 and 2 * self._num_overlaps >= self._num_pairs
    if mostly and not self._num_longer:
      return True
    if mostly:
      raise errors.DataError(
        f'{place}: "x" holds windows of running text, but {self._num_longer:,} of "y" are not one character: '
        'give the next character of each'
      )
    if self._num_longer:
      return False
    if self._num_overlaps or self._num_scattered:
      raise errors.DataError(
        f'{place}: cannot tell labels from next characters, since {self._num_overlaps + self._num_scattered:,} of "x" '
        f'move on by "y" to another "x", but {self._num_pairs - self._num_overlaps:,} not to the one after: {_REMEDY}'
      )
    if not self._num_pairs and len(self._lengths) == 1:
      raise errors.DataError(
        f'{place}: cannot tell labels from next characters, since no user has two examples that differ and all "x" are '
        f'of one length: {_REMEDY}'
      )
    return False


def _is_character(y: object) -> bool:
  return isinstance(y, str) and len(y) == 1


def _moved(window: str, y: object) -> str | None:
  """Returns the window that comes after if `y` is the next character; None if it can be none."""
  return window[1:] + y if window and _is_character(y) else None
