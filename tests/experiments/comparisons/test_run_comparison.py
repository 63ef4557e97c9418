"""The comparison of runs: who is a group, what is said of it, and which runs do not go together."""

import json
import math
import pathlib
import re

import pytest

from experiments.command import failures
from experiments.comparisons import runs as run_comparison
from experiments.comparisons import series as comparison_series
from experiments.comparisons import table
from experiments.results import metrics
from experiments.results import quality
from experiments.results import run_folders
from tests import binaries

_ROOT = pathlib.Path(__file__).parents[3]
_EVALUATIONS = ((0, 400.0), (2, 200.0), (4, 100.0))


def _evaluation(value):
  """Returns columns: of a classifier with this accuracy up to 1, of a language model with this perplexity above."""
  return {'eval/loss': 1.0} | (
    {'eval/accuracy': value} if value <= 1 else {'eval/perplexity': value, 'eval/accuracy': 0.25}
  )


def write_run(folder, evaluations=_EVALUATIONS, megabytes=1.0, finished=True, hashes=('abcdef0123', None), **settings):
  """Leaves what a run does; `evaluations` are (round, quality), and 5 clients a round upload `megabytes` for `epsilon`."""
  epsilon = settings.pop('epsilon', None)
  folder.mkdir(parents=True)
  settings = {'model': 'lstm', 'upload': 'identity', 'rounds': 4, 'seed': 0, 'output_dir': str(folder)} | settings
  config = {'settings': settings, 'num_parameters': 1234, 'packages': {'tensorflow': '2'}, 'git_commit': 'c0ffee'}
  (folder / 'config.json').write_text(
    json.dumps(config | dict(zip(('dataset_hash', 'heldout_hash'), hashes, strict=True)))
  )
  lines = [','.join(metrics.COLUMNS)]
  for number in range(evaluations[-1][0] + 1):
    total = round(number * megabytes * 1e6)
    row = {'round': number, 'upload_bytes_total': total, 'download_bytes_total': 4 * total}
    row |= ({'num_clients': 5} if number else {}) | ({} if epsilon is None else {'epsilon': epsilon * number})
    row |= _evaluation(dict(evaluations)[number]) if number in dict(evaluations) else {}
    lines.append(','.join(str(row.get(name, '')) for name in metrics.COLUMNS))
  (folder / 'metrics.csv').write_text('\n'.join(lines) + '\n')
  if finished:
    (folder / 'summary.json').write_text(json.dumps({'rounds': evaluations[-1][0]}))
  return folder


def _groups(*folders):
  return run_comparison.groups([run_comparison.read(folder) for folder in folders])


def _ends(value):
  return (*_EVALUATIONS[:2], (4, value))


def test_how_the_base_travels_is_told_where_nothing_else_tells_groups_apart(tmp_path):
  whole, bias = (write_run(tmp_path / name, trainable=name, base='once') for name in ('all', 'bias'))
  always = write_run(tmp_path / 'always', trainable='bias', base='every_round')
  assert {group.label for group in _groups(whole, bias)} == {'all', 'bias'}
  assert {group.label for group in _groups(bias, always)} == {'once', 'every_round'}


def test_seeds_make_a_group_and_what_differs_its_label(tmp_path):
  first, second = _groups(
    write_run(tmp_path / 'c', _ends(130.0), megabytes=0.25, upload='uniform(bits=8)'),
    write_run(tmp_path / 'b', _ends(110.0), seed=1, rounds_per_checkpoint=3),
    write_run(tmp_path / 'a', _ends(100.0)),
  )
  assert (first.label, second.label) == ('identity', 'uniform(bits=8)')
  assert [run.folder.name for run in first.runs] == ['a', 'b']
  # Mean 105, sample deviation sqrt(25 + 25); 4 rounds x 1 MB; 20 updates; 4 MB against 1 MB.
  assert table.cells([first, second]) == [
    ['0, 1', '4', '1,234', '105.0 ± 7.1', '100.0 to 110.0', '0.250', '0.200', '0.800', '4.0', '16.0', '1.0x', 'yes'],
    ['0', '4', '1,234', '130.0', '', '0.250', '0.0500', '0.200', '1.0', '4.0', '4.0x', 'yes'],
  ]


