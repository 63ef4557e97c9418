"""Movie reviews and whether they praise: Maas et al., "Learning Word Vectors for Sentiment Analysis", 2011."""

from collections.abc import Iterator
import pathlib

from data import arguments
from data import errors
from data import source
from data.sources import folders
from data.sources import text

_SPLITS = {'train': 'train', 'test': 'heldout'}  # the archive's names to ours
_CLASSES = ('neg', 'pos')


def imdb(path: str | None = None, max_examples: int | None = None, sequence_length: int = 128) -> source.LabelledSource:
  """Reads film reviews, the unpacked archive aclImdb: train/pos, train/neg, test/pos and test/neg, a .txt file a review.

  Args:
    path: The folder of train and test, or the one that holds it as aclImdb; must be given.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if a folder is missing or holds no review, or an argument is out of range.
  """
  root = arguments.require_path('imdb', path)
  if (root / 'aclImdb').is_dir():
    root /= 'aclImdb'
  labelled = [root / part / label for part in _SPLITS for label in _CLASSES]
  files = {folder: sorted(file for file in folder.glob('*.txt') if not folders.is_hidden(file)) for folder in labelled}
  for folder, reviews in files.items():
    if not reviews:
      raise errors.DataError(f'{str(folder)!r} holds no .txt file: give imdb the unpacked folder aclImdb')
  fingerprint = '\n'.join(arguments.describe_files(root, [file for reviews in files.values() for file in reviews]))
  return source.LabelledSource('imdb', fingerprint, lambda: _read(files), _CLASSES, max_examples, sequence_length)


def _read(files: dict[pathlib.Path, list[pathlib.Path]]) -> Iterator[tuple[str, source.Example]]:
  for folder, reviews in files.items():
    for review in reviews:
      yield _SPLITS[folder.parent.name], source.Example('all', text.read_text(review), folder.name)
