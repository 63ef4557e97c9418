"""The batches that a client trains on in one round: its examples, shuffled anew in each local epoch."""

import dataclasses

import tensorflow as tf


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

  def of(self, examples: tf.data.Dataset, seed: tf.Tensor) -> tf.data.Dataset:
    """Returns the batches of a round.

    Args:
      examples: A client's examples, unbatched.
      seed: int64[2]; equal seeds give equal batches.

    Returns:
      Batches of the same structure with a leading axis.
    """
    examples = examples.take(self.max_examples)

    def epoch(index: tf.Tensor | int) -> tf.data.Dataset:
      shuffled = examples.shuffle(self.max_examples, seed=seed[0] + index, reshuffle_each_iteration=False)
      return shuffled.batch(self.batch_size)

    # The same without what leads from epoch to epoch, which would take a client 6 ms.
    return plain(epoch(0) if self.num_epochs == 1 else tf.data.Dataset.range(self.num_epochs).flat_map(epoch))

  def in_order(self, examples: tf.data.Dataset) -> tf.data.Dataset:
    """Returns batches of the same examples, once and not shuffled."""
    return plain(examples.take(self.max_examples).batch(self.batch_size))


def client_key(examples: tf.data.Dataset) -> tf.Tensor:
  """Reads the client's key from its first example: int64 [], 0 when there is none (then nothing is drawn)."""
  return plain(examples.take(1)).reduce(tf.constant(0, tf.int64), lambda _, example: example['client_key'])


def plain(batches: tf.data.Dataset) -> tf.data.Dataset:
  """Leaves out TensorFlow's rewriting and tuning of the pipeline, which costs a client more than it gains: half of its time."""
  options = tf.data.Options()
  options.autotune.enabled = False
  options.experimental_optimization.apply_default_optimizations = False
  return batches.with_options(options)
