"""A user's own labelled texts in a CSV file, whose first row names the columns."""

from collections.abc import Iterator
from collections.abc import Sequence
import pathlib

from data import errors
from data import source
from data.sources import labelled_csv
from data.sources import labelled_files
from data.sources import labelled_rows


def csv_rows(
  path: str | None = None,
  text: str = 'text',
  label: str = 'label',
  user: str | None = None,
  max_examples: int | None = None,
  sequence_length: int = 128,
) -> source.LabelledSource:
  """Reads a CSV file of your own with a header: columns of text, label and, if you say so, user; others are passed over.

  The file is UTF-8, columns are separated by commas, and a field with commas, quotes or line breaks stands in double
  quotes, in which quotes are doubled. Classes are the labels that it has, two or more, in alphabetical order, or in that of
  numbers. With users a tenth of them is held out, one at least, by a hash of their names; else a tenth of the texts of
  each class, by a hash of the text.

  Args:
    path: See `LabelledFile`.
    text: See `LabelledFile`.
    label: See `LabelledFile`.
    user: See `LabelledFile`.
    max_examples: See `LabelledFile`.
    sequence_length: See `LabelledFile`.

  Raises DataError if the file is missing or malformed, or an argument does not fit it.
  """
  return labelled_files.LabelledFile(path, text, label, user, max_examples, sequence_length).dataset('csv', _read)


def _read(file: pathlib.Path, names: Sequence[str]) -> Iterator[labelled_rows.LabelledRow]:
  rows = labelled_csv.read_rows(file)
  _, header = next(rows, (1, []))
  columns = [column.strip() for column in header]
  for name in names:
    if columns.count(name.strip()) != 1:
      listed = labelled_rows.listed(columns)
      problem = 'columns are called alike' if name.strip() in columns else 'is no column'
      raise errors.DataError(
        f'{str(file)!r}: {name!r} {problem}; the first line names {listed}: separate columns by commas, and say '
        "which are which, as csv(path=..., text='...', label='...')"
      )
  places = [columns.index(name.strip()) for name in names]
  for number, fields in rows:
    place = f'{str(file)!r} line {number}'
    if len(fields) != len(columns):
      raise errors.DataError(f'{place} has {len(fields)} fields instead of {len(columns)}: mend or remove the row')
    yield labelled_rows.row(place, *(fields[index] for index in places))
