"""Labelled texts by user in LEAF's JSON files, such as Sent140."""

from collections.abc import Iterator
import pathlib

from data import source
from data.sources import json_fields
from data.sources import labelled_rows
from data.sources import leaf as leaf_lib


def leaf_rows(
  path: str | None = None, field: int | None = None, max_examples: int | None = None, sequence_length: int = 128
) -> source.LabelledSource:
  """Reads a LEAF data folder: `train/*.json` and `test/*.json` (held out), or `*.json`, a tenth of the users held out.

  Each `x` is a text, or a list whose entry number `field` is the text (4 for Sent140); each `y` is its label: text, a whole
  number, true or false. Users are the clients of partition natural and of evaluations. Classes are the labels that it
  has, in the order of those of csv.

  Args:
    path: The folder; must be given.
    field: Which entry of an `x` that is a list is the text; None = an `x` is a text itself.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Raises DataError if the path is missing, unreadable or holds no JSON file, or a label is none.
  """
  folder = leaf_lib.find(path, field)
  folder.left_out.say()
  rows = labelled_rows.Rows(
    'leaf', repr(str(folder.root)), lambda: ['leaf', *folder.fingerprint()], lambda: _read(folder)
  )
  return labelled_rows.dataset(rows, max_examples, sequence_length)


def _read(folder: leaf_lib.Folder) -> Iterator[labelled_rows.LabelledRow]:
  for part, files in folder.parts.items():
    split = None if part == leaf_lib.UNSPLIT else part
    for file in files:
      yield from _read_file(file, folder.field, split)


def _read_file(file: pathlib.Path, field: int | None, split: str | None) -> Iterator[labelled_rows.LabelledRow]:
  for user, texts, labels in leaf_lib.read_users(file, field):
    place = f'{str(file)!r} user {user!r}'
    for text, label in zip(texts, labels, strict=True):
      name = json_fields.class_name(label, f'{place} has the label')
      yield labelled_rows.row(place, text, name, user, split)
