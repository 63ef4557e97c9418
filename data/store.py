"""The prepared data set on disk: an SQLite file in the layout of TFF's SqlClientData, with an index and metadata."""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import hashlib
import json
import math
import pathlib
import sqlite3
from typing import Any
import urllib.parse

import numpy as np
import tensorflow as tf

from data import client_key
from data import errors

# The first two tables are TFF's; TFF makes no index, and reads a client with a scan of the whole table.
_SCHEMA = """
CREATE TABLE examples (split_name TEXT NOT NULL, client_id TEXT NOT NULL, serialized_example_proto BLOB NOT NULL);
CREATE TABLE client_metadata (client_id TEXT NOT NULL, split_name TEXT NOT NULL, num_examples INTEGER NOT NULL);
CREATE TABLE client_names (client_id TEXT PRIMARY KEY, name BLOB NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL);
"""
_INDEXES = """
CREATE INDEX examples_by_client ON examples (client_id, split_name);
CREATE INDEX metadata_by_split ON client_metadata (split_name, client_id);
"""
_ROWS_PER_PARSE = 20_000
_VALUES_PER_PARSE = 10_000_000  # of eight bytes each
# What reading a damaged example raises; the last when TensorFlow puts bytes that are no text into its message.
_UNREADABLE = (sqlite3.Error, tf.errors.InvalidArgumentError, UnicodeDecodeError)

Shapes = Mapping[str, Sequence[int]]  # of the features of an example, by name


class Writer:
  """Writes a new database row by row; `finish` makes it complete."""

  def __init__(self, database: pathlib.Path):
    self._connection = sqlite3.connect(database)
    self._connection.execute('PRAGMA journal_mode = OFF')  # an unfinished file is thrown away
    self._connection.execute('PRAGMA synchronous = OFF')  # the caller syncs the finished file
    self._connection.executescript(_SCHEMA)
    self._keys: dict[str, client_key.ClientKey] = {}
    self._num_examples: dict[tuple[str, str], int] = {}
    self._content = hashlib.sha256()
    self._content_of_split: dict[str, Any] = {}

  def add_client(self, split: str, name: str) -> client_key.ClientKey:
    """Makes a client known, with or without examples; raises DataError if two names share a hash."""
    key = self._keys.get(name)
    if key is None:
      key = client_key.derive(name)
      try:
        self._connection.execute(
          'INSERT INTO client_names VALUES (?, ?)', (key.client_id, client_key.encode_name(name))
        )
      except sqlite3.IntegrityError:
        raise errors.DataError(f'client {name!r} has the hash of another client: rename it') from None
      self._keys[name] = key
    self._num_examples.setdefault((key.client_id, split), 0)
    return key

  def add_example(
    self,
    split: str,
    name: str,
    values: np.ndarray,
    label: int | None = None,
    text: str | None = None,
    feature: str = 'tokens',
  ) -> None:
    """Appends one example to those of a client.

    Args:
      split: The split.
      name: The client's, known or not.
      values: int32 [length] of tokens; of an image, integers of any shape, which are stored flat.
      label: Its class, if it has one.
      text: What stands for the values in the hash of the split; itself it is not stored.
      feature: What the values are: `tokens` or `image`.
    """
    key = self.add_client(split, name)
    self._num_examples[key.client_id, split] += 1
    features = {feature: values.ravel().tolist(), 'client_key': [key.client_key]}
    size = 'x'.join(map(str, values.shape))
    content = values.astype('<i4').tobytes()
    if label is not None:
      content += f' class {label} '.encode()
      features['label'] = [label]
    self._content.update(f'{split} {key.client_id} {size} '.encode() + content)
    known_by = f'{size} '.encode() + content if text is None else json.dumps([text, label]).encode()
    self._content_of_split.setdefault(split, hashlib.sha256()).update(known_by)
    row = (split, key.client_id, _serialize(features))
    self._connection.execute('INSERT INTO examples VALUES (?, ?, ?)', row)

  def finish(self, meta: Mapping[str, str | bytes]) -> str:
    """Writes counts, indexes and `meta`, closes the file, and returns the SHA-256 of all clients, values and classes."""
    counts = sorted((client_id, split, count) for (client_id, split), count in self._num_examples.items())
    self._connection.executemany('INSERT INTO client_metadata VALUES (?, ?, ?)', counts)
    self._content.update(repr(counts).encode())
    dataset_hash = self._content.hexdigest()
    hashes = {f'{split}_hash': content.hexdigest() for split, content in self._content_of_split.items()}
    self._connection.executemany(
      'INSERT INTO meta VALUES (?, ?)', [*meta.items(), ('dataset_hash', dataset_hash), *hashes.items()]
    )
    self._connection.executescript(_INDEXES)
    self._connection.commit()
    self.close()
    return dataset_hash

  def close(self) -> None:
    """Closes the file; without `finish` before, it is not a data set."""
    self._connection.close()


