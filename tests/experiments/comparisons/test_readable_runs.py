"""What cannot be compared is left out, and said, whatever is wrong with it."""

import pytest

from experiments.command import failures
from experiments.comparisons import readable_runs
from tests import binaries
from tests.experiments.comparisons import test_run_comparison


def _damaged(folder):
  """Leaves two sound runs and six that cannot be compared; returns what is said of these."""
  for name in ('a', 'b'):
    test_run_comparison.write_run(folder / name, seed=ord(name))
  for name in ('config', 'gone', 'metrics', 'empty', 'summary'):
    test_run_comparison.write_run(folder / name)
  (folder / 'config' / 'config.json').write_text('{"settings": ')
  (folder / 'gone' / 'config.json').unlink()
  (folder / 'metrics' / 'metrics.csv').write_text('round,num_clients\n0')
  (folder / 'empty' / 'metrics.csv').write_text('')
  (folder / 'summary' / 'summary.json').write_text('[]')
  test_run_comparison.write_run(folder / 'young', ((0, 400.0),), finished=False)
  (folder / 'notes').mkdir()
  return [
    'gone has no config.json: left out',
    'config.json cannot be read: Expecting value: line 1 column 14 (char 13): left out',
    'empty/metrics.csv holds no evaluation, and the run is finished: left out',
    'metrics/metrics.csv holds no metrics of a run: left out',
    'summary/summary.json is not the summary of a run: left out',
    'young has not been evaluated since it began to train: left out',
  ]


@pytest.mark.parametrize('pattern', ['runs', 'runs/*'])
def test_says_one_sentence_of_each(pattern, tmp_path):
  said = _damaged(tmp_path / 'runs')
  found = readable_runs.find([f'{tmp_path}/{pattern}'])
  assert [run.folder.name for run in found.runs] == ['a', 'b']
  assert len(found.left_out) == len(said)
  for sentence, expected in zip(found.left_out, said, strict=True):
    assert sentence.startswith(f'{tmp_path}/runs/') and sentence.endswith(expected)


@pytest.mark.parametrize('what', ['runs', 'codecs'])
def test_the_binary_says_them_on_stderr(what, tmp_path):
  said = _damaged(tmp_path / 'runs')
  process = binaries.run(
    'experiments.compare', [f'--what={what}', f'--runs={tmp_path}/runs', f'--output_dir={tmp_path}/out']
  )
  assert process.returncode == 0, process.stderr
  lines = process.stderr.splitlines()
  assert len(lines) == len(said)
  assert all(line.endswith(expected) for line, expected in zip(lines, said, strict=True))


def test_nothing_to_compare_is_refused(tmp_path):
  _damaged(tmp_path)
  for names, expected in (
    (['config'], 'config.json cannot be read'),  # The only one: why is said as it is.
    (['config', 'metrics'], 'no run can be compared, for example since .*config.json cannot be read'),
    (['young'], 'young has no evaluation yet, nor has any other run: wait for one'),
  ):
    with pytest.raises(failures.UsageError, match=expected):
      readable_runs.find([f'{tmp_path}/{name}' for name in names])


def test_stages_of_a_run_are_not_missed(tmp_path):
  folder = test_run_comparison.write_run(tmp_path / 'a')
  test_run_comparison.write_run(folder / 'stage_01')
  (folder / 'stage_01' / 'config.json').unlink()
  assert readable_runs.find([f'{tmp_path}/*']).left_out == []
