"""Reads the SQLite files that TFF's own data sets come in."""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib
import shutil
import sqlite3

import tensorflow as tf

from data import arguments
from data import client_key
from data import errors
from data import store

_CACHE = pathlib.Path('~/.tff')  # where TFF itself keeps its downloads


def require_file(dataset: str, path: str) -> pathlib.Path:
  """Returns the path of an existing file; raises DataError otherwise."""
  file = arguments.require_path(dataset, path)
  if file.is_dir():
    raise errors.DataError(f'{str(file)!r} is a folder: give {dataset} the .sqlite file of TFF')
  return file


def download(dataset: str, load_data: Callable[..., object]) -> pathlib.Path:
  """Returns TFF's copy of a data set, which `load_data(cache_dir)` fetches unless it is there already.

  The copy gets its place only when it is whole: TFF itself would use a half of one. Raises DataError on failure.
  """
  file = _CACHE.expanduser() / f'{dataset}.sqlite'
  if file.is_file():
    return file
  unfinished = file.with_suffix('.part')
  try:
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    load_data(cache_dir=str(unfinished))
    (unfinished / file.name).replace(file)
  except (OSError, sqlite3.Error) as error:
    raise errors.DataError(
      f"cannot download {dataset} ({error}): try again, or give a local copy, {dataset}(path='...sqlite')"
    ) from None
  finally:
    shutil.rmtree(unfinished, ignore_errors=True)
  return file


def read_features(
  file: pathlib.Path, split: str, max_clients: int | None, features: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...] | None]]:
  """Yields (client, values of the text features) of a split in file order, and (client, None) for empty clients.

  At most `max_clients` clients, chosen by a hash of their ids. Raises DataError if the file is not TFF's.
  """
  try:
    connection = store.connect(file)
    try:
      _choose_clients(connection, split, max_clients)
      for (client,) in connection.execute('SELECT client_id FROM chosen WHERE num_examples = 0 ORDER BY client_id'):
        yield client, None
      query = (
        'SELECT client_id, serialized_example_proto FROM examples'
        ' WHERE split_name = ? AND client_id IN (SELECT client_id FROM chosen) ORDER BY examples.rowid'
      )
      for client, proto in connection.execute(query, (split,)):
        yield client, tuple(_feature(proto, name, file) for name in features)
    finally:
      connection.close()
  except sqlite3.Error as error:
    raise errors.DataError(
      f'{str(file)!r} is not a whole data set of TFF ({error}): delete it and fetch it again'
    ) from None


def _choose_clients(connection: sqlite3.Connection, split: str, max_clients: int | None) -> None:
  query = 'SELECT client_id, num_examples FROM client_metadata WHERE split_name = ?'
  clients = sorted(connection.execute(query, (split,)), key=lambda row: client_key.derive(row[0]).client_id)
  connection.execute('CREATE TEMP TABLE chosen (client_id TEXT PRIMARY KEY, num_examples INTEGER)')
  connection.executemany('INSERT INTO chosen VALUES (?, ?)', clients[:max_clients])


def _feature(proto: bytes, name: str, file: pathlib.Path) -> str:
  try:
    feature = tf.train.Example.FromString(proto).features.feature
  except Exception:  # protobuf's own DecodeError, whose module differs between protobuf's implementations
    feature = {}
  if name not in feature or not feature[name].bytes_list.value:
    raise errors.DataError(f"{str(file)!r} has no text feature {name!r}: give the file of TFF's data set of that name")
  return feature[name].bytes_list.value[0].decode('utf-8', 'replace')
