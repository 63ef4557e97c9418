"""Sentences of horror stories and their authors: the train.csv of Kaggle's "Spooky Author Identification", 2017."""

from collections.abc import Iterator
import pathlib

from data import arguments
from data import client_key
from data import source
from data.sources import labelled_csv

_FIELDS = ('id', 'text', 'class')
_AUTHORS = ('EAP', 'HPL', 'MWS')
_HELDOUT_ONE_IN = 4


def spooky(
  path: str | None = None, max_examples: int | None = None, sequence_length: int = 128
) -> source.LabelledSource:
  """Reads Kaggle's Spooky Authors: id, text, author (Poe, Lovecraft, Shelley); a quarter, by a hash of the id, is held out.

  Args:
    path: The train.csv, or its folder; must be given. Kaggle's test.csv names no authors.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if the file is missing or an argument out of range.
  """
  file = arguments.require_path('spooky', path)
  if file.is_dir():
    file = arguments.require_path('spooky', file / 'train.csv')
  fingerprint = '\n'.join(arguments.describe_files(file.parent, [file]))
  return source.LabelledSource('spooky', fingerprint, lambda: _read(file), _AUTHORS, max_examples, sequence_length)


def _read(file: pathlib.Path) -> Iterator[tuple[str, source.Example]]:
  for row in labelled_csv.read(file, _FIELDS, {author: author for author in _AUTHORS}, has_header=True):
    split = 'train' if client_key.derive(row['id']).client_key % _HELDOUT_ONE_IN else 'heldout'
    yield split, source.Example(labelled_csv.CLIENT, row['text'], row['class'])
