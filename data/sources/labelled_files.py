"""Data sets of one file of a user's own, whose rows have a text, a label and perhaps a user, by name."""

from collections.abc import Callable
from collections.abc import Iterable
import os
import pathlib
from typing import NamedTuple

from data import arguments
from data import errors
from data import source
from data.sources import labelled_rows

# From a file and the names of text, label and perhaps user to the rows.
Reader = Callable[[pathlib.Path, list[str]], Iterable[labelled_rows.LabelledRow]]


class LabelledFile(NamedTuple):
  """A file, and what of it is which.

  Attributes:
    path: The file; must be given.
    text: The column, or field, of texts.
    label: The column, or field, of labels.
    user: That of users, who are the clients of partition natural and of evaluations; None = users are not known.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.
  """

  path: str | None
  text: str
  label: str
  user: str | None
  max_examples: int | None
  sequence_length: int

  def dataset(self, name: str, read: Reader) -> source.LabelledSource:
    """Returns the data set `name` of what `read` reads; raises DataError if it cannot be read or an argument does not fit."""
    names = self._names()
    file = arguments.require_path(name, self.path)
    if not file.is_file():
      raise errors.DataError(f'{str(file)!r} is no file: give {name} the file that holds the texts')
    if not os.path.getsize(file):
      raise errors.DataError(f'{str(file)!r} is empty: write texts and labels to it')
    rows = labelled_rows.Rows(
      name=name,
      place=repr(str(file)),
      describe=lambda: [name, repr(names), *arguments.describe_files(file.parent, [file])],
      read=lambda: read(file, names),
    )
    return labelled_rows.dataset(rows, self.max_examples, self.sequence_length)

  def _names(self) -> list[str]:
    """Returns the names of two or three fields; raises DataError unless each is text and no two are alike."""
    given = {'text': self.text, 'label': self.label} | ({} if self.user is None else {'user': self.user})
    for argument, name in given.items():
      if not isinstance(name, str) or not name.strip():
        raise errors.DataError(f"{argument}={name!r} must name a field of each row, such as {argument}='{argument}'")
    names = list(given.values())
    if len({name.strip() for name in names}) < len(names):
      listed = ', '.join(f'{argument}={name!r}' for argument, name in given.items())
      raise errors.DataError(f'{listed} must name different fields')
    return names
