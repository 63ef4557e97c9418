"""A prepared labelled text data set: tokens and classes by client, for TFF and for NumPy."""

import collections
from collections.abc import Iterable
import contextlib
import dataclasses
import json
import pathlib

import numpy as np
import tensorflow as tf

from data import prepared_examples
from data import store
from data import text_encoders


@dataclasses.dataclass(frozen=True)
class LabelledText(prepared_examples.PreparedExamples):
  """Tokenised texts with a class each, of clients in the splits train, validation and heldout, read from one SQLite file.

  Attributes:
    vocabulary_size: Ids are below it.
    sequence_length: Positions per example.
    tokenizer: Turns text into the same ids.
    class_names: The names of the classes, in the order of their numbers.
    num_empty: Examples that were left out because their text is empty.
  """

  vocabulary_size: int
  sequence_length: int
  tokenizer: text_encoders.TextEncoder
  class_names: tuple[str, ...]
  num_empty: int

  @classmethod
  def open(cls, database: pathlib.Path) -> 'LabelledText':
    """Opens a finished database; raises sqlite3.Error, KeyError or ValueError if it is not one."""
    with contextlib.closing(store.connect(database)) as connection:
      meta = store.read_meta(connection)
    tokenizer = text_encoders.deserialize(meta['tokenizer'])
    return cls(
      database=database,
      dataset_hash=meta['dataset_hash'],
      vocabulary_size=tokenizer.vocabulary_size,
      sequence_length=int(meta['sequence_length']),
      tokenizer=tokenizer,
      class_names=tuple(json.loads(meta['class_names'])),
      num_empty=int(meta['num_empty']),
    )

  @property
  def num_classes(self) -> int:
    """The number of classes."""
    return len(self.class_names)

  @property
  def element_spec(self) -> collections.OrderedDict[str, tf.TensorSpec]:
    """OrderedDict(tokens=int32 [sequence_length], label=int32 [], client_key=int64 [])."""
    return collections.OrderedDict(
      tokens=tf.TensorSpec([self.sequence_length], tf.int32),
      label=tf.TensorSpec([], tf.int32),
      client_key=tf.TensorSpec([], tf.int64),
    )

  def arrays(self, split: str, client_ids: Iterable[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens int32 [n, sequence_length] and labels int32 [n] of the given clients, or of all, client by client.

    Examples that cannot be read are left out.
    """
    client_ids = self.client_ids(split) if client_ids is None else client_ids
    shapes = {'tokens': [self.sequence_length], 'label': []}
    with contextlib.closing(self._connect()) as connection:
      found = store.read_features(connection, split, shapes, client_ids)
    return found['tokens'], found['label']
