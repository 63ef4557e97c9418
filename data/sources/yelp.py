"""Yelp reviews, their stars the class: Zhang, Zhao, LeCun, "Character-level Convolutional Networks ...", 2015."""

from data import source
from data.sources import labelled_csv

_CLASS_OF = {'1': '1 star', '2': '2 stars', '3': '3 stars', '4': '4 stars', '5': '5 stars'}


def yelp(path: str | None = None, max_examples: int | None = None, sequence_length: int = 128) -> source.LabelledSource:
  """Reads Yelp reviews: the published train.csv and test.csv of "Yelp full", stars 1 to 5, text.

  Args:
    path: The folder of the two files; must be given.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if a file is missing or an argument out of range.
  """
  return labelled_csv.train_and_test(
    'yelp', path, ('class', 'text'), _CLASS_OF, _unescape, max_examples, sequence_length
  )


def _unescape(text: str) -> str:
  """Returns the text with spaces for its line breaks and quotes for its quotes, which are \\n and \\" in these files."""
  return text.replace('\\n', ' ').replace('\\"', '"')
