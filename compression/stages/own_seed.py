"""A seed of a client's own, known on both ends of the wire: 32 bits travel, the rest is the round's shared seed.

What a client draws from it (a rotation, positions) differs from what the others of its round draw, so that errors of
clients are independent and average out.
"""

import tensorflow as tf


def draw_word(client_seed: tf.Tensor) -> tf.Tensor:
  """Draws what travels, int32[1], from int64[2]."""
  return tf.random.stateless_uniform([1], client_seed, minval=None, maxval=None, dtype=tf.int32)


def from_word(word: tf.Tensor, shared_seed: tf.Tensor) -> tf.Tensor:
  """Returns the client's own seed, int64[2]; the length of the word, int32[1], may be unknown to the graph."""
  return tf.random.experimental.stateless_fold_in(shared_seed, tf.cast(word[0], tf.int64))
