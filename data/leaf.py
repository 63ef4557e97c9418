"""LEAF's JSON files: Caldas et al., "LEAF: A Benchmark for Federated Settings", 2018."""

from collections.abc import Iterator
import json
import pathlib

from data import arguments
from data import errors
from data import holdout
from data import sentences
from data import source


def leaf(
  path: str | None = None,
  field: int | None = None,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """Reads a LEAF data folder: `train/*.json` and `test/*.json` (held out), or `*.json`, a tenth of the users held out.

  Each `x` is a text, or a list whose entry number `field` is the text (4 for Sent140). `y` is the label, unless it is
  the one character that follows `x`, as for Shakespeare: then the overlapping windows are joined to running text.
  Raises DataError if the path is missing, unreadable or holds no JSON file.
  """
  root = arguments.require_path('leaf', path)
  if field is not None:
    arguments.require_integer('field', field, 0, 1000)
  if not root.is_dir():
    raise errors.DataError(f'{str(root)!r} is a file: give leaf the folder that holds its JSON files')
  parts = _list_parts(root)
  files = [file for part in parts.values() for file in part]
  return source.TextSource(
    name='leaf',
    fingerprint='\n'.join([f'field={field}', *arguments.describe_files(root, files)]),
    read=lambda: _read(parts, field),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def _list_parts(root: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Returns the JSON files by split; 'all' if the folder does not split them."""
  if (root / 'train').is_dir() and (root / 'test').is_dir():
    parts = {'train': sorted((root / 'train').glob('*.json')), 'heldout': sorted((root / 'test').glob('*.json'))}
  else:
    parts = {'all': sorted(root.glob('*.json'))}
  for part, files in parts.items():
    if not files:
      where = {'train': root / 'train', 'heldout': root / 'test', 'all': root}[part]
      raise errors.DataError(f"{str(where)!r} holds no .json file: give leaf a folder that LEAF's scripts wrote")
  return parts


def _read(parts: dict[str, list[pathlib.Path]], field: int | None) -> Iterator[tuple[str, source.Example]]:
  heldout: set[str] = set()
  if 'all' in parts:
    users = (user for file in parts['all'] for user, data in _read_users(file) if data['x'])
    heldout = holdout.choose(users)
  for part, files in parts.items():
    for file in files:
      for user, data in _read_users(file):
        split = ('heldout' if user in heldout else 'train') if part == 'all' else part
        for example in _read_examples(user, data, field, file):
          yield split, example


def _read_users(file: pathlib.Path) -> Iterator[tuple[str, dict[str, list[object]]]]:
  try:
    content = json.loads(file.read_bytes())
  except (ValueError, RecursionError) as error:
    raise errors.DataError(f"{str(file)!r} is not JSON ({error}): make it again with LEAF's scripts") from None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
  users = content.get('users') if isinstance(content, dict) else None
  user_data = content.get('user_data') if isinstance(content, dict) else None
  if not isinstance(users, list) or not isinstance(user_data, dict):
    raise errors.DataError(f'{str(file)!r} has no "users" and "user_data": give leaf files that LEAF\'s scripts wrote')
  for user in users:
    data = user_data.get(user) if isinstance(user, str) else None
    if not isinstance(data, dict) or not isinstance(data.get('x'), list) or not isinstance(data.get('y'), list):
      raise errors.DataError(f'{str(file)!r} has no lists "x" and "y" for user {user!r}: make it again')
    if len(data['x']) != len(data['y']):
      raise errors.DataError(f'{str(file)!r} has "x" and "y" of different lengths for user {user!r}: make it again')
    yield user, data


def _read_examples(
  user: str, data: dict[str, list[object]], field: int | None, file: pathlib.Path
) -> Iterator[source.Example]:
  texts = [_text_of(x, field, user, file) for x in data['x']]
  if all(isinstance(y, str) and len(y) == 1 for y in data['y']):
    labelled = [(passage, None) for passage in _join_windows(texts, data['y'])]
  else:
    labelled = [(x, str(y) if isinstance(y, (str, int)) else None) for x, y in zip(texts, data['y'], strict=True)]
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


def _join_windows(windows: list[str], next_characters: list[str]) -> Iterator[str]:
  """Yields the running text of windows that move on by one character."""
  passage = ''
  for window, character in zip(windows, next_characters, strict=True):
    if passage and not passage.endswith(window):
      yield passage
      passage = ''
    passage = (passage or window) + character
  if passage:
    yield passage
