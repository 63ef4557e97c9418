"""A prepared federated text data set: tokens by client, for TFF, for NumPy and for whoever counts."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import sqlite3

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from data import client_key
from data import errors
from data import store
from data import tokenizer as tokenizer_lib


@dataclasses.dataclass(frozen=True)
class FederatedText:
  """Tokenised sentences of clients in the splits pretrain, train and heldout, read from one SQLite file.

  Attributes:
    database: The file, in the layout of TFF's SqlClientData.
    tokenizer: Turns text into the same ids.
    vocabulary_size: Ids are below it; includes pad 0, begin 1, end 2 and unknown 3.
    sequence_length: Target positions per example; token arrays are one longer.
    dataset_hash: SHA-256 in hexadecimal over all clients and tokens of all splits.
  """

  database: pathlib.Path
  tokenizer: tokenizer_lib.Tokenizer
  vocabulary_size: int
  sequence_length: int
  dataset_hash: str

  @classmethod
  def open(cls, database: pathlib.Path) -> 'FederatedText':
    """Opens a finished database; raises sqlite3.Error, KeyError or ValueError if it is not one."""
    with contextlib.closing(store.connect(database)) as connection:
      meta = store.read_meta(connection)
    tokenizer = tokenizer_lib.Tokenizer(meta['tokenizer'])
    sequence_length = int(meta['sequence_length'])
    return cls(database, tokenizer, tokenizer.vocabulary_size, sequence_length, meta['dataset_hash'])

  def client_ids(self, split: str) -> list[str]:
    """Returns the sorted ids of the clients of a split, clients without examples included."""
    return list(self.num_examples(split))

  def num_examples(self, split: str) -> dict[str, int]:
    """Returns the number of examples by client id, sorted by id; 0 for clients without any."""
    with contextlib.closing(self._connect()) as connection:
      return store.read_counts(connection, split)

  def clients(self, split: str) -> tff.simulation.datasets.ClientData:
    """Returns the split as TFF's ClientData, which a TFF worker reads by itself, given client ids.

    Elements are OrderedDict(tokens=int32[sequence_length + 1], client_key=int64[]). Raises DataError if the split
    has no clients.
    """
    if not self.num_examples(split):
      raise errors.DataError(f'the data set has no {split} clients: choose another data set or split')
    spec = collections.OrderedDict(
      tokens=tf.TensorSpec([self.sequence_length + 1], tf.int32), client_key=tf.TensorSpec([], tf.int64)
    )
    return tff.simulation.datasets.load_and_parse_sql_client_data(str(self.database), spec, split)

  def unreadable(self, client_ids: Iterable[str]) -> list[str]:
    """Returns those of the clients whose examples cannot be read whole; DataError if the database cannot be opened."""
    with contextlib.closing(self._connect()) as connection:
      return [
        client_id for client_id in client_ids if not store.is_readable(connection, self.sequence_length + 1, client_id)
      ]

  def client_name(self, client_id: str) -> str:
    """Returns the name of a client, which may hold any character; raises DataError if the id is unknown."""
    with contextlib.closing(self._connect()) as connection:
      found = connection.execute('SELECT name FROM client_names WHERE client_id = ?', (client_id,)).fetchone()
    if found is None:
      raise errors.DataError(f'no client {client_id!r}: take an id from client_ids(split)')
    return client_key.decode_name(found[0])

  def tokens(self, split: str, client_ids: Iterable[str] | None = None) -> np.ndarray:
    """Returns int32 [n, sequence_length + 1]: the examples of the given clients, or of all, client by client.

    Examples that cannot be read are left out.
    """
    client_ids = self.client_ids(split) if client_ids is None else client_ids
    with contextlib.closing(self._connect()) as connection:
      return store.read_tokens(connection, split, self.sequence_length + 1, client_ids)

  def token_batches(self, split: str) -> Iterator[np.ndarray]:
    """Yields int32 [n, sequence_length + 1]: all examples of a split, some thousand at a time, in no promised order.

    Examples that cannot be read are left out.
    """
    with contextlib.closing(self._connect()) as connection:
      yield from store.read_token_batches(connection, split, self.sequence_length + 1)

  def _connect(self) -> sqlite3.Connection:
    try:
      return store.connect(self.database)
    except sqlite3.Error as error:
      raise errors.DataError(f'cannot open {str(self.database)!r} ({error}): prepare the data set again') from None
