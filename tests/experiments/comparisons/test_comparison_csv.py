"""The CSV of a comparison: every run at every evaluation, exact; whole, or what was there before."""

import csv
import os
import pathlib

import pytest

from experiments.command import failures
from experiments.comparisons import codecs
from experiments.comparisons import csv_file
from experiments.comparisons import observations
from experiments.comparisons import runs as run_comparison
from tests import binaries
from tests.experiments.comparisons import test_run_comparison

_COMPARED = [
  'round', 'perplexity', 'accuracy', 'loss', 'probe_accuracy', 'client_rounds', 'upload_bytes_total',
  'download_bytes_total', 'epsilon', 'diverged', 'finished',
]  # fmt: skip


def _groups(*folders):
  return run_comparison.groups([run_comparison.read(folder) for folder in folders])


def _read(path):
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


def test_each_run_has_a_row_for_each_evaluation(tmp_path):
  write = test_run_comparison.write_run
  model = 'lstm(width=8, num_cells=8)'
  folders = [
    write(tmp_path / 'a, "b"', ((0, 400.0), (2, 1 / 0.003)), megabytes=0.123457, rounds=2, model=model),
    write(tmp_path / 'c', ((0, 400.0), (1, 300.5)), rounds=2, finished=False, seed=1, model=model),
    write(tmp_path / 'd', ((0, 400.0), (2, float('inf'))), megabytes=3.0, rounds=2, upload='clip|sign', model=model),
  ]
  path = tmp_path / 'new' / 'compared.csv'
  csv_file.write(path, observations.of_runs(_groups(*folders)))
  rows = _read(path)
  assert list(rows[0]) == ['setting', 'name', 'folder', 'seed', 'upload', *_COMPARED]
  assert [(row['upload'], row['seed'], row['round']) for row in rows] == [
    ('clip|sign', '0', '0'), ('clip|sign', '0', '2'), ('identity', '0', '0'), ('identity', '0', '2'),
    ('identity', '1', '0'), ('identity', '1', '1'),
  ]  # fmt: skip
  last = rows[3]
  assert last['folder'] == str(tmp_path / 'a, "b"') and last['setting'] == 'identity' and last['name'] == '32 bits'
  assert float(last['perplexity']) == 1 / 0.003  # Every digit.
  # Two rounds of 123,457 bytes up and four times that down, of five clients.
  assert (last['upload_bytes_total'], last['download_bytes_total'], last['client_rounds']) == ('246914', '987656', '10')
  assert (last['accuracy'], last['loss'], last['probe_accuracy']) == ('0.25', '1.0', '')
  assert [(row['diverged'], row['finished']) for row in rows[1::2]] == [
    ('True', 'True'), ('False', 'True'), ('False', 'False'),
  ]  # fmt: skip
  assert rows[1]['perplexity'] == 'inf'


def test_every_flag_that_varies_has_a_column_even_one_called_like_another(tmp_path):
  folders = [
    test_run_comparison.write_run(
      tmp_path / name, loss=name, pretrained=name if name == 'b' else None, trainable='head'
    )
    for name in ('a', 'b')
  ]
  found = observations.of_runs(_groups(*folders))
  assert list(found.columns)[3:7] == ['seed', 'flag_loss', 'pretrained', 'round']
  assert {row['flag_loss'] for row in found.rows} == {'a', 'b'}
  assert {row['pretrained'] for row in found.rows} == {None, 'b'}
  assert 'trainable' not in found.columns and 'output_dir' not in found.columns


def test_runs_of_different_data_are_told_apart_by_its_whole_hash(tmp_path):
  folders = [test_run_comparison.write_run(tmp_path / name, hashes=(name * 64, 'held out')) for name in ('a', 'b')]
  found = observations.of_runs(_groups(*folders))
  assert {row['dataset_hash'] for row in found.rows} == {'a' * 64, 'b' * 64}


def test_codecs_and_the_ends_of_runs_are_in_one_table(tmp_path):
  groups = _groups(test_run_comparison.write_run(tmp_path / 'a'))
  points = [codecs.CodecPoint('clip|sign', 1.5, 1 / 3, 150)]
  path = tmp_path / 'codecs.csv'
  csv_file.write(path, observations.of_updates(observations.CODECS, codecs.observed(points, 'runs/x'), groups))
  update, run = _read(path)
  assert [update[name] for name in ('observed', 'upload', 'folder', 'upload_bytes', 'bits_per_parameter')] == [
    'update', 'clip|sign', 'runs/x', '150', '1.5',
  ]  # fmt: skip
  assert float(update['distortion']) == 1 / 3 and update['perplexity'] == update['seed'] == ''
  assert [run[name] for name in ('observed', 'upload', 'seed', 'round', 'perplexity', 'distortion')] == [
    'run', 'identity', '0', '4', '100.0', '',
  ]  # fmt: skip
  csv_file.write(path, observations.of_updates(observations.CODECS, [], groups))  # Over an earlier one.
  assert len(_read(path)) == 1


@pytest.mark.parametrize(
  'content', ['', 'setting,perplexity\n', 'name,setting,folder,seed,diverged,finished\n', b'\xff\xfe']
)
def test_nothing_else_is_overwritten(content, tmp_path):
  path = tmp_path / 'mine.csv'
  path.write_bytes(content if isinstance(content, bytes) else content.encode())
  before = path.read_bytes()
  with pytest.raises(failures.UsageError, match=r'mine\.csv is there and no CSV of a comparison: delete it, or choose'):
    csv_file.write(path, observations.Observations(observations.RUNS, []))
  assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_folder_or_a_place_below_a_file_is_refused(tmp_path):
  with pytest.raises(failures.UsageError, match='is a folder: name a file in it, such as '):
    csv_file.check(tmp_path)
  (tmp_path / 'file').write_text('')
  with pytest.raises(failures.UsageError, match='file is no folder; choose another path'):
    csv_file.check(tmp_path / 'file' / 'x.csv')
  with pytest.raises(failures.UsageError, match='is there and no CSV of a comparison'):
    csv_file.check(pathlib.Path(os.devnull))


def test_a_failure_leaves_the_earlier_file(tmp_path):
  path = tmp_path / 'x.csv'
  csv_file.write(path, observations.Observations(observations.RUNS, []))
  before = path.read_bytes()

  def rows():
    yield dict.fromkeys(observations.RUNS, 1)
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    csv_file.write(path, observations.Observations(observations.RUNS, rows()))
  assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_the_binary_writes_it_or_refuses_before_it_measures(tmp_path):
  test_run_comparison.write_run(tmp_path / 'runs' / 'a')
  arguments = [f'--runs={tmp_path}/runs', f'--output_dir={tmp_path}/out']
  refused = binaries.run('experiments.compare', [*arguments, f'--csv={tmp_path}/runs'])
  assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1, refused.stderr
  assert f'--csv={tmp_path}/runs is a folder' in refused.stderr and not (tmp_path / 'out').exists()
  process = binaries.run('experiments.compare', [*arguments, f'--csv={tmp_path}/x/y.csv'])
  assert process.returncode == 0, process.stderr
  assert f'3 observations are in {tmp_path}/x/y.csv' in process.stdout
  assert [row['round'] for row in _read(tmp_path / 'x' / 'y.csv')] == ['0', '2', '4']
