"""The binary for learning in stages: what travels, that a kill changes nothing, and what it refuses."""

import json
import shutil
import signal
import sys

import numpy as np
import pytest

from experiments.results import columns
from experiments.results import metrics
from experiments.stages import stage_metrics
from models import checkpoint
from tests import binaries
from tests import declared_files
from tests import heldout_file
from tests import language_model_runs as runs

_BLOCK = 4 * (8 * 8 + 8) + 8 * 16 + 16 + 16 * 8 + 8 + 4 * 8  # 600 numbers: attention, MLP and two norms.
_EMBEDDING = 4 * 8 + 8
_HEAD = 2 * 8 + (8 * 6 + 6) + (6 * 4 + 4)


def _flags(output_dir, **changes):
  settings = dict(
    model='vit(width=8, mlp_width=16, num_layers=2, num_heads=2, patch_size=2)',
    objective='simclr(width=6, outputs=4)',
    dataset='digits(max_examples=60, classes=[0, 1, 2])',
    partition='iid(clients=3)',
    clients_per_round=2,
    batch_size=20,
    local_epochs=1,
    rounds=4,
    rounds_per_checkpoint=1,
    probe_examples=30,
    finetune_steps=2,
    output_dir=output_dir,
  )
  return [f'--{name}={value}' for name, value in (settings | changes).items()]


def _repeatable(folder):
  return [
    {name: value for name, value in row.items() if name not in runs.NOT_REPEATABLE}
    for row in metrics.read(folder / 'metrics.csv')
  ]


