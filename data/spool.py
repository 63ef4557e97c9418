"""Keeps the text of a source on disk while it is prepared, so that its size is not bounded by memory."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import itertools
import pathlib
import sqlite3
from typing import NamedTuple

import numpy as np

from data import client_key
from data import errors
from data import holdout
from data import source

_MAX_TRAINING_TEXTS = 1_000_000  # more changes the vocabulary little and costs minutes and gigabytes


class Row(NamedTuple):
  """A text of a client; `label` is the number of its label, -1 where there is none."""

  split: str
  client: str
  text: str
  label: int


class Spool:
  """A scratch SQLite file of examples in the order of their source; nothing survives a crash, nothing needs to."""

  def __init__(self, path: pathlib.Path):
    self._connection = sqlite3.connect(path)
    self._connection.execute('PRAGMA journal_mode = OFF')
    self._connection.execute('PRAGMA synchronous = OFF')
    self._connection.execute('CREATE TABLE texts (split TEXT, client BLOB, text TEXT, label INTEGER)')

  def fill(
    self,
    examples: Iterable[tuple[str, source.Example]],
    class_names: Sequence[str] = (),
    choose_validation: bool = True,
  ) -> None:
    """Stores (split, example) pairs; white space in texts is collapsed and lone surrogates become question marks.

    Labels get the numbers that they have in `class_names`; others follow in the order in which they come. If there is
    no validation text and `choose_validation` says so, a tenth of the training clients become validation clients, in
    every split that they have; where classes are learned and all examples lie with one client, a tenth of the training
    examples.
    """
    labels: dict[str | None, int] = {None: -1} | {name: number for number, name in enumerate(class_names)}

    def row(split: str, example: source.Example) -> tuple[str, bytes, str, int]:
      if split not in source.SPLITS:
        raise errors.DataError(f'unknown split {split!r}: a source yields one of {", ".join(source.SPLITS)}')
      label = labels.setdefault(example.label, len(labels) - 1)
      text = ' '.join(example.text.encode('utf-8', 'replace').decode().split())
      return split, client_key.encode_name(example.client), text, label

    rows = itertools.starmap(row, examples)
    self._connection.executemany('INSERT INTO texts VALUES (?, ?, ?, ?)', rows)
    if choose_validation and not self.count('validation'):
      self._choose_validation(by_example=bool(class_names))
    self._connection.commit()

  def _choose_validation(self, by_example: bool) -> None:
    query = "SELECT DISTINCT client FROM texts WHERE split = 'train' AND text != ''"
    clients = [client_key.decode_name(client) for (client,) in self._connection.execute(query)]
    if by_example and len(clients) == 1:
      row_ids = self._row_ids('train')
      chosen = [(row_id,) for row_id in row_ids[holdout.choose_validation_examples(len(row_ids))].tolist()]
      self._connection.executemany("UPDATE texts SET split = 'validation' WHERE rowid = ?", chosen)
    else:
      self._connection.execute('CREATE TEMP TABLE chosen (client BLOB PRIMARY KEY)')
      names = [(client_key.encode_name(name),) for name in holdout.choose_validation(clients)]
      self._connection.executemany('INSERT INTO chosen VALUES (?)', names)
      self._connection.execute(
        "UPDATE texts SET split = 'validation' WHERE split != 'pretrain' AND client IN (SELECT client FROM chosen)"
      )

  def count(self, *splits: str) -> int:
    """Returns how many texts with a visible character the splits hold together."""
    marks = ', '.join('?' * len(splits))
    query = f"SELECT COUNT(*) FROM texts WHERE text != '' AND split IN ({marks})"
    return self._connection.execute(query, splits).fetchone()[0]

  def num_training_texts(self) -> int:
    """Returns how many texts `training_texts` yields."""
    return -(-self.count('pretrain', 'train') // self._training_step())

  def training_texts(self) -> Iterator[str]:
    """Yields what a tokenizer may learn from: pretrain and train, never validation or heldout; evenly thinned to a million."""
    query = "SELECT text FROM texts WHERE text != '' AND split IN ('pretrain', 'train') ORDER BY rowid"
    for (text,) in itertools.islice(self._connection.execute(query), 0, None, self._training_step()):
      yield text

  def _training_step(self) -> int:
    return max(1, -(-self.count('pretrain', 'train') // _MAX_TRAINING_TEXTS))

  def labels(self, split: str) -> np.ndarray:
    """Returns the label numbers, int64 [count(split)], -1 where there is none, in the order of `rows`."""
    query = "SELECT label FROM texts WHERE text != '' AND split = ? ORDER BY rowid"
    return np.fromiter((label for (label,) in self._connection.execute(query, (split,))), np.int64)

  def count_all(self) -> int:
    """Returns how many texts there are, those without a visible character included."""
    return self._connection.execute('SELECT COUNT(*) FROM texts').fetchone()[0]

  def thin(self, split: str, kept: int) -> None:
    """Keeps `kept` texts of a split, drawn at random, always the same ones; a larger draw holds the smaller ones."""
    row_ids = self._row_ids(split)
    dropped = row_ids[np.random.default_rng(0).permutation(len(row_ids))[kept:]]
    self._connection.executemany('DELETE FROM texts WHERE rowid = ?', ((row_id,) for row_id in dropped.tolist()))
    self._connection.commit()

  def _row_ids(self, split: str) -> np.ndarray:
    query = "SELECT rowid FROM texts WHERE text != '' AND split = ? ORDER BY rowid"
    return np.fromiter((row_id for (row_id,) in self._connection.execute(query, (split,))), np.int64)

  def rows(self) -> Iterator[Row]:
    """Yields all texts in the order of the source, those without a visible character as ''."""
    for split, client, text, label in self._connection.execute(
      'SELECT split, client, text, label FROM texts ORDER BY rowid'
    ):
      yield Row(split, client_key.decode_name(client), text, label)

  def close(self) -> None:
    """Closes the file, which the caller deletes."""
    self._connection.close()
