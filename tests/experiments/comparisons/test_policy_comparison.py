"""The comparison of policies: groups, means and spread are right, and the picture is drawn."""

import json

import pytest

from experiments.comparisons import policies
from experiments.comparisons import policy_plot
from tests.experiments.comparisons import test_run_comparison


def _run(folder, perplexity, fractions=(1.0, 1.0), **settings):
  """Leaves a run of two rounds that upload 2 MB and download 8 MB together."""
  settings = {'trainable': 'all', 'download': 'identity', 'rounds': 2} | settings
  test_run_comparison.write_run(folder, ((0, 400.0), (2, perplexity)), **settings)
  header, *rows = (folder / 'metrics.csv').read_text().splitlines()
  column = header.split(',').index('trained_fraction')
  for number, fraction in enumerate(fractions, 1):
    cells = rows[number].split(',')
    rows[number] = ','.join([*cells[:column], str(fraction), *cells[column + 1 :]])
  (folder / 'metrics.csv').write_text('\n'.join([header, *rows]) + '\n')


def _read(folder):
  return policies.read_runs([str(folder)])


def test_gathers_seeds(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'c', 130.0, fractions=(0.3, 0.5), trainable='random(fraction=0.4)', seed=1)
  _run(tmp_path / 'b', 120.0, fractions=(0.2, 0.6), trainable='random(fraction=0.4)')
  whole, part = _read(tmp_path)
  assert policies.trained_fraction(whole) == 1.0
  assert policies.trained_fraction(part) == pytest.approx(0.4)
  table = policies.table([whole, part])
  # By seed; mean 125; standard deviation sqrt(25 + 25) = 7.07.
  assert '| 0.400 | 2.0 | 8.0 | 125.0 | 7.1 | 120.0, 130.0 |' in table
  assert '| 100.0 |  | 100.0 |' in table


def test_each_setting_may_have_rates_of_its_own_but_all_its_seeds_the_same(tmp_path):
  _run(tmp_path / 'a', 100.0, algorithm='fed_avg(client_lr=1.0)')
  _run(tmp_path / 'b', 110.0, trainable='bias', algorithm='fed_avg(client_lr=3.0)')
  assert len(_read(tmp_path)) == 2
  _run(tmp_path / 'c', 120.0, seed=1, algorithm='fed_avg(client_lr=3.0)')
  with pytest.raises(ValueError, match='differs in algorithm or plugin from another seed of its setting'):
    _read(tmp_path)


def test_runs_that_differ_otherwise_are_refused(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'b', 110.0, batch_size=4, seed=1)
  with pytest.raises(ValueError, match='differs from the other runs in batch_size: compare it apart'):
    _read(tmp_path)


def test_how_the_base_travels_is_no_difference_where_everything_is_trained(tmp_path):
  _run(tmp_path / 'a', 100.0, base='once')
  _run(tmp_path / 'b', 110.0, trainable='bias', base='every_round')
  assert len(_read(tmp_path)) == 2
  _run(tmp_path / 'c', 110.0, trainable='head', base='once')
  with pytest.raises(ValueError, match='differs from the other runs in base: compare it apart'):
    _read(tmp_path)


def test_equal_data_at_another_path_are_no_difference(tmp_path):
  _run(tmp_path / 'a', 100.0, dataset='text(path="a", vocabulary=60)')
  _run(tmp_path / 'b', 110.0, dataset='text(path="b", vocabulary=60)', seed=1)
  assert len(_read(tmp_path)) == 1
  _run(tmp_path / 'c', 110.0, dataset='text(path="b", vocabulary=61)', seed=2)
  with pytest.raises(ValueError, match='differs from the other runs in dataset'):
    _read(tmp_path)


def test_runs_that_are_judged_otherwise_are_refused(tmp_path):
  _run(tmp_path / 'a', 0.5)
  with pytest.raises(ValueError, match='a is judged by accuracy, not perplexity: compare it by --what=runs'):
    _read(tmp_path)


def test_runs_that_diverged_are_refused(tmp_path):
  _run(tmp_path / 'a', float('inf'))
  with pytest.raises(ValueError, match='a diverged, since round 2: compare it by --what=runs'):
    _read(tmp_path)


def test_runs_that_go_on_after_their_end_are_left_out(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'b', 50.0, trainable='head')
  (tmp_path / 'b' / 'summary.json').write_text(json.dumps({'rounds': 1}))
  assert [group.runs[0].settings['trainable'] for group in _read(tmp_path)] == ['all']
  (tmp_path / 'a' / 'summary.json').unlink()
  with pytest.raises(ValueError, match='holds no finished run'):
    _read(tmp_path)


def test_draws(tmp_path):
  _run(tmp_path / 'a', 100.0)
  for index, fraction in enumerate((0.2, 0.4)):
    trainable = f'random(fraction={fraction}, resample="round")'
    _run(tmp_path / f'b{index}', 120.0, fractions=(fraction, fraction), trainable=trainable)
  policy_plot.plot([], _read(tmp_path), tmp_path / 'policies.png')
  assert (tmp_path / 'policies.png').read_bytes()[:4] == b'\x89PNG'


def test_a_line_is_a_policy_without_its_fraction(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'b', 110.0, trainable='random(fraction=0.4, resample="round")')
  _run(tmp_path / 'c', 120.0, trainable='random(fraction=0.2)')
  lines = policies._lines(_read(tmp_path))
  assert set(lines) == {('lstm', 'random(resample="round")'), ('lstm', 'random')}
  assert [group.runs[0].settings['trainable'] for group in lines['lstm', 'random']] == ['all', 'random(fraction=0.2)']
