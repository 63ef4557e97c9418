"""Reads CSV files with a class in each row, and says in which line one is broken."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import csv
import pathlib

from data import arguments
from data import errors
from data import source

CLIENT = 'all'  # such files know no clients

_LONGEST_FIELD = 2**31 - 1  # characters; csv's own 131,072 is less than a long text has


def read(
  file: pathlib.Path, fields: Sequence[str], class_of: Mapping[str, str], has_header: bool = False
) -> Iterator[dict[str, str]]:
  """Yields every row as a dictionary of its fields, with the name of its class in `class`; passes over empty lines.

  Args:
    file: UTF-8, fields in double quotes where need be, quotes in fields doubled.
    fields: The names of the fields of a row; one of them is `class`.
    class_of: From what the class field may hold to the name of the class.
    has_header: Whether the first row may hold names: it does unless it has a class.

  Raises:
    DataError: For a row that is broken or has no class; names the file and the line in which the row begins.
  """
  rows = read_rows(file)
  for index, (number, row) in enumerate(rows):
    place = f'{str(file)!r} line {number}'
    if len(row) != len(fields):
      raise errors.DataError(f'{place} has {len(row)} fields instead of {len(fields)}: mend or remove the row')
    example = dict(zip(fields, row, strict=True))
    if has_header and index == 0 and example['class'] not in class_of:
      continue
    if example['class'] not in class_of:
      found, choices = example['class'][:40], ', '.join(class_of)
      raise errors.DataError(f'{place} has class {found!r}, not one of {choices}: mend or remove the row')
    yield example | {'class': class_of[example['class']]}


def train_and_test(
  name: str,
  path: str | None,
  fields: Sequence[str],
  class_of: Mapping[str, str],
  unescape: Callable[[str], str],
  max_examples: int | None,
  sequence_length: int,
) -> source.LabelledSource:
  """Returns the data set of a folder with train.csv (trained on) and test.csv (held out), without headers.

  The field `text` is the text, once `unescape` has made what stands there for other characters into those. Raises
  DataError if the folder or a file is missing.
  """
  root = arguments.require_path(name, path)
  files = {'train': root / 'train.csv', 'heldout': root / 'test.csv'}
  for file in files.values():
    if not file.is_file():
      raise errors.DataError(f'no such file: {str(file)!r}; give {name} the folder with train.csv and test.csv')

  def read_both() -> Iterator[tuple[str, source.Example]]:
    for split, file in files.items():
      for row in read(file, fields, class_of):
        yield split, source.Example(CLIENT, unescape(row['text']), row['class'])

  fingerprint = '\n'.join(arguments.describe_files(root, list(files.values())))
  class_names = tuple(class_of.values())
  return source.LabelledSource(name, fingerprint, read_both, class_names, max_examples, sequence_length)


def read_rows(file: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
  """Yields the rows that are not empty, each with the number of its first line.

  Args:
    file: UTF-8, with or without a byte order mark, fields in double quotes where need be, quotes in fields doubled.

  Raises:
    DataError: For a row that is broken or not UTF-8; names the file and the line. If the file cannot be read.
  """
  try:
    csv.field_size_limit(_LONGEST_FIELD)
    with file.open('rb') as lines:
      rows = csv.reader((line.decode('utf-8-sig') for line in lines), strict=True)
      while True:
        number = rows.line_num + 1
        try:
          row = next(rows)
        except StopIteration:
          return
        except UnicodeDecodeError as error:
          raise errors.DataError(
            f'{str(file)!r} line {rows.line_num + 1} is not UTF-8 ({error.reason}): convert it'
          ) from None
        except csv.Error as error:
          raise errors.DataError(
            f'{str(file)!r} line {number} is broken CSV ({error}): mend or remove the row'
          ) from None
        if row:
          yield number, row
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
