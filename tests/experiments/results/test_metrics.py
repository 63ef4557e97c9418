"""Rows of metrics.csv: the columns, and what a missing measurement looks like."""

import pytest

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


def test_training_columns():
  columns = metrics.training_columns(_MEASURED, num_parameters=100)
  assert columns['train/loss'] == 1.5  # 6 / 4
  assert columns['trained_fraction'] == 0.25  # 50 / (2 clients x 100)
  assert columns['upload_bytes'] == 408
  assert columns['dropped_updates'] == 1


def test_a_mean_over_nothing_is_empty():
  work = dict(_MEASURED['client_work'], num_clients=0, weight_sum=0.0)
  columns = metrics.training_columns(dict(_MEASURED, client_work=work), num_parameters=100)
  assert columns['train/loss'] is None
  assert columns['trained_fraction'] is None


def test_evaluation_columns():
  columns = metrics.evaluation_columns(dict(loss_sum=4.158883, correct_sum=1.0, weight_sum=3.0))
  assert columns['eval/perplexity'] == pytest.approx(4.0, abs=5e-6)  # 3 ln 4 = 4.158883
  assert columns['eval/accuracy'] == pytest.approx(1 / 3, abs=5e-8)


def test_hopeless_losses_have_a_perplexity():
  assert metrics.perplexity(1e6) == float('inf')
  assert metrics.perplexity(None) is None


def test_row_has_all_columns_in_order():
  row = metrics.row({'upload_bytes': 3})
  assert tuple(row) == metrics.COLUMNS[1:]
  assert row['upload_bytes'] == 3
  assert row['eval/loss'] is None
  with pytest.raises(KeyError):
    metrics.row({'uplaod_bytes': 3})


def test_reads_what_was_written(tmp_path):
  path = tmp_path / 'metrics.csv'
  path.write_text(metrics.HEADER)
  assert metrics.read(path) == []
  cells = dict.fromkeys(metrics.COLUMNS, '') | {
    'round': '3',
    'eval/loss': '1.5',
    'upload_bytes': '12',
    'eval/perplexity': 'inf',
  }
  with path.open('a') as file:
    file.write(','.join(cells.values()) + '\n')
  row = metrics.read(path)[0]
  assert (row['round'], row['eval/loss'], row['upload_bytes']) == (3, 1.5, 12)
  assert row['eval/perplexity'] == float('inf')
  assert row['train/loss'] is None
