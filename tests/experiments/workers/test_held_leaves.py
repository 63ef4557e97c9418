"""Leaves that are held as one tensor are those that were put in."""

import numpy as np
import tensorflow as tf

from experiments.workers import held_leaves


def _specs(*shapes):
  return [tf.TensorSpec(shape) for shape in shapes]


def test_what_one_function_holds_another_takes():
  give = held_leaves.holding(lambda x: [x, 2.0 * x, tf.reduce_sum(x)], _specs([None]), [], holds=True)
  one, other = give(tf.constant([1.0, 2.0])), give(tf.constant([5.0]))
  assert one.dtype == other.dtype == tf.variant

  def join(start, *leaves):
    assert len(leaves) == 6
    return [start + leaves[2] + leaves[5], tf.concat([leaves[0], leaves[4]], 0)]

  take = held_leaves.holding(join, _specs([], *[[None], [None], []] * 2), [3, 3], holds=False)
  total, joined = take(tf.constant(100.0), one, other)
  assert total == 100.0 + 3.0 + 5.0
  np.testing.assert_array_equal(joined, [1.0, 2.0, 10.0])


def test_nothing_can_be_held():
  nothing = held_leaves.holding(list, [], [], holds=True)()
  assert held_leaves.holding(lambda *leaves: [tf.constant(len(leaves))], [], [0], holds=False)(nothing)[0] == 0
