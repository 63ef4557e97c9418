"""Runs that ended without a finite result: compared, drawn and listed without praise."""

import math

from experiments import comparison_page
from experiments import comparison_plots
from experiments import comparison_table
from experiments import metrics
from experiments import run_comparison
from tests.experiments.test_run_comparison import write_run


def _groups(*folders):
  return run_comparison.groups([run_comparison.read(folder) for folder in folders])


def _ends(value):
  return ((0, 400.0), (2, 200.0), (4, value))


def test_diverged_runs_have_no_mean_and_no_praise(tmp_path):
  first, second, third = _groups(
    write_run(tmp_path / 'a', _ends(math.inf)),
    write_run(tmp_path / 'b', seed=1),
    write_run(tmp_path / 'c', _ends(math.inf), megabytes=0.5, upload='sign'),
    write_run(tmp_path / 'd', _ends(300.0), megabytes=0.25, upload='uniform'),
  )
  columns = comparison_table.columns(first.quality, target=200)
  rows = [dict(zip(columns, row, strict=True)) for row in comparison_table.cells([first, second, third], target=200)]
  names = ('perplexity', 'min to max', 'accuracy', 'upload reduced', 'Pareto front', 'rounds to 200')
  assert [[row[name] for name in names] for row in rows] == [
    ['1 of 2 seeds diverged', '100.0 to 100.0', '', '', '', '2.0'],
    ['diverged', '', '', '', '', '2.0'],
    ['300.0', '', '0.250', '4.0x', 'yes', '2.0'],
  ]
  assert 'Some runs diverged' in comparison_page.render([first, second, third], {})


def test_a_classifier_that_diverges_has_no_accuracy(tmp_path):
  """Whose loss is NaN and which names the first class, right for a quarter of the examples."""
  write_run(tmp_path / 'a', ((0, 0.5), (2, 0.25), (4, 0.25)))
  text = (tmp_path / 'a' / 'metrics.csv').read_text().splitlines()
  place = metrics.COLUMNS.index('eval/loss')
  for number in (3, 5):  # Rounds 2 and 4.
    cells = text[number].split(',')
    text[number] = ','.join([*cells[:place], 'nan', *cells[place + 1 :]])
  (tmp_path / 'a' / 'metrics.csv').write_text('\n'.join(text) + '\n')
  (group,) = _groups(tmp_path / 'a')
  assert group.runs[0].diverged_round == 2
  columns = comparison_table.columns(group.quality, target=0.25)
  (row,) = comparison_table.cells([group], target=0.25)
  cells = dict(zip(columns, row, strict=True))
  assert [cells[name] for name in ('accuracy', 'Pareto front', 'upload reduced', 'rounds to 0.25')] == [
    'diverged', '', '', '0.0',
  ]  # fmt: skip


def test_runs_that_diverged_are_drawn(tmp_path):
  a = write_run(tmp_path / 'a', _ends(math.inf))
  b = write_run(tmp_path / 'b', ((0, 400.0), (4, math.inf)), upload='sign', megabytes=0.5)
  for folders in ([a], [a, b], [a, b, write_run(tmp_path / 'c', seed=1)]):
    assert comparison_plots.draw(_groups(*folders), tmp_path)
