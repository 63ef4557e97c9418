"""LEAF's JSON files: Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import pathlib
import sys

from data import arguments
from data import errors
from data import holdout
from data import sentences
from data import source
from data.sources import folders
from data.sources import json_fields
from data.sources import leaf_layout

_VERSION = 2  # of this file
_FOLDERS = {'train': 'train', 'test': 'heldout'}  # LEAF's names to ours
UNSPLIT = 'all'  # in place of a split, where the folder has none


@dataclasses.dataclass(frozen=True)
class Folder:
  """A LEAF data folder.

  Attributes:
    root: The folder itself.
    parts: Its JSON files by split, or `UNSPLIT`.
    field: Which entry of an `x` that is a list is the text; None if an `x` is a text itself.
    left_out: What else lies there.
  """

  root: pathlib.Path
  parts: Mapping[str, list[pathlib.Path]]
  field: int | None
  left_out: folders.Folders

  @property
  def files(self) -> list[pathlib.Path]:
    """The JSON files of all parts."""
    return [file for part in self.parts.values() for file in part]

  def fingerprint(self) -> list[str]:
    """Returns lines that change whenever what is read could."""
    return [f'field={self.field}', *arguments.describe_files(self.root, self.files)]


def leaf(
  path: str | None = None,
  field: int | None = None,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """Reads a LEAF data folder: `train/*.json` and `test/*.json` (held out), or `*.json`, a tenth of the users held out.

  Each `x` is a text, or a list whose entry number `field` is the text (4 for Sent140). `y` is the label, unless the
  `x` of the data set are overlapping windows and `y` the characters that follow, as for Shakespeare: then the windows
  are joined to running text; `leaf_layout` says how they are told apart. A user in several files has the examples of
  all.

  Args:
    path: The folder; must be given.
    field: Which entry of an `x` that is a list is the text; None = an `x` is a text itself.
    vocabulary: See `TextSource`.
    sequence_length: See `TextSource`.

  Raises DataError if the path is missing, unreadable or holds no JSON file.
  """
  folder = find(path, field)
  return source.TextSource(
    name='leaf',
    fingerprint='\n'.join([f'version={_VERSION}', *folder.fingerprint()]),
    read=lambda: _read(folder),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def find(path: str | None, field: int | None) -> Folder:
  """Returns the files of a folder, whose arguments are those of `leaf`; raises DataError as that does."""
  root = arguments.require_path('leaf', path)
  if field is not None:
    arguments.require_integer('field', field, 0, 1000)
  if not root.is_dir():
    raise errors.DataError(f'{str(root)!r} is a file: give leaf the folder that holds its JSON files')
  found = folders.Folders('leaf', '.json')
  return Folder(root, _list_parts(root, found), field, found)


def _list_parts(root: pathlib.Path, found: folders.Folders) -> dict[str, list[pathlib.Path]]:
  """Returns the JSON files by split, `UNSPLIT` if the folder does not split them."""
  if all((root / folder).is_dir() for folder in _FOLDERS):
    where = {split: root / folder for folder, split in _FOLDERS.items()}
  else:
    where = {UNSPLIT: root}
  parts = {part: found.scan(folder)[1] for part, folder in where.items()}
  for part, files in parts.items():
    if not files:
      raise errors.DataError(f"{str(where[part])!r} holds no .json file: give leaf a folder that LEAF's scripts wrote")
  return parts


def _read(folder: Folder) -> Iterator[tuple[str, source.Example]]:
  folder.left_out.say()
  with_text, is_windows = _survey(folder)
  taken = 'the next characters of windows, which are joined to running text' if is_windows else 'labels'
  print(f'leaf: "y" is taken for {taken}', file=sys.stderr, flush=True)
  heldout = holdout.choose(with_text) if UNSPLIT in folder.parts else set()
  for part, files in folder.parts.items():
    for file in files:
      for user, texts, ys in read_users(file, folder.field):
        split = ('heldout' if user in heldout else 'train') if part == UNSPLIT else part
        for example in _examples(user, texts, ys, is_windows):
          yield split, example


def _survey(folder: Folder) -> tuple[set[str], bool]:
  """Returns the users who have visible text, and whether the files hold windows of running text."""
  with_text, evidence = set(), leaf_layout.Evidence()
  for file in folder.files:
    users = list(read_users(file, folder.field))
    evidence.add_file((texts, ys) for _, texts, ys in users)
    with_text.update(user for user, texts, _ in users if any(map(sentences.is_visible, texts)))
  return with_text, evidence.is_windows(repr(str(folder.root)))


def read_users(file: pathlib.Path, field: int | None) -> Iterator[tuple[str, list[str], list[object]]]:
  """Yields each user of a file once, with the texts of `x` and with `y`, one for each.

  Args:
    file: As LEAF's scripts write them.
    field: See `Folder`.

  Raises:
    DataError: If it is malformed or cannot be read.
  """
  users, user_data = _parse(file)
  names = dict.fromkeys(json_fields.client_name(user, f'{str(file)!r} lists the user') for user in users)
  if unlisted := [user for user in user_data if user not in names]:
    raise errors.DataError(
      f'{str(file)!r} has data of {unlisted[0]!r}, whom "users" does not list: add the user there or remove the data'
    )
  for user in names:
    data = user_data.get(user)
    if not isinstance(data, dict) or not isinstance(data.get('x'), list) or not isinstance(data.get('y'), list):
      raise errors.DataError(f'{str(file)!r} has no lists "x" and "y" for user {user!r}: make it again')
    if len(data['x']) != len(data['y']):
      raise errors.DataError(f'{str(file)!r} has "x" and "y" of different lengths for user {user!r}: make it again')
    yield user, [_text_of(x, field, user, file) for x in data['x']], data['y']


def _parse(file: pathlib.Path) -> tuple[list[object], dict[str, object]]:
  """Returns what a file has as `users` and `user_data`."""
  try:
    content = json.loads(file.read_bytes(), object_pairs_hook=_fields)
  except (ValueError, RecursionError) as error:
    raise errors.DataError(f"{str(file)!r} is not JSON ({error}): make it again with LEAF's scripts") from None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
  users = content.get('users') if isinstance(content, dict) else None
  user_data = content.get('user_data') if isinstance(content, dict) else None
  if not isinstance(users, list) or not isinstance(user_data, dict):
    raise errors.DataError(f'{str(file)!r} has no "users" and "user_data": give leaf files that LEAF\'s scripts wrote')
  return users, user_data


def _fields(pairs: list[tuple[str, object]]) -> dict[str, object]:
  found = dict(pairs)
  if len(found) < len(pairs):
    raise ValueError(f'{json_fields.twice(pairs)!r} is there twice')
  return found


def _examples(user: str, texts: list[str], ys: Sequence[object], is_windows: bool) -> Iterator[source.Example]:
  """Yields the sentences of a user; an example without text if there is none."""
  if is_windows:
    labelled = [(passage, None) for passage in _join_windows(texts, ys)]
  else:
    labelled = [(x, json_fields.label_text(y)) for x, y in zip(texts, ys, strict=True)]
  found = [source.Example(user, sentence, label) for x, label in labelled for sentence in sentences.split_sentences(x)]
  yield from found or [source.Example(user, '')]


def _text_of(x: object, field: int | None, user: str, file: pathlib.Path) -> str:
  if isinstance(x, list) and field is not None and field < len(x):
    x = x[field]
  if not isinstance(x, str):
    raise errors.DataError(
      f'{str(file)!r} has an "x" of user {user!r} that is not text: name the entry that is, as leaf(path=..., field=4)'
    )
  return x


def _join_windows(windows: list[str], next_characters: Sequence[str]) -> Iterator[str]:
  """Yields the running text of windows that move on by one character."""
  passage = ''
  for window, character in zip(windows, next_characters, strict=True):
    if passage and not passage.endswith(window):
      yield passage
      passage = ''
    passage = (passage or window) + character
  if passage:
    yield passage
