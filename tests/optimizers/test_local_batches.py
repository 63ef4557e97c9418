"""A client's batches hold its examples once an epoch, in an order that only the seed decides."""

from absl.testing import parameterized
import hypothesis
from hypothesis import strategies
import numpy as np
import tensorflow as tf

from optimizers import local_batches
from tests import tiny_task


def _order(batches, num_examples, seed=1):
  examples = tiny_task.client(np.zeros([num_examples, 1]), np.arange(num_examples), client_key=7)
  return [batch['y'].numpy().tolist() for batch in batches.of(examples, tf.constant([seed, 0], tf.int64))]


class LocalBatchesTest(parameterized.TestCase):
  @hypothesis.given(
    strategies.integers(0, 20), strategies.integers(1, 6), strategies.integers(1, 3), strategies.integers(1, 25)
  )
  def test_each_epoch_holds_every_example_once(self, num_examples, batch_size, num_epochs, max_examples):
    batches = local_batches.LocalBatches(batch_size, num_epochs, max_examples)
    order = _order(batches, num_examples)
    kept = min(num_examples, max_examples)
    seen = [y for batch in order for y in batch]
    self.assertLen(seen, kept * num_epochs)
    for epoch in range(num_epochs):
      self.assertCountEqual(seen[epoch * kept : (epoch + 1) * kept], range(kept))
    self.assertTrue(all(1 <= len(batch) <= batch_size for batch in order))

  def test_the_seed_and_the_epoch_decide_the_order(self):
    batches = local_batches.LocalBatches(batch_size=20, num_epochs=2)
    first, second = _order(batches, 20, seed=1)
    self.assertEqual([first, second], _order(batches, 20, seed=1))
    self.assertNotEqual(first, second)
    self.assertNotEqual(first, _order(batches, 20, seed=2)[0])

  def test_the_first_of_several_epochs_is_a_single_one(self):
    one, three = (local_batches.LocalBatches(batch_size=4, num_epochs=epochs) for epochs in (1, 3))
    self.assertEqual(_order(one, 10), _order(three, 10)[:3])

  @parameterized.parameters(dict(batch_size=0), dict(num_epochs=0), dict(max_examples=-1))
  def test_refuses(self, **arguments):
    with self.assertRaisesRegex(ValueError, 'must be at least 1'):
      local_batches.LocalBatches(**arguments)

  def test_reads_the_key_and_has_none_without_examples(self):
    self.assertEqual(int(local_batches.client_key(tiny_task.client([[1.0]], [1.0], client_key=-5))), -5)
    self.assertEqual(int(local_batches.client_key(tiny_task.client(np.zeros([0, 1]), []))), 0)
