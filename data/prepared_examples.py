"""What every prepared data set has: clients and their examples in one SQLite file that a TFF worker reads by itself."""

import abc
import collections
from collections.abc import Iterable
import contextlib
import dataclasses
import pathlib
import sqlite3

import tensorflow as tf
import tensorflow_federated as tff

from data import client_key
from data import errors
from data import store

_REMEDIES = {
  'pretrain': 'choose a data set with examples for pre-training',
  'train': 'give it clients with examples to train on',
  'validation': 'give it ten training clients or more, or leave out --eval_split=validation',
  'heldout': 'what is evaluated is held out, so give examples of two clients at least, or in the held-out files',
}


@dataclasses.dataclass(frozen=True)
class PreparedExamples(abc.ABC):
  """Examples of clients in splits.

  Attributes:
    database: The file, in the layout of TFF's SqlClientData.
    dataset_hash: SHA-256 in hexadecimal over all clients and examples of all splits.
  """

  database: pathlib.Path
  dataset_hash: str

  @property
  @abc.abstractmethod
  def element_spec(self) -> collections.OrderedDict[str, tf.TensorSpec]:
    """The tensors of an example, by name."""

  def client_ids(self, split: str) -> list[str]:
    """Returns the sorted ids of the clients of a split, clients without examples included."""
    return list(self.num_examples(split))

  def num_examples(self, split: str) -> dict[str, int]:
    """Returns the number of examples by client id, sorted by id; 0 for clients without any."""
    with contextlib.closing(self._connect()) as connection:
      return store.read_counts(connection, split)

  def content_hash(self, split: str) -> str | None:
    """Returns SHA-256 in hexadecimal over the examples of a split, whoever has them; None if there are none."""
    with contextlib.closing(self._connect()) as connection:
      return store.read_meta(connection).get(f'{split}_hash')

  def clients(self, split: str) -> tff.simulation.datasets.ClientData:
    """Returns the split as TFF's ClientData, which a TFF worker reads by itself, given client ids.

    Elements are as `element_spec` says. Raises DataError if no client of the split has an example.
    """
    if not any(self.num_examples(split).values()):
      raise errors.DataError(f'no {split} client of the data set has an example: {_REMEDIES[split]}')
    return tff.simulation.datasets.load_and_parse_sql_client_data(str(self.database), self.element_spec, split)

  def unreadable(self, client_ids: Iterable[str]) -> list[str]:
    """Returns those of the clients whose examples cannot be read whole; DataError if the database cannot be opened."""
    with contextlib.closing(self._connect()) as connection:
      return [client_id for client_id in client_ids if not store.is_readable(connection, self._shapes(), client_id)]

  def client_name(self, client_id: str) -> str:
    """Returns the name of a client, which may hold any character; raises DataError if the id is unknown."""
    with contextlib.closing(self._connect()) as connection:
      found = connection.execute('SELECT name FROM client_names WHERE client_id = ?', (client_id,)).fetchone()
    if found is None:
      raise errors.DataError(f'no client {client_id!r}: take an id from client_ids(split)')
    return client_key.decode_name(found[0])

  def _shapes(self) -> store.Shapes:
    return {name: spec.shape.as_list() for name, spec in self.element_spec.items()}

  def _connect(self) -> sqlite3.Connection:
    try:
      return store.connect(self.database)
    except sqlite3.Error as error:
      raise errors.DataError(f'cannot open {str(self.database)!r} ({error}): prepare the data set again') from None
