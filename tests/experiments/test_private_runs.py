"""Private runs from the outside: what their ledger says, how a budget ends them, and what must not change."""

import json

import pytest

from compression.privacy import accounting
from compression.privacy import kinds
from compression.privacy import plans
from experiments.results import metrics
from tests import language_model_runs as runs

_COINS = 'gaussian(clip=0.1, noise_multiplier=1.0, delta=1e-5)'


def _run(text, environment, output_dir, **flags):
  given = dict(privacy=_COINS, client_weighting='uniform', runtime='in_process') | flags
  return runs.finish(runs.command(text, output_dir, **given), environment)


@pytest.fixture(scope='module')
def finished(text, environment, tmp_path_factory):
  """A run of four rounds, whose budget lasts for three."""
  output_dir = tmp_path_factory.mktemp('private') / 'run'
  num_clients = 19
  budget = accounting.poisson(1.0, 5 / num_clients, 3, 1e-5) + 1e-6
  process = _run(text, environment, output_dir, epsilon_budget=budget)
  assert process.returncode == 0, process.stderr
  return output_dir, process


def test_the_ledger_says_what_rounds_come_to(finished):
  output_dir, process = finished
  rows, summary = metrics.read(output_dir / 'metrics.csv'), json.loads((output_dir / 'summary.json').read_text())
  num_clients = summary['num_clients_total']
  assert rows[0]['epsilon'] is None
  assert [row['epsilon'] for row in rows[1:]] == [
    accounting.poisson(1.0, 5 / num_clients, number, 1e-5) for number in (1, 2, 3)
  ]
  for row in rows[1:]:
    assert row['clip'] == pytest.approx(0.1)
    assert row['noise_stddev'] == pytest.approx(0.1 / 5, rel=0.2)
    assert 0.0 <= row['clipped_fraction'] <= 1.0
  told = summary['privacy']
  assert told['epsilon'] == rows[-1]['epsilon']
  assert (told['delta'], told['neighbours'], told['clients_per_round']) == (1e-5, 'one client more or less', 5)
  assert f'private: epsilon {told["epsilon"]:.3g} at delta 1e-05 after round 3' in process.stderr
  assert 'epsilon' in process.stdout


def test_a_budget_ends_the_run_before_it_is_passed(finished):
  output_dir, process = finished
  assert json.loads((output_dir / 'summary.json').read_text())['rounds'] == 3
  assert 'ends the run after 3 of 4 rounds' in process.stderr
  assert metrics.read(output_dir / 'metrics.csv')[-1]['eval/perplexity'] is not None


def test_a_larger_budget_goes_on(finished, text, environment):
  output_dir, _ = finished
  before = metrics.read(output_dir / 'metrics.csv')
  process = _run(text, environment, output_dir, epsilon_budget=100.0)
  assert process.returncode == 0, process.stderr
  rows = metrics.read(output_dir / 'metrics.csv')
  assert [row['round'] for row in rows] == [0, 1, 2, 3, 4]
  assert rows[1:4] == before[1:4]


@pytest.mark.parametrize(
  'privacy',
  ['none', 'gaussian(clip=0.1, noise_multiplier=2.0, delta=1e-5)', 'blt(clip=0.1, noise_multiplier=1.0, delta=1e-5)'],
)
def test_another_privacy_is_refused(privacy, finished, text, environment):
  output_dir, _ = finished
  process = _run(text, environment, output_dir, privacy=privacy)
  assert process.returncode == 2
  assert 'choose a new --output_dir' in process.stderr


def test_noise_that_was_made_for_fewer_rounds_is_refused(text, environment, tmp_path):
  output_dir, privacy = tmp_path / 'run', 'tree(clip=0.1, noise_multiplier=3.0, delta=1e-5)'
  process = _run(text, environment, output_dir, privacy=privacy, rounds=2)
  assert process.returncode == 0, process.stderr
  plan = kinds.Tree(0.1, noise_multiplier=3.0, delta=1e-5).planned(plans.Cohort(19, 5, 2))
  assert metrics.read(output_dir / 'metrics.csv')[-1]['epsilon'] == plan.epsilon_after(2)
  process = _run(text, environment, output_dir, privacy=privacy, rounds=9)
  assert process.returncode == 2
  assert 'privacy_plan' in process.stderr