def test_labels_name_flags_when_several_differ(tmp_path):
  groups = _groups(
    write_run(tmp_path / 'a', model='lstm', trainable='all'),
    write_run(tmp_path / 'b', model='transformer', trainable='all', pretrained=None),
    write_run(tmp_path / 'c', model='transformer', trainable='head', pretrained='x'),
  )
  assert {group.label for group in groups} == {
    'model=lstm, trainable=all',
    'model=transformer, trainable=all',
    'model=transformer, trainable=head, pretrained=x',
  }
  assert [group.label for group in _groups(tmp_path / 'a')] == ['lstm']


def test_curves_have_the_rounds_that_all_seeds_share(tmp_path):
  (group,) = _groups(
    write_run(tmp_path / 'a'), write_run(tmp_path / 'b', ((0, 500.0), (1, 9.0), (2, 300.0)), finished=False, seed=1)
  )
  assert not group.finished
  curve = group.curve(run_comparison.quality)
  assert [(point.mean, point.low, point.high) for point in curve] == [(450.0, 400.0, 500.0), (250.0, 200.0, 300.0)]
  assert table.cells([group])[0][1] == '2 to 4 of 4, unfinished'


@pytest.mark.parametrize(
  ('points', 'front'),
  [
    ([(8, 100), (4, 100), (2, 120)], [1, 2]),  # The same quality for more bytes is beaten.
    ([(8, 90), (4, 100), (4, 110)], [0, 1]),
    ([(4, 100), (4, 100)], [0, 1]),  # Neither beats the other.
    ([(8, math.inf), (4, math.nan)], []),
    ([(8, 1), (4, math.inf)], [0]),
    ([(8, math.nan), (4, 1)], [1]),
  ],
)
def test_pareto_front(points, front):
  runs = [
    run_comparison.Run(
      pathlib.Path('x'), {}, [run_comparison.Point(1, value, 0.0, sent, 0, 1)], True, quality.PERPLEXITY
    )
    for sent, value in points
  ]
  groups = [run_comparison.Group(str(index), [run]) for index, run in enumerate(runs)]
  assert sorted(run_comparison.pareto_front(groups)) == front


def test_classifiers_are_better_the_more_accurate_they_are(tmp_path):
  shared = dict(hashes=('a', 'held out'), megabytes=2.0, partition='iid(clients=1)')
  first, second, third = _groups(
    write_run(tmp_path / 'a', ((0, 0.25), (2, 0.5), (4, 0.75)), **shared),
    write_run(tmp_path / 'b', ((0, 0.25), (2, 0.375), (4, 0.5)), seed=1, **shared),
    write_run(tmp_path / 'c', ((0, 0.25), (4, 0.5)), hashes=('b', 'held out'), partition='iid(clients=2)'),
    write_run(tmp_path / 'd', ((0, 0.25), (4, 0.375)), megabytes=1.5, hashes=('c', 'held out'), partition='natural'),
  )
  assert [group.label for group in (first, second, third)] == ['iid(clients=1)', 'natural', 'iid(clients=2)']
  # 0.625 for 8 MB and 0.5 for 4 MB; 6 MB for 0.375 is beaten by the latter.
  assert run_comparison.pareto_front([first, second, third]) == {0, 2}
  columns = table.columns(first.quality, target=0.5)
  assert columns[3:6] == ['accuracy', 'min to max', 'MB up per client-round']
  rows = [dict(zip(columns, row, strict=True)) for row in table.cells([first, second, third], target=0.5)]
  assert (rows[0]['accuracy'], rows[0]['min to max']) == ('0.625 ± 0.177', '0.500 to 0.750')  # 0.125 * sqrt(2)
  # Rounds 2 and 4, of 2 MB each; nothing of the second; round 4 of 1 MB each.
  assert [row['rounds to 0.5'] for row in rows] == ['3.0', '0 of 1 seeds', '4.0']
  assert [row['MB up to 0.5'] for row in rows] == ['6.0', '', '4.0']