def connect(database: pathlib.Path) -> sqlite3.Connection:
  """Opens an existing database for reading only; raises sqlite3.Error if there is none."""
  return sqlite3.connect(f'file:{urllib.parse.quote(str(database))}?mode=ro', uri=True)


def read_meta(connection: sqlite3.Connection) -> dict[str, str | bytes]:
  """Returns what `Writer.finish` was given, `dataset_hash`, and of each split its examples' hash, such as `train_hash`."""
  return dict(connection.execute('SELECT key, value FROM meta'))


def read_counts(connection: sqlite3.Connection, split: str) -> dict[str, int]:
  """Returns the number of examples by client id, sorted by id."""
  query = 'SELECT client_id, num_examples FROM client_metadata WHERE split_name = ? ORDER BY client_id'
  return dict(connection.execute(query, (split,)))


def read_tokens(connection: sqlite3.Connection, split: str, length: int, client_ids: Iterable[str]) -> np.ndarray:
  """Returns the tokens of the clients' examples, in their order, as int32 [n, length]."""
  return read_features(connection, split, {'tokens': [length]}, client_ids)['tokens']


def read_features(
  connection: sqlite3.Connection, split: str, shapes: Shapes, client_ids: Iterable[str]
) -> dict[str, np.ndarray]:
  """Returns some features of the clients' examples, in their order, each as int32 [n, *shape]."""
  query = 'SELECT serialized_example_proto FROM examples WHERE client_id = ? AND split_name = ? ORDER BY rowid'
  protos = [proto for client_id in client_ids for (proto,) in connection.execute(query, (client_id, split))]
  return _joined((_parse(batch, shapes) for batch in _batches(protos, shapes)), shapes)


def is_readable(connection: sqlite3.Connection, shapes: Shapes, client_id: str) -> bool:
  """Whether all examples of a client, in any split, are there and have features of these shapes."""
  query = 'SELECT serialized_example_proto FROM examples WHERE client_id = ?'
  try:
    protos = [proto for (proto,) in connection.execute(query, (client_id,))]
    for batch in _batches(protos, shapes):
      tf.io.parse_example(batch, _features(shapes))
  except _UNREADABLE:
    return False
  return True


def read_token_batches(connection: sqlite3.Connection, split: str, length: int) -> Iterator[np.ndarray]:
  """Yields the tokens of a split, int32 [some thousand, length], in the order of the file."""
  rows = connection.execute('SELECT serialized_example_proto FROM examples WHERE split_name = ?', (split,))
  while batch := rows.fetchmany(_ROWS_PER_PARSE):
    yield _parse([proto for (proto,) in batch], {'tokens': [length]})['tokens']


def _batches(protos: list[bytes], shapes: Shapes) -> Iterator[list[bytes]]:
  values = sum(math.prod(shape) for shape in shapes.values())
  size = max(1, min(_ROWS_PER_PARSE, _VALUES_PER_PARSE // values))
  for start in range(0, len(protos), size):
    yield protos[start : start + size]


def _features(shapes: Shapes) -> dict[str, tf.io.FixedLenFeature]:
  return {name: tf.io.FixedLenFeature(shape, tf.int64) for name, shape in shapes.items()}


def _parse(protos: list[bytes], shapes: Shapes) -> dict[str, np.ndarray]:
  """Returns the features of all examples that can be read, each as int32 [n, *shape]."""
  try:
    parsed = tf.io.parse_example(protos, _features(shapes))
  except _UNREADABLE:
    halves = (protos[: len(protos) // 2], protos[len(protos) // 2 :]) if len(protos) > 1 else ()
    return _joined((_parse(half, shapes) for half in halves), shapes)
  return {name: values.numpy().astype(np.int32) for name, values in parsed.items()}


def _joined(parts: Iterable[dict[str, np.ndarray]], shapes: Shapes) -> dict[str, np.ndarray]:
  parts = [{name: np.zeros([0, *shape], np.int32) for name, shape in shapes.items()}, *parts]
  return {name: np.concatenate([part[name] for part in parts]) for name in shapes}


def _serialize(features: Mapping[str, list[int]]) -> bytes:
  example = tf.train.Example()
  for name, values in features.items():
    example.features.feature[name].int64_list.value.extend(values)
  return example.SerializeToString(deterministic=True)
