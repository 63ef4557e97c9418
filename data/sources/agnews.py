"""AG's News: Zhang, Zhao, LeCun, "Character-level Convolutional Networks for Text Classification", 2015."""

from data import source
from data.sources import labelled_csv

_CLASS_OF = {'1': 'World', '2': 'Sports', '3': 'Business', '4': 'Sci/Tech'}


def agnews(
  path: str | None = None, max_examples: int | None = None, sequence_length: int = 128
) -> source.LabelledSource:
  """Reads AG's News: the published train.csv and test.csv: class 1 to 4, title, description; the description is the text.

  Args:
    path: The folder of the two files; must be given.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if a file is missing or an argument out of range.
  """
  fields = ('class', 'title', 'text')
  return labelled_csv.train_and_test('agnews', path, fields, _CLASS_OF, _unescape, max_examples, sequence_length)


def _unescape(text: str) -> str:
  """Returns the text with spaces for its line breaks, each of which is a backslash in these files."""
  return text.replace('\\', ' ')
