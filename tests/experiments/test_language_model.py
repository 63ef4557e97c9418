"""The language-model binary from the outside: what it leaves, and how it goes on."""

import json
import pathlib
import subprocess
import sys

import pytest

from experiments.results import columns
from experiments.results import metrics
from tests import declared_files
from tests import heldout_file
from tests import language_model_runs as runs


@pytest.fixture(scope='module')
def finished(text, environment, tmp_path_factory) -> tuple[pathlib.Path, subprocess.CompletedProcess[str]]:
  """A run of four rounds that nothing disturbed."""
  output_dir = tmp_path_factory.mktemp('runs') / 'finished'
  return output_dir, runs.finish(runs.command(text, output_dir), environment)


def test_leaves_what_is_promised(finished):
  output_dir, process = finished
  assert process.returncode == 0, process.stderr
  for name in (
    'config.json',
    'run.flags',
    'metrics.csv',
    'summary.json',
    'heldout.csv',
    'perplexity.png',
    'model.safetensors',
    'checkpoints',
  ):
    assert (output_dir / name).exists(), name
  assert list(output_dir.glob('events.out.tfevents.*'))
  summary = json.loads((output_dir / 'summary.json').read_text())
  assert list(summary) == [
    'rounds', 'num_parameters', 'num_clients_total', 'eval/loss', 'eval/accuracy', 'eval/perplexity',
    'upload_bytes_total', 'download_bytes_total', 'dropped_updates', 'secure_sum', 'diverged_round', 'seconds', 'peak_rss_bytes',
    'dataset_hash', 'privacy',
  ]  # fmt: skip
  assert tuple(summary) == columns.names(columns.SUMMARY)
  assert declared_files.undeclared_keys(output_dir / 'config.json', columns.CONFIG) == set()
  assert declared_files.undeclared(output_dir, 'language_model') == []
  assert summary['rounds'] == 4
  assert set(summary['peak_rss_bytes']) == {'main', 'worker'}
  config = json.loads((output_dir / 'config.json').read_text())
  assert config['settings']['upload'] == 'uniform(bits=8)'
  assert config['dataset_hash'] == summary['dataset_hash']


def test_metrics_have_the_columns_and_bytes_by_hand(finished):
  rows = metrics.read(finished[0] / 'metrics.csv')
  assert tuple(rows[0]) == metrics.COLUMNS
  assert [row['round'] for row in rows] == [0, 1, 2, 3, 4]
  assert [row['round'] for row in rows if row['eval/perplexity'] is not None] == [0, 2, 4]
  assert rows[0]['upload_bytes'] is None and rows[0]['upload_bytes_total'] == 0
  # E = H = 8: kernels 2 x 8 x 24, bias 24, projection 64 + 8 make 480; the table and the output bias 9 for each piece.
  num_parameters = json.loads((finished[0] / 'summary.json').read_text())['num_parameters']
  assert (num_parameters - 480) % 9 == 0
  # A client uploads a byte a parameter, 8 bytes of range for each of 7 variables, 1 of presence bits and 4 of weight.
  assert rows[1]['upload_bytes_per_client_max'] == num_parameters + 56 + 1 + 4
  assert rows[1]['download_bytes'] == 5 * num_parameters * 4
  assert rows[4]['upload_bytes_total'] == sum(row['upload_bytes'] for row in rows[1:])


def test_heldout_clients_add_up_to_the_last_evaluation(finished):
  heldout_file.check(finished[0], examples=False)


def test_shows_progress_a_table_and_nothing_of_the_worker(finished):
  _, process = finished
  assert 'round 4/4' in process.stderr
  assert 'perplexity of a unigram model' in process.stdout
  for chatter in ('Starting new session', 'eligible GPUs', 'pkg_resources', 'cuda'):
    assert chatter not in process.stderr


