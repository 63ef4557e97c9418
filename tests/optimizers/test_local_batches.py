"""A client's batches hold its examples once an epoch, in an order that only the seed decides."""

import hypothesis
from hypothesis import strategies
import numpy as np
import pytest
import tensorflow as tf

from optimizers import local_batches
from tests import tiny_task


def _order(batches, num_examples, seed=1):
  examples = tiny_task.client(np.zeros([num_examples, 1]), np.arange(num_examples), client_key=7)
  read = batches.of(batches.read(examples), tf.constant([seed, 0], tf.int64))
  order: list[list[float]] = []
  read.fold(lambda state, batch: order.append(batch['y'].numpy().tolist()) or state, ())
  return order


@hypothesis.given(
  strategies.integers(0, 20), strategies.integers(1, 6), strategies.integers(1, 3), strategies.integers(1, 25)
)
def test_each_epoch_holds_every_example_once(num_examples, batch_size, num_epochs, max_examples):
  batches = local_batches.LocalBatches(batch_size, num_epochs, max_examples)
  order = _order(batches, num_examples)
  kept = min(num_examples, max_examples)
  seen = [y for batch in order for y in batch]
  assert len(seen) == kept * num_epochs
  for epoch in range(num_epochs):
    assert sorted(seen[epoch * kept : (epoch + 1) * kept]) == sorted(range(kept))
  assert all(1 <= len(batch) <= batch_size for batch in order)


def test_the_seed_and_the_epoch_decide_the_order():
  batches = local_batches.LocalBatches(batch_size=20, num_epochs=2)
  first, second = _order(batches, 20, seed=1)
  assert [first, second] == _order(batches, 20, seed=1)
  assert first != second
  assert first != _order(batches, 20, seed=2)[0]


def test_the_first_of_several_epochs_is_a_single_one():
  one, three = (local_batches.LocalBatches(batch_size=4, num_epochs=epochs) for epochs in (1, 3))
  assert _order(one, 10) == _order(three, 10)[:3]


@pytest.mark.parametrize('arguments', [dict(batch_size=0), dict(num_epochs=0), dict(max_examples=-1)], ids=str)
def test_refuses(arguments):
  with pytest.raises(ValueError, match='must be at least 1'):
    local_batches.LocalBatches(**arguments)


def test_reads_the_key_and_has_none_without_examples():
  read = local_batches.LocalBatches().read
  assert int(local_batches.client_key(read(tiny_task.client([[1.0]], [1.0], client_key=-5)))) == -5
  assert int(local_batches.client_key(read(tiny_task.client(np.zeros([0, 1]), [])))) == 0


def test_the_order_is_that_of_a_shuffled_data_set():
  batches = local_batches.LocalBatches(batch_size=4, num_epochs=2, max_examples=9)
  expected = []
  for epoch in range(2):
    shuffled = tf.data.Dataset.range(10).take(9).shuffle(9, seed=5 + epoch, reshuffle_each_iteration=False)
    expected += [batch.tolist() for batch in shuffled.batch(4).as_numpy_iterator()]
  assert _order(batches, 10, seed=5) == expected
