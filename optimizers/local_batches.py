"""The batches that a client trains on in one round: its examples, shuffled anew in each local epoch."""

from collections.abc import Callable
from collections.abc import Mapping
import dataclasses
from typing import TypeVar

import tensorflow as tf

from models import task as task_lib

State = TypeVar('State')


@dataclasses.dataclass(frozen=True)
class Batches:
  """Batches of a client's examples, one epoch after the other.

  Attributes:
    examples: All of them, with a leading axis.
    order: int64 [epochs, examples], their indices.
    size: Examples in a batch; the last one of an epoch may be smaller.
  """

  examples: Mapping[str, tf.Tensor]
  order: tf.Tensor
  size: int

  def fold(self, step: Callable[[State, task_lib.Batch], State], state: State) -> State:
    """Applies `step` to one batch after the other; returns the last state, of the structure and shapes of the first."""
    num_epochs, num_examples = tf.unstack(tf.shape(self.order))
    per_epoch = (num_examples + self.size - 1) // self.size

    def body(index: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
      first = index % per_epoch * self.size
      chosen = self.order[index // per_epoch, first : first + self.size]
      batch = tf.nest.map_structure(lambda tensor: tf.gather(tensor, chosen), self.examples)
      return index + 1, step(state, batch)

    return tf.while_loop(lambda index, _: index < num_epochs * per_epoch, body, (tf.constant(0), state))[1]


@dataclasses.dataclass(frozen=True)
class LocalBatches:
  """How a client goes through its own examples.

  Attributes:
    batch_size: Examples in a batch; the last one of an epoch may be smaller.
    num_epochs: Local epochs in a round.
    max_examples: A client trains on this many of its examples at most (the first ones).
  """

  batch_size: int = 16
  num_epochs: int = 1
  max_examples: int = 1200

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if getattr(self, field.name) < 1:
        raise ValueError(f'{field.name} must be at least 1, not {getattr(self, field.name)}')

  def read(self, examples: tf.data.Dataset) -> Mapping[str, tf.Tensor]:
    """Reads a client's examples, unbatched: the same structure with a leading axis.

    Do it once: reading costs a client 10 ms before its first example.
    """
    return _read(examples, self.max_examples)

  def of(self, examples: Mapping[str, tf.Tensor], seed: tf.Tensor) -> Batches:
    """Returns the batches of a round.

    Args:
      examples: What a client has read.
      seed: int64[2]; equal seeds give equal batches.

    Returns:
      The batches.
    """
    num_examples = tf.shape(examples['client_key'], tf.int64)[0]
    epochs = [self._shuffled(num_examples, seed[0] + epoch) for epoch in range(self.num_epochs)]
    return Batches(examples, tf.stack(epochs), self.batch_size)

  def in_order(self, examples: Mapping[str, tf.Tensor]) -> Batches:
    """Returns batches of the same examples, once and not shuffled."""
    return Batches(examples, tf.range(tf.shape(examples['client_key'], tf.int64)[0])[tf.newaxis], self.batch_size)

  def _shuffled(self, num_examples: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns int64 [num_examples], all below that in a random order."""
    indices = tf.data.Dataset.range(num_examples)
    return _read(indices.shuffle(self.max_examples, seed, reshuffle_each_iteration=False), self.max_examples)


def client_key(examples: Mapping[str, tf.Tensor]) -> tf.Tensor:
  """Takes the client's key from the first example read: int64 [], 0 when there is none (then nothing is drawn)."""
  return tf.reduce_sum(examples['client_key'][:1])


def plain(batches: tf.data.Dataset) -> tf.data.Dataset:
  """Leaves out TensorFlow's rewriting and tuning of the pipeline, which costs a client more than it gains: half of its time."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return batches.with_options(options)


def _read(elements: tf.data.Dataset, most: int) -> task_lib.Batch:
  """Returns the first elements, maybe none, with a leading axis."""
  none = tf.nest.map_structure(lambda spec: tf.zeros([0, *spec.shape], spec.dtype), elements.element_spec)
  batch = elements.take(most).batch(most).concatenate(tf.data.Dataset.from_tensors(none))
  return plain(batch.take(1)).get_single_element()
