"""Where every random draw of a client comes from: a stateless function of (seed, round, client key, purpose).

The server broadcasts a seed of the round, every example carries its client's key, and a purpose keeps two kinds of draw
apart. So a run that is killed and resumed, or spread over other workers, draws the same numbers.
"""

import enum

import tensorflow as tf


class Purpose(enum.IntEnum):
  """What a client draws numbers for."""

  SHUFFLING = 1
  DROPOUT = 2
  ENCODING = 3
  TRAINABLE = 4
  SELECTION = 5
  CLIENT_DROPOUT = 6
  INITIAL_WEIGHTS = 7
  DEPTH_DROPOUT = 8


def client_seed(round_seed: tf.Tensor, client_key: tf.Tensor, purpose: Purpose) -> tf.Tensor:
  """Derives a client's seed for one purpose in one round.

  Args:
    round_seed: int64[2], broadcast by the server.
    client_key: int64 [], from the client's examples.
    purpose: What the numbers are for.

  Returns:
    int64[2].
  """
  fold_in = tf.random.experimental.stateless_fold_in
  return fold_in(fold_in(round_seed, client_key), tf.constant(purpose.value, tf.int64))


def round_seed(seed: tf.Tensor, purpose: Purpose) -> tf.Tensor:
  """Derives from the round's seed, int64[2], one for what all clients of the round draw alike: int64[2]."""
  return tf.random.experimental.stateless_fold_in(seed, tf.constant(purpose.value, tf.int64))