def test_counts_what_travels_and_goes_on_after_a_kill(tmp_path, environment):
  done = binaries.run('experiments.layerwise_ssl', _flags(tmp_path / 'run'), environment)
  assert done.returncode == 0, done.stderr
  assert 'stage 2 of 2: trains blocks 2 to 2, on 1 frozen' in done.stdout
  rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
  assert tuple(rows[0]) == stage_metrics.COLUMNS
  assert [row['stage'] for row in rows] == [1, 1, 1, 2, 2]
  # Down: embedding, block and head in the first stage, then block and head; up the same, with a bitmap of 2 + 16 + 2 + 4
  # and of 18 more variables, of whole bytes, and the weight.
  assert [row['download_bytes'] - row['download_bytes_frozen'] for row in rows[1:]] == [
    *[2 * 4 * (_EMBEDDING + _BLOCK + _HEAD)] * 2,
    *[2 * 4 * (_BLOCK + _HEAD)] * 2,
  ]
  assert [row['upload_bytes'] for row in rows[1:]] == [
    *[2 * (4 * (_EMBEDDING + _BLOCK + _HEAD) + 3 + 4)] * 2,
    *[2 * (4 * (_BLOCK + _HEAD) + 5 + 4)] * 2,
  ]
  # Each of the clients that the second stage sees receives embedding and first block once.
  frozen = 4 * (_EMBEDDING + _BLOCK)
  assert rows[3]['download_bytes_frozen'] == 2 * frozen and rows[4]['download_bytes_frozen'] in (0, frozen, 2 * frozen)
  first, last = (checkpoint.load(tmp_path / 'run' / f'stage_{number:02}').weights for number in (1, 2))
  for name, value in first.items():
    kept = not name.startswith('head/')
    assert (value == last[name]).all() == kept, name
  summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  assert declared_files.undeclared_keys(tmp_path / 'run' / 'summary.json', columns.SUMMARY, columns.PROBES) == set()
  assert declared_files.undeclared(tmp_path / 'run', 'layerwise_ssl') == []
  for folder in (tmp_path / 'run', tmp_path / 'run' / 'stage_01'):
    assert declared_files.undeclared_keys(folder / 'config.json', columns.CONFIG) == set()
  heldout_file.check_probe(tmp_path / 'run')
  assert not (tmp_path / 'run' / 'stage_02' / 'heldout.csv').exists()  # Its loss compares examples.
  assert summary['rounds'] == 4 and summary['download_bytes_total'] == rows[-1]['download_bytes_total']
  assert 0 <= summary['probe/accuracy_random'] <= 1 and f'  {summary["probe/accuracy"]:.3f}\n' in done.stdout
  assert 0 <= summary['finetune/accuracy_random'] <= 1 and f'  {summary["finetune/accuracy"]:.3f}\n' in done.stdout
  finetuned = json.loads((tmp_path / 'run' / 'finetuned' / 'summary.json').read_text())
  assert set(finetuned) <= set(columns.names(columns.PRETRAINING_SUMMARY))
  assert (finetuned['steps'], finetuned['num_training_examples']) == (2, 30)
  assert (tmp_path / 'run' / 'stages.png').read_bytes()[:8] == b'\x89PNG\r\n\x1a\n'

  more = binaries.run('experiments.layerwise_ssl', _flags(tmp_path / 'run', rounds=6), environment)
  assert more.returncode == 2 and 'holds a run with rounds_of_all_stages=4, not 6' in more.stderr

  # What a training leaves that was killed between its stages; it is killed again in the second.
  shutil.copytree(tmp_path / 'run' / 'stage_01', tmp_path / 'killed' / 'stage_01')
  for name in ('config.json', 'run.flags'):
    shutil.copy(tmp_path / 'run' / name, tmp_path / 'killed')
  command = [sys.executable, '-m', 'experiments.layerwise_ssl', *_flags(tmp_path / 'killed')]
  with runs.running(command, environment) as process:
    assert runs.wait_for(lambda: runs.num_rounds(tmp_path / 'killed' / 'stage_02') >= 1, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
  again = binaries.run('experiments.layerwise_ssl', _flags(tmp_path / 'killed'), environment)
  assert again.returncode == 0, again.stderr
  assert _repeatable(tmp_path / 'killed') == _repeatable(tmp_path / 'run')
  for folder in ('stage_02', 'finetuned', 'finetuned_random'):
    assert runs.weights(tmp_path / 'killed' / folder) == runs.weights(tmp_path / 'run' / folder), folder


def test_a_residual_network_grows_and_is_probed(tmp_path, environment):
  model = 'resnet(width=4, num_layers=2, blocks_per_group=1, norm_groups=2)'
  done = binaries.run('experiments.layerwise_ssl', _flags(tmp_path / 'run', model=model, rounds=2), environment)
  assert done.returncode == 0, done.stderr
  first, last = (checkpoint.load(tmp_path / 'run' / f'stage_{number:02}') for number in (1, 2))
  assert last.description.model == model
  assert first.description.model == model.replace('num_layers=2', 'num_layers=1')
  shapes = [loaded.weights['head/norm_scale'].shape for loaded in (first, last)]
  assert shapes == [(4,), (8,)]
  for name, value in first.weights.items():
    if not name.startswith('head/'):
      np.testing.assert_array_equal(value, last.weights[name], name)
  # The head of the second stage has 2 * 8, 8 * 6 + 6 and 6 * 4 + 4 numbers, its block 9 * 32 + 16 + 9 * 64 + 16; a bit for
  # each of 3 + 6 + 6 + 2 + 4 variables, and the weight.
  rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
  assert rows[-1]['upload_bytes'] == 2 * (4 * (896 + 98) + 3 + 4)
  assert 0 <= json.loads((tmp_path / 'run' / 'summary.json').read_text())['probe/accuracy'] <= 1


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(stages='layerwise(layers_per_stage=3)'), 'layers_per_stage=3 must divide the 2 blocks of the encoder'),
    (dict(stages='pyramid'), "unknown stages 'pyramid'; choose one of layerwise, progressive, end_to_end"),
    (dict(objective='simclr(temperature=0)'), 'temperature must be a positive number, not 0'),
    (dict(objective='byol(momentum=1)'), 'momentum must lie in [0, 1), not 1'),
    (dict(download='select(blocks=1)'), '--download=select(...) does not apply'),
    (dict(trainable='bias'), '--trainable=bias does not apply: --stages says what clients train'),
    (dict(partition='natural'), 'iid(clients='),
    (dict(rounds=3), '--rounds=3 must be a multiple of the 2 stages'),
    (dict(probe_examples=2), '--probe_examples=2 must be 0, for all, or from 3, the number of classes, to 60, that of'),
    (dict(probe_examples=61), '--probe_examples=61 must be'),
    (dict(finetune_steps=-1), 'flag --finetune_steps=-1'),
    (dict(clients_per_round=4), 'clients_per_round=4, but only 3 clients train'),
    (dict(dataset='digits(classes=[3])'), 'examples of two classes at least'),
    (
      dict(model='resnet(width=4, num_layers=2, blocks_per_group=1)', stages='layerwise(head="shared")'),
      'head/norm_scale has shape [4] in stage 1, but [8] in stage 2, so the stages cannot share a head: write head="per_stage"',
    ),
    (dict(model='vit(num_layers=2, patch_size=3)'), 'patch_size=3 must divide images of 8 x 8 pixels'),
  ],
)
def test_what_cannot_be_is_refused_in_one_line(changes, message, tmp_path, environment):
  process = binaries.run('experiments.layerwise_ssl', _flags(tmp_path / 'run', **changes), environment)
  assert process.returncode == 2, process.stderr
  last = process.stderr.strip().rpartition('\n')[2]
  assert last.startswith('error: ') and message in last
  assert not (tmp_path / 'run').exists()
