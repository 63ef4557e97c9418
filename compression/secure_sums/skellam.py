"""Noise that clients add to their levels, so that the sum alone is private (Agarwal et al. 2021, arXiv 2110.04995).

A Skellam variable is the difference of two of Poisson's; sums of such are Skellam again, so that the noise of all clients
together is as if the server had drawn it, and any of them that vanish take no more than their share away.
"""

import tensorflow as tf


def draw(shape: tf.Tensor, variance: float, client_seed: tf.Tensor, noise_seed: int) -> tf.Tensor:
  """Draws the noise of a client.

  Args:
    shape: int32 [rank].
    variance: Variance of each value; 0 for no noise.
    client_seed: int64[2], the client's of the round.
    noise_seed: The seed of the run's noise.

  Returns:
    int32, of the shape.
  """
  if not variance:
    return tf.zeros(shape, tf.int32)
  seed = tf.random.experimental.stateless_fold_in(client_seed, tf.constant(noise_seed, tf.int64))
  more, less = tf.unstack(tf.random.experimental.stateless_split(tf.cast(seed, tf.int64), 2), 2)
  plus = tf.random.stateless_poisson(shape, more, variance / 2, tf.int64)
  return tf.cast(plus - tf.random.stateless_poisson(shape, less, variance / 2, tf.int64), tf.int32)