def test_series_over_clients_differ_in_nothing_else(tmp_path):
  def runs(name, num_clients, **settings):
    folder = write_run(tmp_path / name, hashes=(name, 'held out'), **settings)
    run = run_comparison.read(folder)
    points = [point._replace(client_rounds=point.round * num_clients) for point in run.points]
    return run._replace(points=points)

  groups = run_comparison.groups(
    [
      runs('a', 8, partition='iid(clients=8)'),
      runs('b', 2, partition='iid(clients=2)'),
      runs('c', 8, partition='shards(clients=8, labels=1)'),
      runs('d', 4, partition='shards(labels=1, clients=4)'),
    ]
  )
  series = comparison_series.by_clients(groups)
  assert {label: [group.clients_per_round for group in members] for label, members in series.items()} == {
    'iid': [2.0, 8.0],
    'shards': [4.0, 8.0],
  }


def test_classifiers_and_language_models_do_not_compare(tmp_path):
  with pytest.raises(
    failures.UsageError, match='some runs are judged by accuracy and some by perplexity: compare them'
  ):
    _groups(write_run(tmp_path / 'a'), write_run(tmp_path / 'b', ((0, 0.25), (4, 0.5))))


def _write_staged_run(folder, probe, **options):
  """Leaves what a training in stages does, with a stage of its own inside; without `probe`, as it is before its end."""
  write_run(folder, ((0, 0.25), (2, 0.5), (4, 0.125)), **options)
  header, *rows = (folder / 'metrics.csv').read_text().splitlines()
  text = [f'stage,{header}', *(f'1,{row}' for row in rows)]
  (folder / 'metrics.csv').write_text('\n'.join(text) + '\n')
  if probe is None:
    (folder / 'summary.json').unlink()
  else:
    (folder / 'summary.json').write_text(json.dumps({'rounds': 4, 'probe/accuracy': probe}))
  write_run(folder / 'stage_01', ((0, 0.25), (4, 0.125)), rounds=2)
  return folder


def test_training_in_stages_is_judged_by_its_probe(tmp_path):
  _write_staged_run(tmp_path / 'a', 0.75, stages='layerwise')
  _write_staged_run(tmp_path / 'b', 0.5, stages='layerwise', seed=1)
  _write_staged_run(tmp_path / 'c', 0.875, stages='end_to_end', megabytes=2.0)
  found = run_folders.find([f'{tmp_path}/*', f'{tmp_path}/*/*'])
  assert [path.name for path in found] == ['a', 'b', 'c']
  first, second = _groups(*found)
  assert (first.label, second.label) == ('end_to_end', 'layerwise')
  columns = table.columns(first.quality)
  assert columns[3:6] == ['probe accuracy', 'min to max', 'MB up per client-round']
  cells = [dict(zip(columns, row, strict=True)) for row in table.cells([first, second])]
  assert [row['probe accuracy'] for row in cells] == ['0.875', '0.625 ± 0.177']  # 0.125 * sqrt(2)
  assert [row['MB up'] for row in cells] == ['8.0', '4.0']
  assert run_comparison.pareto_front([first, second]) == {0, 1}


def test_training_in_stages_has_no_result_before_its_probe(tmp_path):
  assert run_comparison.read(_write_staged_run(tmp_path / 'a', None)) is None


def test_a_probe_and_another_measure_do_not_compare(tmp_path):
  with pytest.raises(failures.UsageError, match='some runs are judged by accuracy and some by probe accuracy: compare'):
    _groups(_write_staged_run(tmp_path / 'a', 0.75), write_run(tmp_path / 'b', ((0, 0.25), (4, 0.5))))


def test_two_runs_of_one_seed_are_refused(tmp_path):
  with pytest.raises(failures.UsageError, match='have the same settings and seed: name one of them'):
    _groups(write_run(tmp_path / 'a'), write_run(tmp_path / 'b'))


