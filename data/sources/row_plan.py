"""What becomes of a user's own labelled texts: their classes, and whose texts, or which, are held out."""

import collections
from collections.abc import Iterable
import dataclasses
import re
import unicodedata

from data import errors
from data import holdout

# Of texts, by the split that the data says or None, by the user or a hash of the text, and by label.
Counts = collections.Counter[tuple[str | None, str, str]]

_WHOLE_NUMBER = re.compile(r'[+-]?[0-9]{1,18}')
_MAX_CLASSES_SHOWN = 20
_MAX_USERS_SHOWN = 3
_MAX_CHARACTERS_SHOWN = 40  # of a name


@dataclasses.dataclass(frozen=True)
class Plan:
  """What becomes of some rows.

  Attributes:
    class_names: The labels in their order: alphabetical, or that of numbers if all are whole.
    heldout: The users, or hashes of texts, that are held out.
    validation: Those that validate.
    summary: The number of texts by class, and that of users or texts by split.
  """

  class_names: tuple[str, ...]
  heldout: set[str]
  validation: set[str]
  summary: str = ''

  def split_of(self, key: str, said: str | None) -> str:
    """Returns the split of a user, or of the hash of a text; `said` is what the data says of it."""
    if key in self.validation:
      return 'validation'
    return 'heldout' if key in self.heldout else said or 'train'


def make(counts: Counts, has_users: bool, place: str) -> Plan:
  """Plans what is trained on and what is not.

  Args:
    counts: How many visible texts there are.
    has_users: Whether texts are held out by user, not by themselves.
    place: What was read, for messages.

  Returns:
    The plan.

  Raises:
    DataError: If there are not two classes, nothing is held out, or a class is missing from training.
  """
  class_names = _in_order({label for _, _, label in counts})
  if not class_names:
    raise errors.DataError(f'{place} has no text: give texts of two classes at least')
  if len(class_names) == 1:
    raise errors.DataError(f'{place} has one class only, {class_names[0]!r}: give texts of two classes at least')
  is_split = any(split for split, *_ in counts)
  heldout, validation = set(), set()
  for members in _groups(counts, has_users):
    chosen = set() if is_split else holdout.choose(members)
    heldout |= chosen
    validation |= holdout.choose_validation(members - chosen)
  plan = Plan(class_names, heldout, validation)
  planned: Counts = collections.Counter()
  for (split, key, label), count in counts.items():
    planned[plan.split_of(key, split), key, label] += count
  _require_heldout(planned, has_users, is_split, place)
  _require_training(planned, class_names, has_users, place)
  return dataclasses.replace(plan, summary=_summary(planned, class_names, has_users))


def _in_order(labels: set[str]) -> tuple[str, ...]:
  if all(_WHOLE_NUMBER.fullmatch(label) for label in labels):
    return tuple(sorted(labels, key=lambda label: (int(label), label)))
  return tuple(sorted(labels))


def _groups(counts: Iterable[tuple[str | None, str, str]], has_users: bool) -> list[set[str]]:
  """Returns the sets of which a tenth each is held out: all training users, or the texts of each class."""
  if has_users:
    return [{user for split, user, _ in counts if split != 'heldout'}]
  class_of: dict[str, str] = {}
  for _, text, label in counts:
    class_of[text] = min(label, class_of.get(text, label))  # It may have several.
  groups = collections.defaultdict(set)
  for text, label in class_of.items():
    groups[label].add(text)
  return list(groups.values())


def _require_heldout(planned: Counts, has_users: bool, is_split: bool, place: str) -> None:
  if any(split == 'heldout' for split, *_ in planned):
    return
  if is_split:
    raise errors.DataError(f'{place} says what is held out, and there is no text in it: give some there')
  if has_users:
    raise errors.DataError(f'{place} has no user to hold out: give texts of two users at least')
  raise errors.DataError(f'{place} has no text to hold out: give two different texts of a class at least')


def _require_training(planned: Counts, class_names: tuple[str, ...], has_users: bool, place: str) -> None:
  """Raises DataError if a class has no text to learn it from."""
  trained = {label for split, _, label in planned if split == 'train'}
  lost = [label for label in class_names if label not in trained]
  if not lost:
    return
  more = f' (and {len(lost) - 1:,} more like it)' if len(lost) > 1 else ''
  problem = f'{place}: label {lost[0]!r} has no text to train on{more}'
  if not has_users:
    raise errors.DataError(f'{problem}, since its texts have other labels, too: remove its rows, or give more of them')
  owners = sorted({user for _, user, label in planned if label == lost[0]})
  listed = ', '.join(
    [repr(_begun(user)) for user in owners[:_MAX_USERS_SHOWN]] + ['...'] * (len(owners) > _MAX_USERS_SHOWN)
  )
  raise errors.DataError(
    f'{problem}: it is only with users that are held out or validate ({listed}); remove its rows, or hold out texts in '
    'place of users (csv and jsonl without user=...)'
  )


def _summary(planned: Counts, class_names: tuple[str, ...], has_users: bool) -> str:
  by_class: collections.Counter[str] = collections.Counter()
  by_split: collections.Counter[str] = collections.Counter()
  for (split, _, label), count in planned.items():
    by_class[label] += count
    by_split[split] += count
  if has_users:
    by_split = collections.Counter(split for split, _ in {(split, user) for split, user, _ in planned})
  looks = collections.Counter(map(_look, class_names))
  listed = [
    f'{_shown(label, is_spelled=looks[_look(label)] > 1)}: {by_class[label]:,}'
    for label in class_names[:_MAX_CLASSES_SHOWN]
  ]
  listed += ['...'] * (len(class_names) > _MAX_CLASSES_SHOWN)
  alike = '; some look alike' if len(looks) < len(class_names) else ''
  return (
    f'{by_class.total():,} texts of {len(class_names):,} classes ({", ".join(listed)}{alike}); '
    f'{"users" if has_users else "texts"} that train {by_split["train"]:,}, validate {by_split["validation"]:,}, '
    f'are held out {by_split["heldout"]:,}'
  )


def _look(name: str) -> str:
  """Returns what two names share that look alike: marks are put together, and what is not printed is left out."""
  return ''.join(filter(str.isprintable, unicodedata.normalize('NFKC', name)))


def _shown(name: str, is_spelled: bool) -> str:
  """Returns the beginning of a name; what a terminal does not print, or all that is not ASCII, is spelled out."""
  name = _begun(name)
  return ascii(name)[1:-1] if is_spelled or not name.isprintable() else name


def _begun(name: str) -> str:
  return name if len(name) <= _MAX_CHARACTERS_SHOWN else f'{name[:_MAX_CHARACTERS_SHOWN]}...'
