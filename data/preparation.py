"""What every preparation does: look into the cache, keep the text on disk, tokenise it into a file, publish the file."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import hashlib
import importlib.metadata
import itertools
import json
import pathlib
import sqlite3
from typing import TypeVar

import numpy as np

from data import cache
from data import errors
from data import image_source
from data import partitions
from data import prepared_examples
from data import progress
from data import source as source_lib
from data import spool
from data import store
from data import text_encoders
from data import tokenizer as tokenizer_lib

_FORMAT = 3  # of the stored file and of everything between source and file
_TEXTS_PER_BATCH = 4096
_CLIENTS_PER_SPLIT = 10

_Source = source_lib.TextSource | source_lib.LabelledSource | image_source.ImageSource
_Tokenizer = tokenizer_lib.Tokenizer | text_encoders.TextEncoder
_Prepared = TypeVar('_Prepared', bound=prepared_examples.PreparedExamples)


def database_of(
  source: _Source, parts: Sequence[object], packages: Sequence[str], cache_dir: pathlib.Path | None
) -> pathlib.Path:
  """Returns the file of a data set that depends on `parts` and on the versions of `packages`, and on nothing else."""
  cache_dir = cache.default_dir() if cache_dir is None else pathlib.Path(cache_dir).absolute()
  versions = [f'{name}=={importlib.metadata.version(name)}' for name in packages]
  key = hashlib.sha256(json.dumps([_FORMAT, source.name, source.fingerprint, *parts, *versions]).encode()).hexdigest()
  return cache_dir / f'{source.name}-{key[:16]}.sqlite'


def once(
  database: pathlib.Path, open_finished: Callable[[pathlib.Path], _Prepared], build: Callable[[pathlib.Path], None]
) -> _Prepared:
  """Returns the data set of the file; builds the file if there is none or it is damaged, in one process only."""
  prepared = _open_sound(database, open_finished)
  if prepared is None:
    with cache.exclusive(database.parent):
      prepared = _open_sound(database, open_finished)  # another process may have been faster
      if prepared is None:
        build(database)
        prepared = open_finished(database)
  return prepared


def _open_sound(database: pathlib.Path, open_finished: Callable[[pathlib.Path], _Prepared]) -> _Prepared | None:
  try:
    return open_finished(database)
  except (sqlite3.Error, KeyError, ValueError):
    return None


def build(
  examples: Iterable[tuple[str, source_lib.Example]],
  database: pathlib.Path,
  write: Callable[[spool.Spool, store.Writer], Mapping[str, str | bytes]],
  class_names: Sequence[str] = (),
  choose_validation: bool = True,
) -> None:
  """Reads the examples of a source, lets `write` fill the database and return its metadata, and gives the file its name at the end.

  See `spool.Spool.fill` for `class_names` and `choose_validation`. Raises DataError if the source is malformed or the file
  cannot be written.
  """
  with (
    cache.temporary(database.with_suffix('.texts')) as scratch,
    writing(database) as writer,
    contextlib.closing(spool.Spool(scratch)) as texts,
  ):
    texts.fill(examples, class_names, choose_validation)
    writer.finish(write(texts, writer))


@contextlib.contextmanager
def writing(database: pathlib.Path) -> Iterator[store.Writer]:
  """Yields the writer of a file that gets its name when the block, which finishes the writer, ends without an exception.

  Raises DataError if it cannot be written.
  """
  with cache.temporary(database) as unfinished:
    try:
      with contextlib.closing(store.Writer(unfinished)) as writer:
        yield writer
    except sqlite3.OperationalError as error:
      raise errors.DataError(f'cannot write {str(database)!r} ({error}): free space or set LEANFED_CACHE') from None
    cache.publish(unfinished, database)


def deal(split: str, labels: np.ndarray) -> partitions.Assignment:
  """Deals the examples of a split that only evaluates, of label numbers int64 [n], at random to ten clients of equal size.

  Of fewer than ten examples each has a client of its own.
  """
  if not len(labels):
    return partitions.Assignment([], np.zeros([0], np.int64))
  assignment = partitions.iid(min(_CLIENTS_PER_SPLIT, len(labels))).assign(labels)
  return assignment._replace(clients=[f'{split}_{number}' for number in range(len(assignment.clients))])


def write_texts(
  texts: spool.Spool,
  writer: store.Writer,
  name: str,
  assignments: Mapping[str, partitions.Assignment],
  tokenizer: _Tokenizer,
  length: int,
  labelled: bool,
) -> int:
  """Writes every text with at least one piece as an example, and the clients of the other texts.

  Args:
    texts: What to write.
    writer: Where to.
    name: The data set's, for the progress bar.
    assignments: The clients of the texts of a split, for splits that do not keep their own.
    tokenizer: Makes the ids.
    length: Ids in a row.
    labelled: Whether labels are written.

  Returns:
    The number of examples written.
  """
  for split, assignment in assignments.items():
    for client in assignment.clients:
      writer.add_client(split, client)
  num_written = 0
  with progress.Progress('sentence', texts.count(*source_lib.SPLITS), task=f'tokenising {name}') as bar:
    for batch in _batches(_with_clients(texts.rows(), assignments)):
      tokens = tokenizer.encode([row.text for row in batch], length)
      for row, ids in zip(batch, tokens, strict=True):
        if ids[1] == tokenizer.end_id:
          writer.add_client(row.split, row.client)
        else:
          # How accurate a classifier is can be compared whatever its vocabulary makes of a text.
          writer.add_example(row.split, row.client, ids, *([row.label, row.text] if labelled else []))
          num_written += 1
      bar.advance(sum(bool(row.text) for row in batch))
  return num_written


def _with_clients(rows: Iterable[spool.Row], assignments: Mapping[str, partitions.Assignment]) -> Iterator[spool.Row]:
  """Yields the rows with the clients that they are assigned to; of assigned splits only those with a text."""
  owners = {split: iter(assignment.client_of_example) for split, assignment in assignments.items()}
  for row in rows:
    if row.split not in assignments:
      yield row
    elif row.text:
      yield row._replace(client=assignments[row.split].clients[next(owners[row.split])])


def _batches(rows: Iterable[spool.Row]) -> Iterator[list[spool.Row]]:
  rows = iter(rows)
  while batch := list(itertools.islice(rows, _TEXTS_PER_BATCH)):
    yield batch