@pytest.mark.parametrize(
  ('name', 'content', 'expected'),
  [
    ('config.json', '{"settings": ', 'config.json cannot be read'),
    ('config.json', '[]', 'config.json is not the config of a run'),
    ('config.json', '{"settings": {}}', 'config.json is not the config of a run'),
    ('metrics.csv', 'a,b\n1,2\n', 'metrics.csv holds no metrics of a run'),
    ('metrics.csv', 'round,num_clients,eval/perplexity\n0,,many\n', 'metrics.csv holds no metrics of a run'),
    ('metrics.csv', '', 'metrics.csv holds no evaluation, and the run is finished'),
    ('summary.json', '?', 'summary.json cannot be read'),
    ('summary.json', 'null', 'summary.json is not the summary of a run'),
  ],
)
def test_files_that_are_not_of_a_run_are_refused(name, content, expected, tmp_path):
  write_run(tmp_path / 'a')
  (tmp_path / 'a' / name).write_text(content)
  with pytest.raises(failures.UsageError, match=expected):
    run_comparison.read(tmp_path / 'a')


def test_a_run_without_an_evaluation_of_training_is_none(tmp_path):
  assert run_comparison.read(write_run(tmp_path / 'a', ((0, 400.0),), finished=False)) is None
  assert run_comparison.read(write_run(tmp_path / 'b', ((0, 400.0),), rounds=0)).last.quality == 400.0
  (tmp_path / 'a' / 'metrics.csv').unlink()
  assert run_comparison.read(tmp_path / 'a') is None


def _compare(tmp_path, *arguments):
  return binaries.run('experiments.compare', [f'--output_dir={tmp_path}/out', *arguments])


def test_the_binary_leaves_a_table_pictures_and_a_page(tmp_path):
  write_run(tmp_path / 'a')
  write_run(tmp_path / 'b', _ends(120.0), megabytes=0.5, upload='clip|sign')
  write_run(tmp_path / 'c', ((0, 400.0),), finished=False, seed=3)
  process = _compare(tmp_path, f'--runs={tmp_path}/[abc]')
  assert process.returncode == 0, process.stderr
  assert '| `clip\\|sign` | 0 | 4 | 1,234 | 120.0 |' in (tmp_path / 'out' / 'comparison.md').read_text()
  assert re.search(r'^clip \+ sign +0 +4 +1,234 +120.0 ', process.stdout, re.MULTILINE)
  assert f'{tmp_path}/c has not been evaluated since it began to train: left out' in process.stderr
  assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == [
    'comparison.md', 'download.png', 'index.html', 'pareto.png', 'rounds.png', 'upload.png',
  ]  # fmt: skip
  assert max(map(len, process.stdout.splitlines())) <= 120 + len(f'{tmp_path}')


def test_the_binary_refuses_in_one_line(tmp_path):
  write_run(tmp_path / 'a')
  write_run(tmp_path / 'b', hashes=('9876543210', None))
  write_run(tmp_path / 'c', ((0, 400.0),), finished=False)
  for arguments, expected in (
    (
      [f'--runs={tmp_path}/[ab]'],
      'are judged by different clients (all held-out clients of data set abcdef01 and all held-out clients of data set 98765432)',
    ),
    ([f'--runs={tmp_path}/nothing'], 'matches no run'),
    ([f'--runs={tmp_path}/c'], 'has no evaluation yet'),
    (['--run=x'], 'name their folders'),
    ([f'--runs={tmp_path}/a', '--target=nan'], '--target=nan is no quality'),
    ([f'--runs={tmp_path}/a', '--target=inf'], '--target=inf is no quality'),
  ):
    process = _compare(tmp_path, *arguments)
    assert process.returncode == 2
    assert expected in process.stderr
    assert len(process.stderr.splitlines()) == 1
    assert not (tmp_path / 'out').exists()
  process = _compare(tmp_path, f'--runs={tmp_path}/[ab]', '--allow_different_data')
  assert process.returncode == 0, process.stderr
  assert 'data set abcdef01' in process.stdout and 'data set 98765432' in process.stdout


def test_runs_from_before_there_was_a_base_sent_it_in_every_round(tmp_path):
  flags = dict(download='identity', trainable='head')
  old, same = write_run(tmp_path / 'a', **flags), write_run(tmp_path / 'b', base='every_round', seed=1, **flags)
  assert len(_groups(old, same)) == 1
  assert len(_groups(old, write_run(tmp_path / 'c', base='once', seed=1, **flags))) == 2
  everything = dict(download='identity', trainable='all')  # Which has no base.
  one, other = write_run(tmp_path / 'd', **everything), write_run(tmp_path / 'e', base='once', seed=1, **everything)
  assert len(_groups(one, other)) == 1
