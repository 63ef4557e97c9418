"""Which folders a user names by a pattern."""

from experiments.results import run_folders
from tests.experiments.comparisons.test_run_comparison import write_run


def test_a_folder_may_be_named_like_a_pattern(tmp_path):
  write_run(tmp_path / 'a[1]' / 'x')
  write_run(tmp_path / 'a[1]' / 'y[2]')
  write_run(tmp_path / 'a1' / 'z')

  def found(pattern):
    return [str(path.relative_to(tmp_path)) for path in run_folders.find([f'{tmp_path}/{pattern}'])]

  assert found('a[1]/x') == ['a[1]/x']
  assert found('a[1]/y[2]') == ['a[1]/y[2]']
  assert found('a[1]') == found('a[1]/*') == ['a[1]/x', 'a[1]/y[2]']
  assert found('a[1]/[x]') == ['a[1]/x']
  assert found('a[12]/*') == ['a1/z']


def test_a_run_counts_once_by_whatever_name(tmp_path):
  write_run(tmp_path / 'runs' / 'a')
  write_run(tmp_path / 'runs' / 'b', seed=1)
  (tmp_path / 'runs' / 'logs').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'runs' / 'a')
  found = run_folders.find([f'{tmp_path}/runs/*', f'{tmp_path}/runs', f'{tmp_path}/link'])
  assert [path.name for path in found] == ['a', 'b']
