"""A prepared federated text data set: tokens by client, for TFF, for NumPy and for whoever counts."""

import collections
from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from data import prepared_examples
from data import store
from data import tokenizer as tokenizer_lib


@dataclasses.dataclass(frozen=True)
class FederatedText(prepared_examples.PreparedExamples):
  """Tokenised sentences of clients in the splits pretrain, train, validation and heldout, read from one SQLite file.

  Attributes:
    vocabulary_size: Ids are below it; pad 0, begin 1, end 2 and unknown 3 are among them.
    sequence_length: Target positions per example; token arrays are one longer.
    tokenizer: Turns text into the same ids.
  """

  vocabulary_size: int
  sequence_length: int
  tokenizer: tokenizer_lib.Tokenizer

  @classmethod
  def open(cls, database: pathlib.Path) -> 'FederatedText':
    """Opens a finished database; raises sqlite3.Error, KeyError or ValueError if it is not one."""
    with contextlib.closing(store.connect(database)) as connection:
      meta = store.read_meta(connection)
    tokenizer = tokenizer_lib.Tokenizer(meta['tokenizer'])
    return cls(
      database=database,
      dataset_hash=meta['dataset_hash'],
      vocabulary_size=tokenizer.vocabulary_size,
      sequence_length=int(meta['sequence_length']),
      tokenizer=tokenizer,
    )

  @property
  def element_spec(self) -> collections.OrderedDict[str, tf.TensorSpec]:
    """OrderedDict(tokens=int32 [sequence_length + 1], client_key=int64 [])."""
    tokens = tf.TensorSpec([self.sequence_length + 1], tf.int32)
    return collections.OrderedDict(tokens=tokens, client_key=tf.TensorSpec([], tf.int64))

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
