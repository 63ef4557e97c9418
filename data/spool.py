"""Keeps the text of a source on disk while it is prepared, so that its size is not bounded by memory."""

from collections.abc import Iterable
from collections.abc import Iterator
import itertools
import pathlib
import sqlite3

import numpy as np

from data import client_key
from data import errors
from data import source

_MAX_TRAINING_TEXTS = 1_000_000  # more changes the vocabulary little and costs minutes and gigabytes


class Spool:
  """A scratch SQLite file of examples in the order of their source; nothing survives a crash, nothing needs to."""

  def __init__(self, path: pathlib.Path):
    self._connection = sqlite3.connect(path)
    self._connection.execute('PRAGMA journal_mode = OFF')
    self._connection.execute('PRAGMA synchronous = OFF')
    self._connection.execute('CREATE TABLE texts (split TEXT, client BLOB, text TEXT, label INTEGER)')

  def fill(self, examples: Iterable[tuple[str, source.Example]]) -> None:
    """Stores (split, example) pairs; white space in texts is collapsed and lone surrogates become question marks."""
    labels: dict[str | None, int] = {None: -1}

    def row(split: str, example: source.Example) -> tuple[str, bytes, str, int]:
      if split not in source.SPLITS:
        raise errors.DataError(f'unknown split {split!r}: a source yields one of {", ".join(source.SPLITS)}')
      label = labels.setdefault(example.label, len(labels) - 1)
      text = ' '.join(example.text.encode('utf-8', 'replace').decode().split())
      return split, client_key.encode_name(example.client), text, label

    rows = itertools.starmap(row, examples)
    self._connection.executemany('INSERT INTO texts VALUES (?, ?, ?, ?)', rows)
    self._connection.commit()

  def count(self, *splits: str) -> int:
    """Returns how many texts with a visible character the splits hold together."""
    marks = ', '.join('?' * len(splits))
    query = f"SELECT COUNT(*) FROM texts WHERE text != '' AND split IN ({marks})"
    return self._connection.execute(query, splits).fetchone()[0]

  def num_training_texts(self) -> int:
    """Returns how many texts `training_texts` yields."""
    return -(-self.count('pretrain', 'train') // self._training_step())

  def training_texts(self) -> Iterator[str]:
    """Yields what a tokenizer may learn from: pretrain and train, never heldout; evenly thinned to a million."""
    query = "SELECT text FROM texts WHERE text != '' AND split IN ('pretrain', 'train') ORDER BY rowid"
    for (text,) in itertools.islice(self._connection.execute(query), 0, None, self._training_step()):
      yield text

  def _training_step(self) -> int:
    return max(1, -(-self.count('pretrain', 'train') // _MAX_TRAINING_TEXTS))

  def train_labels(self) -> np.ndarray:
    """Returns the label numbers, int64 [count('train')], -1 where there is none, in the order of `rows`."""
    query = "SELECT label FROM texts WHERE text != '' AND split = 'train' ORDER BY rowid"
    return np.fromiter((label for (label,) in self._connection.execute(query)), np.int64)

  def rows(self) -> Iterator[tuple[str, str, str]]:
    """Yields (split, client, text) in the order of the source, texts without a visible character as ''."""
    for split, client, text in self._connection.execute('SELECT split, client, text FROM texts ORDER BY rowid'):
      yield split, client_key.decode_name(client), text

  def close(self) -> None:
    """Closes the file, which the caller deletes."""
    self._connection.close()
