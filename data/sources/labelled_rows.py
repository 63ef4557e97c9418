"""Rows of a user's own, each a text with a label and perhaps a user, as a data set."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import os
import pathlib
from typing import NamedTuple

from data import arguments
from data import client_key
from data import errors
from data import sentences
from data import source
from data.sources import row_plan

_VERSION = 1  # of all that reads and plans rows

_MAX_NAMES_SHOWN = 20
_MAX_CHARACTERS_SHOWN = 40
_CLIENT = 'all'  # whose texts they are where users are not known


class LabelledRow(NamedTuple):
  """A text with a label; `user` is None where users are not known, `split` train or heldout where the data says which."""

  text: str
  label: str
  user: str | None = None
  split: str | None = None


def require_file(dataset: str, path: str | None) -> pathlib.Path:
  """Returns the path of a file that is not empty; raises DataError otherwise."""
  file = arguments.require_path(dataset, path)
  if not file.is_file():
    raise errors.DataError(f'{str(file)!r} is no file: give {dataset} the file that holds the texts')
  if not os.path.getsize(file):
    raise errors.DataError(f'{str(file)!r} is empty: write texts and labels to it')
  return file


def require_names(text: str, label: str, user: str | None) -> list[str]:
  """Returns the names of two or three fields; raises DataError unless each is text and no two are alike."""
  given = {'text': text, 'label': label} | ({} if user is None else {'user': user})
  for argument, name in given.items():
    if not isinstance(name, str) or not name.strip():
      raise errors.DataError(f"{argument}={name!r} must name a field of each row, such as {argument}='{argument}'")
  names = list(given.values())
  if len(set(names)) < len(names):
    listed = ', '.join(f'{argument}={name!r}' for argument, name in given.items())
    raise errors.DataError(f'{listed} must name different fields')
  return names


def listed(names: Iterable[str]) -> str:
  """Returns the beginnings of the first names, for messages."""
  shown = [repr(name[:_MAX_CHARACTERS_SHOWN]) for name in names]
  return ', '.join(shown[:_MAX_NAMES_SHOWN] + ['...'] * (len(shown) > _MAX_NAMES_SHOWN)) or 'none'


def row(place: str, text: str, label: str, user: str | None = None, split: str | None = None) -> LabelledRow:
  """Returns a row, white space in the names collapsed; raises DataError, which begins with `place`, for one that is blank."""
  label = ' '.join(label.split())
  if not sentences.is_visible(label):
    raise errors.DataError(f'{place} has no label: give it one, or remove it')
  if user is not None:
    user = ' '.join(user.split())
    if not sentences.is_visible(user):
      raise errors.DataError(f'{place} has no user: name one, or remove it')
  return LabelledRow(text, label, user, split)


def dataset(
  name: str,
  place: str,
  fingerprint: Iterable[str],
  read: Callable[[], Iterable[LabelledRow]],
  max_examples: int | None,
  sequence_length: int,
) -> source.LabelledSource:
  """Returns the data set of some rows, of which all are read to know the classes.

  Classes are the labels of visible texts, in alphabetical order, or that of numbers if all are whole. If rows have users, a
  tenth of the users is held out, one at least, and a tenth of the others validates, none of fewer than ten, by a hash of
  their names. If not, the same holds for the texts of each class, by a hash of the text: equal texts lie on one side.
  Where the data says what is held out, that stays.

  Args:
    name: The data set's.
    place: What is read, for messages.
    fingerprint: Lines that change whenever the rows could.
    read: Yields the rows, all with a user or none, the same ones every time.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Returns:
    The data set; it has users if its rows do.

  Raises:
    DataError: If there are not two classes, nothing is held out, or a class is missing from training.
  """
  plan, has_users = _survey(read(), place)
  return source.LabelledSource(
    name=name,
    fingerprint='\n'.join([f'labelled rows version={_VERSION}', *fingerprint]),
    read=lambda: _read(read(), plan, place),
    class_names=plan.class_names,
    max_examples=max_examples,
    sequence_length=sequence_length,
    has_users=has_users,
    summary=plan.summary,
  )


def _read(rows: Iterable[LabelledRow], plan: row_plan.Plan, place: str) -> Iterator[tuple[str, source.Example]]:
  known = set(plan.class_names)
  for found in rows:
    client = _CLIENT if found.user is None else found.user
    split = plan.split_of(_key(found), found.split)
    if not sentences.is_visible(found.text):
      yield split, source.Example(client, '')
    elif found.label in known:
      yield split, source.Example(client, found.text, found.label)
    else:
      raise errors.DataError(f'{place} has changed while it was read: start again')


def _survey(rows: Iterable[LabelledRow], place: str) -> tuple[row_plan.Plan, bool]:
  """Returns what becomes of the rows, and whether they have users."""
  counts: row_plan.Counts = collections.Counter()
  has_users = False
  for found in rows:
    has_users = found.user is not None
    if sentences.is_visible(found.text):
      counts[found.split, _key(found), found.label] += 1
  return row_plan.make(counts, has_users, place), has_users


def _key(found: LabelledRow) -> str:
  """Returns what decides the split of a row: its user, or a hash of its text, whatever white space is in it."""
  if found.user is not None:
    return found.user
  return client_key.derive(' '.join(found.text.split())).client_id
