"""The loop over batches."""

import tensorflow as tf

from optimizers import local_loop


def _sum_and_count(batches: tf.data.Dataset) -> tuple[int, int]:
  zero = tf.constant(0)

  @tf.function(autograph=False)
  def run(batches):
    return local_loop.fold(lambda state, batch: (state[0] * 10 + batch, state[1] + 1), (zero, zero), batches)

  return tuple(int(value) for value in run(batches))


def test_every_batch_counts_once_and_in_order():
  assert _sum_and_count(tf.data.Dataset.from_tensor_slices([1, 2, 3])) == (123, 3)  # ((0 * 10 + 1) * 10 + 2) * 10 + 3


def test_without_batches_the_state_stays():
  assert _sum_and_count(tf.data.Dataset.from_tensor_slices([1, 2]).take(0)) == (0, 0)
