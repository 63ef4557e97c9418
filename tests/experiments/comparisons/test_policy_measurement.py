"""One local round of each policy from a run's model: bytes as those of runs, gains of the loss that judges, reasons where not."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest

from experiments.command import failures
from experiments.command import spec
from experiments.comparisons import policy_measurement
from experiments.comparisons import policy_round
from experiments.comparisons import policy_updates
from experiments.comparisons import trained_run
from optimizers import catalog
from tests import binaries
from tests import language_model_runs

_PLUGIN = '''
from optimizers import trainable

class Body(trainable.Policy):
  """Trains the blocks between the embedding and the head."""

  def choose(self, model, seeds):
    """Returns which variables are in those blocks."""
    return [variable.block not in ('embedding', 'head') for variable in model.variables]

POLICIES = {'body': Body}
'''


@pytest.fixture(name='folder', scope='module')
def _folder(tmp_path_factory):
  """Leaves a run of an LSTM of one block, of width 8, over 41 sub-words."""
  root = tmp_path_factory.mktemp('policies')
  (root / 'text').mkdir()
  command = language_model_runs.command(language_model_runs.write_text(root / 'text'), root / 'run', rounds=2)
  done = language_model_runs.finish(command, language_model_runs.environment(root / 'cache'))
  assert done.returncode == 0, done.stderr
  return root / 'run'


@pytest.fixture(name='run')
def _run(folder, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', str(folder.parent / 'cache'))
  return trained_run.read(folder)


def _update(run, policy, **settings):
  run = dataclasses.replace(run, settings=dict(run.settings) | settings)
  (update,) = policy_round.PolicyRound(run, policy).updates(run.clients(1), policy_round.judged_examples(run))
  return update


def test_all_measures_what_the_run_did(run, folder):
  with (folder / 'metrics.csv').open() as file:
    row = list(csv.DictReader(file))[-1]
  update = _update(run, 'all')
  assert update.upload_bytes == int(row['upload_bytes_per_client_max'])
  assert update.download_bytes == int(row['download_bytes']) / int(row['num_clients'])
  assert update.trained_parameters == run.base.num_parameters and update.trained_fraction == 1.0
  assert update.loss_before == pytest.approx(float(row['eval/loss']), rel=1e-6)
  assert update.loss(1.0) < update.loss_before - 0.01 and update.note == ''


def test_bytes_are_those_of_the_payload(run):
  # The head of 41 biases in full precision: 41 values of 4 bytes, a bit for each of 7 variables, a weight of 4 bytes.
  head = _update(run, 'head', upload='identity')
  assert len(run.base.variables) <= 8
  assert (head.trained_parameters, head.upload_bytes) == (41, 41 * 4 + 1 + 4)
  assert head.download_bytes == 4 * run.base.num_parameters
  assert _update(run, 'head', download='float16').download_bytes == 2 * run.base.num_parameters
  assert _update(run, 'head', base='every_round').download_bytes == head.download_bytes  # One round is the first one.
  assert _update(run, 'head', base='preinstalled').download_bytes == 41 * 4


def test_the_gain_is_that_of_what_the_codec_leaves_of_the_update(run):
  exact = _update(run, 'all', upload='identity')
  rounded = _update(run, 'all', upload='uniform(bits=16)')
  coarse = _update(run, 'all', upload='topk(fraction=0.001)')  # One value of each variable.
  assert exact.loss_before == coarse.loss_before
  assert rounded.loss(1.0) == pytest.approx(exact.loss(1.0), abs=1e-4)
  assert exact.loss(1.0) + 0.01 < coarse.loss(1.0) < coarse.loss_before


def test_sub_models_and_frozen_variables_have_bytes_and_a_reason_in_place_of_a_gain(run):
  width = _update(run, 'width(fraction=0.5)', upload='identity')
  assert width.losses == [] and 'clients hold sub-models' in width.note
  # Half of the neurons, everything that is not of neurons whole.
  neurons = [bool(each.units) and each.units.axis == 'neurons' for each in run.base.variables]
  parts = [each.size / (2 if half else 1) for each, half in zip(run.base.variables, neurons, strict=True)]
  assert width.download_bytes == 4 * sum(parts) and width.upload_bytes == width.download_bytes + 1 + 4
  frozen = _update(run, 'frozen(fraction=0.5)')
  assert frozen.losses == [] and 'from the seed, where the run has trained it' in frozen.note
  assert frozen.download_bytes == 4 * frozen.trained_parameters


def test_frozen_variables_that_the_run_froze_too_are_no_reason(run):
  initial = run.base.initial_weights(run.settings['seed'])
  weights = {variable.name: value.numpy() for variable, value in zip(run.base.variables, initial, strict=True)}
  untrained = dataclasses.replace(run, trained=dataclasses.replace(run.trained, weights=weights))
  update = _update(untrained, 'frozen(fraction=0.5)')
  assert update.note == '' and update.loss(1.0) < update.loss_before


def test_policies_that_do_not_fit_get_a_reason_and_the_others_their_rows(run):
  misfit, fitting = policy_measurement.measure(run, policy_measurement.listed('suffix(blocks=3); bias'))
  assert misfit == policy_updates.MeasuredPolicy('suffix(blocks=3)', [], 'blocks=3, but the model has 1: lower it')
  assert len(fitting.updates) == 4 and len({update.client_id for update in fitting.updates}) == 4
  first, last = policy_updates.table([misfit, fitting]).splitlines()[2:]
  assert first.startswith('| `bias` | 73 |')  # 32 of the gates, 41 of the sub-words.
  assert last == '| `suffix(blocks=3)` |  |  |  |  |  |  |  |  | blocks=3, but the model has 1: lower it |'


def test_a_run_with_additions_is_no_start_for_a_policy_without(run):
  weights = dict(run.trained.weights) | {'block_0/input_kernel_lora_a': np.zeros([8, 2], np.float32)}
  extended = dataclasses.replace(run, trained=dataclasses.replace(run.trained, weights=weights))
  with pytest.raises(policy_round.PolicyMisfitError, match='has not, such as block_0/input_kernel_lora_a'):
    policy_round.PolicyRound(extended, 'all')


def test_clients_that_choose_what_they_receive_are_refused(run):
  selecting = dataclasses.replace(run, settings=dict(run.settings) | {'download': 'select(vocabulary=20)'})
  with pytest.raises(failures.UsageError, match='whose clients hold sub-models: name a run without it'):
    policy_measurement.measure(selecting, policy_measurement.listed('all'))


def test_an_update_of_half_the_length_goes_half_the_way(run):
  update, length = _update(run, 'all', upload='identity'), policy_updates.LENGTHS
  # Near the model the loss falls by the slope: 1/32 of the way gains about half of what 1/16 does.
  gains = [update.loss_before - update.loss(each) for each in length]
  assert length[:2] == (1 / 32, 1 / 16) and gains[0] == pytest.approx(gains[1] / 2, rel=0.05)


def test_table_of_gains():
  # Losses after 1/32, 1/16, 1/8, 1/4, 1/2, 1, 2 and 4 times the update, from 3.0.
  one = policy_updates.PolicyUpdate(
    'c', 9, 100, 0.25, 1_500, 4_000_000, 3.0, [3, 3, 3, 2.75, 2.25, 2.5, 2, float('nan')]
  )
  other = one._replace(upload_bytes=2_500, losses=[3, 3, 3, 2.75, 2.75, 3.25, 5, 9])
  measured = [
    policy_updates.MeasuredPolicy('a', [one, other]),
    policy_updates.MeasuredPolicy('b', [one._replace(upload_bytes=7, losses=[], note='why')] * 2),
  ]
  # As it is 0.5 and -0.25, 0.125 in the mean; of half the length 0.75 and 0.25, 0.5 in the mean, more than of any other.
  assert policy_updates.table(measured).splitlines()[2:] == [
    '| `b` | 100 | 0.250 | 0.00000700 | 4.0 |  |  |  |  | why |',
    '| `a` | 100 | 0.250 | 0.00200 | 4.0 | +0.1250 | +0.5000 | +0.2500 to +0.7500 | 0.5 |  |',
  ]
  first, second, third, _ = policy_updates.observed(measured, 'runs/x', {'seed': 0, 'model': 'm', 'download': 'd'})
  assert [row['loss_after'] for row in (first, second)] == [2.5, 3.25]
  assert [row['loss_at_best_length'] for row in (first, second)] == [2.25, 2.75] and first['best_length'] == 0.5
  assert third['note'] == 'why' and 'loss_after' not in third


def test_listed_policies_stand_for_themselves_and_suite_for_those_of_the_suite():
  assert list(policy_measurement.listed('all; bias;')) == ['all', 'bias']
  assert list(policy_measurement.listed('lora(rank=4); suite; bias')) == ['lora(rank=4)', *policy_measurement.POLICIES]
  for text, message in ((' ; ', 'names none'), ('all; hed', "unknown trainable 'hed'"), ('bias(a=1)', 'no argument')):
    with pytest.raises(spec.SpecError, match=message):
      policy_measurement.listed(text)


def test_the_suite_has_every_kind_of_policy():
  names = {spec.parse(text)[0].name for text in policy_measurement.POLICIES}
  assert names == set(catalog.POLICIES) and policy_measurement.SUITE not in catalog.POLICIES


def _compare(folder, output_dir, *arguments):
  return binaries.run(
    'experiments.compare',
    ['--what=policies', f'--output_dir={output_dir}', *arguments],
    language_model_runs.environment(folder.parent / 'cache'),
  )


def test_the_binary_measures_a_policy_of_a_plug_in_beside_runs(folder, tmp_path):
  (tmp_path / 'body.py').write_text(_PLUGIN)
  shutil.copytree(folder, tmp_path / 'runs' / 'a')
  process = _compare(
    folder, tmp_path / 'out', f'--run={folder}', f'--runs={tmp_path}/runs', f'--plugin={tmp_path}/body.py',
    '--policies=body; suffix(blocks=3)', f'--csv={tmp_path}/x.csv',
  )  # fmt: skip
  assert process.returncode == 0, process.stderr
  text = (tmp_path / 'out' / 'policies.md').read_text()
  assert '| `body` | 480 |' in text  # 849 without 41 x 8 of the embedding and 41 of the head.
  assert 'blocks=3, but the model has 1: lower it' in text
  assert 'All use the learning rate of the run, which was chosen for --trainable=all' in ' '.join(
    process.stdout.split()
  )
  assert int.from_bytes((tmp_path / 'out' / 'policies.png').read_bytes()[16:20], 'big') == 16 * 120  # Two panels.
  with (tmp_path / 'x.csv').open(newline='') as file:
    rows = list(csv.DictReader(file))
  assert [(row['observed'], row['trainable']) for row in rows] == [
    *[('update', 'body')] * 4, ('update', 'suffix(blocks=3)'), ('run', 'all'),
  ]  # fmt: skip
  summary = json.loads((folder / 'summary.json').read_text())
  assert float(rows[0]['loss_before']) == pytest.approx(summary['eval/loss'], rel=1e-6)
  assert rows[0]['upload_bytes'].isdigit() and rows[4]['note'] and float(rows[5]['loss']) == summary['eval/loss']


@pytest.mark.parametrize(
  ('arguments', 'expected'),
  [
    (['--run=nothing'], 'nothing holds no finished run'),
    (['--run=nothing', '--policies=hed'], "unknown trainable 'hed'"),
    (['--runs=nothing', '--policies=all'], '--policies are for the clients of --run'),
    (['--runs=nothing', '--codecs=all'], '--codecs are for --what=codecs, and this is --what=policies'),
  ],
)
def test_the_binary_refuses_in_one_line(arguments, expected, folder, tmp_path):
  process = _compare(folder, tmp_path / 'out', *arguments)
  assert process.returncode == 2 and expected in process.stderr
  assert len(process.stderr.splitlines()) == 1, process.stderr
