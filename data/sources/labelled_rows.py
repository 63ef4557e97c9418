"""Rows of a user's own, each a text with a label and perhaps a user, as a data set."""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from typing import NamedTuple

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


class Rows(NamedTuple):
  """Where rows come from.

  Attributes:
    name: The data set's.
    place: What is read, for messages.
    describe: Returns lines that change whenever the rows could.
    read: Yields the rows, all with a user or none, the same ones every time.
  """

  name: str
  place: str
  describe: Callable[[], list[str]]
  read: Callable[[], Iterable[LabelledRow]]


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


def dataset(rows: Rows, max_examples: int | None, sequence_length: int) -> source.LabelledSource:
  """Returns the data set of some rows, of which all are read to know the classes.

  Classes are the labels of visible texts, in alphabetical order, or that of numbers if all are whole. If rows have users, a
  tenth of the users is held out, one at least, and a tenth of the others validates, none of fewer than ten, by a hash of
  their names. If not, the same holds for the texts of each class, by a hash of the text: equal texts lie on one side.
  Where the data says what is held out, that stays.

  Args:
    rows: Where they come from.
    max_examples: See `LabelledSource`.
    sequence_length: See `LabelledSource`.

  Returns:
    The data set; it has users if its rows do.

  Raises:
    DataError: If there are not two classes, nothing is held out, or a class is missing from training.
  """
  described = _described(rows)
  plan, has_users = _survey(rows.read(), rows.place)
  return source.LabelledSource(
    name=rows.name,
    fingerprint='\n'.join(described),
    read=lambda: _read(rows, plan, described),
    class_names=plan.class_names,
    max_examples=max_examples,
    sequence_length=sequence_length,
    clients=source.Clients.USERS if has_users else source.Clients.NONE,
    summary=plan.summary + ('' if max_examples is None else f'; of texts that train {max_examples:,} at most are kept'),
  )


def _described(rows: Rows) -> list[str]:
  try:
    return [f'labelled rows version={_VERSION}', *rows.describe()]
  except OSError as error:
    raise errors.DataError(f'cannot read {rows.place} ({error.strerror}): give what stays where it is') from None


def _read(rows: Rows, plan: row_plan.Plan, described: list[str]) -> Iterator[tuple[str, source.Example]]:
  known = set(plan.class_names)
  for found in rows.read():
    client = _CLIENT if found.user is None else found.user
    split = plan.split_of(_key(found), found.split)
    if not sentences.is_visible(found.text):
      yield split, source.Example(client, '')
    elif found.label in known:
      yield split, source.Example(client, found.text, found.label)
    else:
      raise _changed(rows)
  if _described(rows) != described:
    raise _changed(rows)


def _changed(rows: Rows) -> errors.DataError:
  return errors.DataError(f'{rows.place} has changed while it was read: start again')


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
