"""A prepared data set of labelled images: pixels and classes by client, for TFF and for NumPy."""

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


@dataclasses.dataclass(frozen=True)
class LabelledImages(prepared_examples.PreparedExamples):
  """Images with a class each, of clients in the splits train, validation and heldout, read from one SQLite file.

  Attributes:
    image_shape: (height, width, channels) of every image; pixels are from 0 to 255.
    class_names: The names of the classes, in the order of their numbers.
    num_skipped: Images that were left out because they cannot be decoded.
  """

  image_shape: tuple[int, int, int]
  class_names: tuple[str, ...]
  num_skipped: int

  @classmethod
  def open(cls, database: pathlib.Path) -> 'LabelledImages':
    """Opens a finished database; raises sqlite3.Error, KeyError or ValueError if it is not one."""
    with contextlib.closing(store.connect(database)) as connection:
      meta = store.read_meta(connection)
    return cls(
      database=database,
      dataset_hash=meta['dataset_hash'],
      image_shape=tuple(json.loads(meta['image_shape'])),
      class_names=tuple(json.loads(meta['class_names'])),
      num_skipped=int(meta['num_skipped']),
    )

  @property
  def num_classes(self) -> int:
    """The number of classes."""
    return len(self.class_names)

  @property
  def element_spec(self) -> collections.OrderedDict[str, tf.TensorSpec]:
    """OrderedDict(image=int32 [height, width, channels], label=int32 [], client_key=int64 [])."""
    return collections.OrderedDict(
      image=tf.TensorSpec(self.image_shape, tf.int32),
      label=tf.TensorSpec([], tf.int32),
      client_key=tf.TensorSpec([], tf.int64),
    )

  def arrays(self, split: str, client_ids: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Returns `image` int32 [n, height, width, channels] and `label` int32 [n] of the given clients, or of all.

    They come client by client. Examples that cannot be read are left out.
    """
    client_ids = self.client_ids(split) if client_ids is None else client_ids
    shapes = {'image': self.image_shape, 'label': []}
    with contextlib.closing(self._connect()) as connection:
      return store.read_features(connection, split, shapes, client_ids)
