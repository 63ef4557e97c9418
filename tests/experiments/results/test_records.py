"""The rows of a run add up, and what was not measured is None here and empty in the file."""

import pytest

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


@pytest.mark.parametrize(
  ('aborted', 'wrapped', 'said'),
  [
    (0, 0, ''),
    (2, 0, ''),
    (3, 0, 'nothing was learned: in each round too few'),
    (0, 7, '7 values of secure sums did not fit'),
  ],
)
def test_sums_that_came_to_nothing_are_told(aborted, wrapped, said, capsys):
  lost = {'wrapped_values': wrapped, 'cut_values': 5, 'aborted_rounds': aborted}
  records.warn({'rounds': 3, 'diverged_round': None, 'secure_sum': lost})
  assert capsys.readouterr().err.startswith(said) if said else not capsys.readouterr().err
