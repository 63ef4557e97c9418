"""A user's own text: a folder of clients' folders or of clients' .txt files, or JSON lines with `client` and `text`."""

from collections.abc import Iterator
import os
import pathlib

from data import arguments
from data import errors
from data import holdout
from data import sentences
from data import source
from data.sources import folders
from data.sources import json_fields
from data.sources import json_lines

_VERSION = 2  # of this file
_FORM = '{"client": "...", "text": "..."}'


def text(
  path: str | None = None,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """Reads your own UTF-8 text by client, from a folder or from JSON lines.

  In a folder, each folder is a client with all .txt files in it and below, and each .txt file beside them is a client
  as well, called as the file without .txt. Hidden files and folders, other files, and links to folders below a client's
  are left out, which is said. A JSON line may name a `label`. Each sentence of each line of text is an example.

  A tenth of the clients that have visible text, chosen by a hash of their names, is held out.

  Args:
    path: The folder, or the file of JSON lines; must be given.
    vocabulary: See `TextSource`.
    sequence_length: See `TextSource`.

  Raises DataError if the path is missing or unreadable.
  """
  root = arguments.require_path('text', path)
  if root.is_dir():
    found = folders.Folders('text', '.txt')
    clients = _list_clients(root, found)
    files = [file for listed in clients.values() for file in listed]
    named = [repr(name) for name, listed in clients.items() if not listed]
  else:
    files, named = [_require_lines(root)], []
  return source.TextSource(
    name='text',
    fingerprint='\n'.join([*arguments.describe_files(root, files), *named, f'version={_VERSION}']),
    read=lambda: _read_folder(clients, found) if root.is_dir() else _read_json_lines(root),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def _list_clients(root: pathlib.Path, found: folders.Folders) -> dict[str, list[pathlib.Path]]:
  """Returns the text files by client, both sorted; raises DataError if there is none, or for two clients of one name."""
  below, files = found.scan(root)
  origins: dict[str, pathlib.Path] = {}
  for entry in [*found.without_loops(root, below), *files]:
    name = entry.name if entry in below else entry.stem
    if name in origins:
      raise errors.DataError(f'{str(origins[name])!r} and {str(entry)!r} are both client {name!r}: rename one')
    origins[name] = entry
  clients = {name: found.walk(entry) if entry.is_dir() else [entry] for name, entry in sorted(origins.items())}
  if not any(clients.values()):
    left_out = found.left_out()
    raise errors.DataError(
      f'{str(root)!r} holds no text{left_out and f" ({left_out})"}: a folder or a .txt file for each client is needed'
    )
  return clients


def _read_folder(
  clients: dict[str, list[pathlib.Path]], found: folders.Folders
) -> Iterator[tuple[str, source.Example]]:
  found.say()
  heldout = holdout.choose(
    name for name, files in clients.items() if any(sentences.is_visible(read_text(file)) for file in files)
  )
  for name, files in clients.items():
    split = 'heldout' if name in heldout else 'train'
    lines = [sentence for file in files for sentence in sentences.split_lines(read_text(file))]
    for sentence in lines or ['']:
      yield split, source.Example(name, sentence)


def read_text(file: pathlib.Path) -> str:
  """Returns the content of a UTF-8 file; raises DataError if it is not one or cannot be read."""
  try:
    content = file.read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    raise errors.DataError(f'{str(file)!r} is not UTF-8 at byte {error.start}: convert it') from None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
  if '\0' in content:
    raise errors.DataError(f'{str(file)!r} holds null characters, as UTF-16 does: convert it to UTF-8')
  return content


def _require_lines(file: pathlib.Path) -> pathlib.Path:
  """Returns a file that is not empty; raises DataError otherwise."""
  if not file.is_file():
    raise errors.DataError(f'{str(file)!r} is neither a folder nor a file, such as a pipe: save the text to a file')
  if not os.path.getsize(file):
    raise errors.DataError(f'{str(file)!r} is empty: write a line {_FORM} for each text')
  return file


def _read_json_lines(file: pathlib.Path) -> Iterator[tuple[str, source.Example]]:
  heldout = holdout.choose(example.client for example in _parse_lines(file) if sentences.is_visible(example.text))
  for example in _parse_lines(file):
    split = 'heldout' if example.client in heldout else 'train'
    for sentence in sentences.split_lines(example.text) or ['']:
      yield split, example._replace(text=sentence)


def _parse_lines(file: pathlib.Path) -> Iterator[source.Example]:
  for place, fields in json_lines.read(file, _FORM):
    for name in ('client', 'text'):
      if name not in fields:
        raise errors.DataError(f'{place} has no field "{name}": write {_FORM}')
    client = json_fields.client_name(fields['client'], f'{place} has the client')
    if not isinstance(fields['text'], str):
      shown = json_fields.shown(fields['text'])
      raise errors.DataError(f'{place} has the text {shown}, which is not text in quotes: write {_FORM}')
    yield source.Example(client, fields['text'], json_fields.label_text(fields.get('label')))
