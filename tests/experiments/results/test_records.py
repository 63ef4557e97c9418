"""The rows of a run add up, and what was not measured is None here and empty in the file."""

from experiments.results import metrics
from experiments.results import records


def test_adds_rows_without_a_change_to_what_was_measured(tmp_path):
  found = records.Records(tmp_path)
  found.begin()
  found.add(0, {'eval/loss': 2.0})
  measured = [{'upload_bytes': 3, 'download_bytes': 5, 'eval/loss': None}, {'upload_bytes': 4, 'download_bytes': 6}]
  rows = [found.add(number, columns) for number, columns in enumerate(measured, 1)]
  assert measured == [
    {'upload_bytes': 3, 'download_bytes': 5, 'eval/loss': None}, {'upload_bytes': 4, 'download_bytes': 6},
  ]  # fmt: skip
  assert [(row['round'], row['upload_bytes_total'], row['download_bytes_total']) for row in rows] == [
    (1, 3, 5),
    (2, 7, 11),
  ]
  assert rows[0]['eval/loss'] is None and rows[1]['train/loss'] is None
  assert found.rows[1:] == rows == metrics.read(tmp_path / 'metrics.csv')[1:]
  assert (tmp_path / 'metrics.csv').read_text().splitlines()[2].startswith('1,,,,,,,3,5,')
