"""Rows of metrics.csv: the columns, and what a missing measurement looks like."""

import pathlib
import tempfile

from absl.testing import parameterized

from experiments.results import metrics

_MEASURED = {
  'client_work': dict(
    num_clients=2,
    num_examples=30,
    dropped_updates=1,
    trained_parameters=50,
    loss_sum=6.0,
    correct_sum=1.0,
    weight_sum=4.0,
  ),
  'distributor': dict(download_bytes=800),
  'aggregator': dict(upload_bytes=408, upload_bytes_values=400),
}


class MetricsTest(parameterized.TestCase):
  def test_training_columns(self):
    columns = metrics.training_columns(_MEASURED, num_parameters=100)
    self.assertEqual(columns['train/loss'], 1.5)  # 6 / 4
    self.assertEqual(columns['trained_fraction'], 0.25)  # 50 / (2 clients x 100)
    self.assertEqual(columns['upload_bytes'], 408)
    self.assertEqual(columns['dropped_updates'], 1)

  def test_a_mean_over_nothing_is_empty(self):
    work = dict(_MEASURED['client_work'], num_clients=0, weight_sum=0.0)
    columns = metrics.training_columns(dict(_MEASURED, client_work=work), num_parameters=100)
    self.assertIsNone(columns['train/loss'])
    self.assertIsNone(columns['trained_fraction'])

  def test_evaluation_columns(self):
    columns = metrics.evaluation_columns(dict(loss_sum=4.158883, correct_sum=1.0, weight_sum=3.0))
    self.assertAlmostEqual(columns['eval/perplexity'], 4.0, places=5)  # 3 ln 4 = 4.158883
    self.assertAlmostEqual(columns['eval/accuracy'], 1 / 3)

  def test_hopeless_losses_have_a_perplexity(self):
    self.assertEqual(metrics.perplexity(1e6), float('inf'))
    self.assertIsNone(metrics.perplexity(None))

  def test_row_has_all_columns_in_order(self):
    row = metrics.row({'upload_bytes': 3})
    self.assertEqual(tuple(row), metrics.COLUMNS[1:])
    self.assertEqual(row['upload_bytes'], 3)
    self.assertIsNone(row['eval/loss'])
    with self.assertRaises(KeyError):
      metrics.row({'uplaod_bytes': 3})

  def test_reads_what_was_written(self):
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    path = pathlib.Path(folder.name, 'metrics.csv')
    path.write_text(metrics.HEADER)
    self.assertEqual(metrics.read(path), [])
    cells = dict.fromkeys(metrics.COLUMNS, '') | {
      'round': '3',
      'eval/loss': '1.5',
      'upload_bytes': '12',
      'eval/perplexity': 'inf',
    }
    with path.open('a') as file:
      file.write(','.join(cells.values()) + '\n')
    row = metrics.read(path)[0]
    self.assertEqual((row['round'], row['eval/loss'], row['upload_bytes']), (3, 1.5, 12))
    self.assertEqual(row['eval/perplexity'], float('inf'))
    self.assertIsNone(row['train/loss'])