def test_the_recorded_flags_repeat_the_run(finished, environment, tmp_path):
  again = tmp_path / 'again'
  flags = (finished[0] / 'run.flags').read_text().replace(str(finished[0]), str(again))
  (tmp_path / 'run.flags').write_text(flags)
  process = runs.finish(
    [sys.executable, '-m', 'experiments.language_model', f'--flagfile={tmp_path}/run.flags'], environment
  )
  assert process.returncode == 0, process.stderr
  assert runs.repeatable(again) == runs.repeatable(finished[0])


def test_a_finished_run_can_go_on_for_more_rounds(finished, text, environment, tmp_path):
  output_dir = tmp_path / 'longer'
  assert runs.finish(runs.command(text, output_dir, rounds=2), environment).returncode == 0
  assert runs.finish(runs.command(text, output_dir, rounds=4), environment).returncode == 0
  assert runs.repeatable(output_dir) == runs.repeatable(finished[0])


def test_clients_that_vanish_receive_and_do_not_send(finished, text, environment, tmp_path):
  output_dir = tmp_path / 'vanishing'
  dropout = 'bernoulli(rate=0.5)'
  process = runs.finish(runs.command(text, output_dir, rounds=3, client_dropout=dropout), environment)
  assert process.returncode == 0, process.stderr
  assert json.loads((output_dir / 'config.json').read_text())['settings']['client_dropout'] == dropout
  num_answers = []
  for row, undisturbed in zip(
    metrics.read(output_dir / 'metrics.csv')[1:], metrics.read(finished[0] / 'metrics.csv')[1:4], strict=True
  ):
    for column in ('num_clients', 'download_bytes'):
      assert row[column] == undisturbed[column]
    num_answers.append(round(5 * row['trained_fraction']))
    assert row['upload_bytes'] == num_answers[-1] * undisturbed['upload_bytes_per_client_max']
    assert row['upload_bytes_weights'] == 4 * num_answers[-1]
    assert row['dropped_updates'] == 0
  assert 0 < sum(num_answers) < 15


@pytest.mark.parametrize('runtime', runs.RUNTIMES)
def test_what_nobody_trains_is_counted_as_often_as_base_says(runtime, finished, text, environment, tmp_path):
  # All of 20 clients, and those of odd texts, take part in both rounds. They train the biases, and receive all else once.
  summary = json.loads((finished[0] / 'summary.json').read_text())
  num_clients, num_parameters = summary['num_clients_total'], summary['num_parameters']
  pieces = (num_parameters - 480) // 9
  trained, frozen = num_clients * 4 * (24 + 8 + pieces), num_clients * 4 * (num_parameters - 24 - 8 - pieces)
  flags = dict(trainable='bias', rounds=2, clients_per_round=0, runtime=runtime)
  for base, first, later, said in (
    ('once', (trained + frozen, frozen), (trained, 0), 'travel to each client once'),
    ('preinstalled', (trained, 0), (trained, 0), 'are with clients before the first round, and count as 0 bytes'),
    ('every_round', (trained + frozen, 0), (trained + frozen, 0), 'travel to each client of each round'),
  ):
    process = runs.finish(runs.command(text, tmp_path / base, base=base, **flags), environment)
    assert process.returncode == 0 and f'of weights (in float32) that nobody trains {said}' in process.stderr
    counted = [
      (row['download_bytes'], row['download_bytes_frozen']) for row in metrics.read(tmp_path / base / 'metrics.csv')[1:]
    ]
    assert counted == [first, later], base
  weights = [runs.weights(tmp_path / base) for base in ('once', 'preinstalled', 'every_round')]
  assert weights[0] == weights[1] == weights[2]


def test_zero_rounds_evaluate_the_initial_model(text, environment, tmp_path):
  process = runs.finish(runs.command(text, tmp_path / 'zero', rounds=0), environment)
  assert process.returncode == 0, process.stderr
  summary = json.loads((tmp_path / 'zero' / 'summary.json').read_text())
  assert summary['rounds'] == 0
  assert summary['upload_bytes_total'] == 0
  assert summary['eval/perplexity'] == pytest.approx(60, rel=0.5)  # A fresh model is near uniform over 60 pieces.
