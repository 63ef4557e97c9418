"""A user's own labelled texts in JSON lines."""

from collections.abc import Iterator
from collections.abc import Sequence
import json
import pathlib

from data import errors
from data import source
from data.sources import json_fields
from data.sources import json_lines
from data.sources import labelled_files
from data.sources import labelled_rows


def json_rows(
  path: str | None = None,
  text: str = 'text',
  label: str = 'label',
  user: str | None = None,
  max_examples: int | None = None,
  sequence_length: int = 128,
) -> source.LabelledSource:
  """Reads JSON lines of your own: fields of text, label and, if you say so, user; others are passed over.

  A line is an object, in UTF-8. A label is text, a whole number, true or false; a user is text or a whole number. Classes
  and what is held out are those of csv.

  Args:
    path: See `LabelledFile`.
    text: See `LabelledFile`.
    label: See `LabelledFile`.
    user: See `LabelledFile`.
    max_examples: See `LabelledFile`.
    sequence_length: See `LabelledFile`.

  Raises DataError if the file is missing or malformed, or an argument does not fit it.
  """
  return labelled_files.LabelledFile(path, text, label, user, max_examples, sequence_length).dataset('jsonl', _read)


def _read(file: pathlib.Path, names: Sequence[str]) -> Iterator[labelled_rows.LabelledRow]:
  form = json.dumps(dict.fromkeys(names, '...'))
  for place, fields in json_lines.read(file, form):
    for name in names:
      if name not in fields:
        listed = labelled_rows.listed(fields)
        raise errors.DataError(
          f'{place} has no field {name!r}, but {listed}: write {form}, or say which field is which, as '
          "jsonl(path=..., text='...', label='...')"
        )
    text, label, *users = (fields[name] for name in names)
    if not isinstance(text, str):
      raise errors.DataError(
        f'{place} has the text {json_fields.shown(text)}, which is not text in quotes: write {form}'
      )
    found = json_fields.class_name(label, f'{place} has the label')
    yield labelled_rows.row(
      place, text, found, *(json_fields.client_name(user, f'{place} has the user') for user in users)
    )
