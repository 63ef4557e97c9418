"""A user's own labelled texts in JSON lines."""

from collections.abc import Iterator
import json
import pathlib

from data import arguments
from data import errors
from data import source
from data.sources import json_fields
from data.sources import json_lines
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
    path: The file; must be given.
    text: The field of texts.
    label: The field of labels.
    user: The field of users, who are the clients of partition natural and of evaluations; None = users are not known.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if the file is missing or malformed, or an argument does not fit it.
  """
  names = labelled_rows.require_names(text, label, user)
  file = labelled_rows.require_file('jsonl', path)
  return labelled_rows.dataset(
    'jsonl',
    repr(str(file)),
    ['jsonl', repr(names), *arguments.describe_files(file.parent, [file])],
    lambda: _read(file, *names),
    max_examples,
    sequence_length,
  )


def _read(file: pathlib.Path, text: str, label: str, user: str | None = None) -> Iterator[labelled_rows.LabelledRow]:
  names = [text, label] if user is None else [text, label, user]
  form = json.dumps(dict.fromkeys(names, '...'))
  for place, fields in json_lines.read(file, form):
    for name in names:
      if name not in fields:
        listed = labelled_rows.listed(fields)
        raise errors.DataError(
          f'{place} has no field {name!r}, but {listed}: write {form}, or say which field is which, as '
          "jsonl(path=..., text='...', label='...')"
        )
    if not isinstance(fields[text], str):
      shown = json_fields.shown(fields[text])
      raise errors.DataError(f'{place} has the text {shown}, which is not text in quotes: write {form}')
    found = json_fields.class_name(fields[label], f'{place} has the label')
    by = None if user is None else json_fields.client_name(fields[user], f'{place} has the user')
    yield labelled_rows.row(place, fields[text], found, by)
