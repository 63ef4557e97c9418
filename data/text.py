"""A user's own text: a folder of `<client>/*.txt`, or a file of JSON lines with `client` and `text`."""

from collections.abc import Iterator
import json
import pathlib

from data import arguments
from data import errors
from data import holdout
from data import sentences
from data import source


def text(
  path: str | None = None,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """Reads UTF-8 text by client from a folder of folders of .txt files, or from JSON lines.

  Each sentence of each line is an example.

  A JSON line may name a `label`. A tenth of the clients that have text, chosen by a hash of their names, is held
  out. Raises DataError if the path is missing or unreadable.
  """
  root = arguments.require_path('text', path)
  read = _read_folder if root.is_dir() else _read_json_lines
  files = _list_files(root) if root.is_dir() else [root]
  return source.TextSource(
    name='text',
    fingerprint='\n'.join(arguments.describe_files(root, files)),
    read=lambda: read(root),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def _list_clients(root: pathlib.Path) -> list[pathlib.Path]:
  try:
    return sorted(folder for folder in root.iterdir() if folder.is_dir())
  except OSError as error:
    raise errors.DataError(f'cannot read {str(root)!r} ({error.strerror}): change its permissions') from None


def _list_files(root: pathlib.Path) -> list[pathlib.Path]:
  """Returns the text files of all clients; raises DataError if there is none."""
  files = [file for folder in _list_clients(root) for file in _list_texts(folder)]
  if not files:
    raise errors.DataError(f'{str(root)!r} holds no text: one folder per client with .txt files in it is needed')
  return files


def _list_texts(folder: pathlib.Path) -> list[pathlib.Path]:
  try:
    return sorted(file for file in folder.iterdir() if file.suffix == '.txt' and file.is_file())
  except OSError as error:
    raise errors.DataError(f'cannot read {str(folder)!r} ({error.strerror}): change its permissions') from None


def _read_folder(root: pathlib.Path) -> Iterator[tuple[str, source.Example]]:
  clients = {folder.name: _list_texts(folder) for folder in _list_clients(root)}
  heldout = holdout.choose(name for name, files in clients.items() if any(file.stat().st_size for file in files))
  for name, files in clients.items():
    split = 'heldout' if name in heldout else 'train'
    found = [sentence for file in files for sentence in sentences.split_lines(read_text(file))]
    for sentence in found or ['']:
      yield split, source.Example(name, sentence)


def read_text(file: pathlib.Path) -> str:
  """Returns the content of a UTF-8 file; raises DataError if it is not one or cannot be read."""
  try:
    return file.read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    raise errors.DataError(f'{str(file)!r} is not UTF-8 at byte {error.start}: convert it') from None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None


def _read_json_lines(file: pathlib.Path) -> Iterator[tuple[str, source.Example]]:
  heldout = holdout.choose(example.client for example in _parse_lines(file) if example.text.strip())
  for example in _parse_lines(file):
    split = 'heldout' if example.client in heldout else 'train'
    for sentence in sentences.split_lines(example.text) or ['']:
      yield split, example._replace(text=sentence)


def _parse_lines(file: pathlib.Path) -> Iterator[source.Example]:
  try:
    with open(file, 'rb') as lines:
      for number, line in enumerate(lines, start=1):
        if line.strip():
          yield _parse_line(line, f'{str(file)!r} line {number}')
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None


def _parse_line(line: bytes, place: str) -> source.Example:
  try:
    fields = json.loads(line.decode('utf-8-sig'))
  except (ValueError, RecursionError) as error:
    reason = str(error) or type(error).__name__
    raise errors.DataError(f'{place} is not JSON ({reason}): mend or remove it') from None
  if not isinstance(fields, dict):
    raise errors.DataError(f'{place} is not a JSON object: write {{"client": "...", "text": "..."}}')
  for name in ('client', 'text'):
    if not isinstance(fields.get(name), str):
      raise errors.DataError(f'{place} has no text field "{name}": write {{"client": "...", "text": "..."}}')
  label = fields.get('label')
  return source.Example(fields['client'], fields['text'], None if label is None else str(label))
