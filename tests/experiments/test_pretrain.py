"""Central training learns, goes on after a kill as if nothing had happened, and refuses what it cannot use."""

import csv
import math
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from data import partitions
from data import prepare
from data.sources import text
from experiments.central import step
from experiments.central import text_examples
from experiments.central import training
from experiments.command import failures
from experiments.results import columns
from experiments.results import metrics
from models import checkpoint
from models import language_task
from models import lstm
from tests import binaries
from tests import declared_files

_ROOT = pathlib.Path(__file__).parents[2]
_DESCRIPTION = checkpoint.Description('lstm(width=8, num_cells=8)', 20, 6, b'a tokenizer')


def _tokens(seed: int, num_examples: int) -> np.ndarray:
  """Begin, then numbers that count up from a random one: what follows is known, but for the first."""
  first = np.random.default_rng(seed).integers(4, 14, [num_examples, 1])
  return np.concatenate([np.ones_like(first), first + np.arange(6)], axis=1).astype(np.int32)


_EXAMPLES = training.Examples(dict(tokens=_tokens(0, 37)), dict(tokens=_tokens(1, 10)))


def _train(folder: pathlib.Path, examples=_EXAMPLES, **changes) -> dict:
  task = language_task.build(lstm.lstm(width=8, num_cells=8)(20), 6)
  settings = dict(steps=12, batch_size=8, learning_rate=0.02, warmup_steps=3, steps_per_eval=4, steps_per_checkpoint=3)
  settings |= changes
  config = training.CentralConfig(output_dir=folder, settings=settings, **settings)
  return training.train(task, examples, _DESCRIPTION, config)


def _rows(folder: pathlib.Path) -> list[dict[str, str]]:
  with (folder / 'metrics.csv').open(newline='') as file:
    return [{name: cell for name, cell in row.items() if name != 'seconds'} for row in csv.DictReader(file)]


def _assert_same(folder: pathlib.Path, other: pathlib.Path) -> None:
  """Bit by bit, but for the time it took."""
  assert _rows(folder) == _rows(other)
  assert checkpoint.load(folder).content_hash == checkpoint.load(other).content_hash


@pytest.fixture(scope='module')
def undisturbed(tmp_path_factory) -> pathlib.Path:
  folder = tmp_path_factory.mktemp('training') / 'undisturbed'
  _train(folder)
  return folder


def test_learns_and_leaves_a_model(tmp_path):
  summary = _train(tmp_path / 'long', steps=150, steps_per_eval=50, steps_per_checkpoint=150)
  rows = metrics.read(tmp_path / 'long' / 'metrics.csv')
  assert tuple(rows[0]) == training.COLUMNS
  assert [row['step'] for row in rows] == [0, 50, 100, 150]
  assert rows[0]['eval/perplexity'] == pytest.approx(20, rel=0.2)  # A fresh model is near uniform over 20 pieces.
  assert rows[0]['train/loss'] is None
  # Who counts without a mistake pays for the first of six numbers only, one of ten: 10 ** (1 / 6) is 1.47.
  assert 1.45 < summary['eval/perplexity'] < 2.5
  assert summary['eval/perplexity'] == rows[-1]['eval/perplexity'] == math.exp(rows[-1]['eval/loss'])
  assert declared_files.undeclared_keys(tmp_path / 'long' / 'summary.json', columns.PRETRAINING_SUMMARY) == set()
  assert declared_files.undeclared(tmp_path / 'long', 'pretrain') == []
  loaded = checkpoint.load(tmp_path / 'long')
  assert loaded.description == _DESCRIPTION and loaded.steps == 150
  assert sum(value.size for value in loaded.weights.values()) == summary['num_parameters']


def test_no_steps_evaluate_the_initial_model(tmp_path):
  summary = _train(tmp_path / 'none', steps=0)
  assert summary['steps'] == 0 and summary['steps_per_second'] is None
  assert summary['eval/perplexity'] == pytest.approx(20, rel=0.2)


@pytest.mark.parametrize('step', [2, 8, 11])
def test_goes_on_from_any_step(step, undisturbed, tmp_path, monkeypatch):
  advance = training._Training._advance

  def interrupted(self):
    if self._state.step == step:
      raise KeyboardInterrupt
    return advance(self)

  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(training._Training, '_advance', interrupted)
    _train(tmp_path / 'run')
  assert checkpoint.load(tmp_path / 'run').steps == step - step % 3
  _train(tmp_path / 'run')
  _assert_same(tmp_path / 'run', undisturbed)


def test_goes_on_when_stopped_between_the_model_and_the_checkpoint(undisturbed, tmp_path, monkeypatch):
  save_arrays = checkpoint.save_arrays

  def interrupted(path, arrays, metadata):
    if path.name == 'training.safetensors' and checkpoint.load(path.parent).steps == 6:
      raise KeyboardInterrupt
    save_arrays(path, arrays, metadata)

  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(checkpoint, 'save_arrays', interrupted)
    _train(tmp_path / 'run')
  _train(tmp_path / 'run')
  _assert_same(tmp_path / 'run', undisturbed)


def test_a_finished_training_stays_as_it_is(undisturbed, tmp_path):
  before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
  _train(undisturbed)
  assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


@pytest.mark.parametrize('changes', [{'steps': 13}, {'learning_rate': 0.1}, {'seed': 1}])
def test_other_settings_are_refused_in_the_same_folder(changes, undisturbed):
  before = (undisturbed / 'training.safetensors').read_bytes()
  with pytest.raises(failures.UsageError, match=f'holds a run with {next(iter(changes))}='):
    _train(undisturbed, **changes)
  assert (undisturbed / 'training.safetensors').read_bytes() == before


def test_other_examples_are_refused_in_the_same_folder(undisturbed):
  with pytest.raises(failures.UsageError, match='holds a run with dataset_hash='):
    _train(undisturbed, examples=_EXAMPLES._replace(training=dict(tokens=_tokens(2, 37))))


def test_a_truncated_checkpoint_is_refused(tmp_path):
  _train(tmp_path / 'run', steps=0)
  path = tmp_path / 'run' / 'training.safetensors'
  path.write_bytes(path.read_bytes()[:-9])
  with pytest.raises(
    failures.UsageError, match=r'training.safetensors.* is truncated .*, or choose a new --output_dir'
  ):
    _train(tmp_path / 'run', steps=0)


def test_a_training_that_diverges_says_so(tmp_path):
  with pytest.raises(failures.UsageError, match=r'not finite at step \d+: .* lower --learning_rate'):
    _train(tmp_path / 'run', learning_rate=1e30, clip_norm=1e30)


@pytest.mark.parametrize('changes', [{'learning_rate': 0.0}, {'learning_rate': math.nan}, {'clip_norm': -1.0}])
def test_rates_out_of_range_are_refused(changes, tmp_path):
  with pytest.raises(failures.UsageError, match='must be a positive number'):
    _train(tmp_path / 'run', **changes)
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize(('num_examples', 'batch_size'), [(7, 3), (3, 7), (4, 4), (5, 1)])
def test_every_epoch_has_every_example_once(num_examples, batch_size):
  steps = [training.batch_indices(num_examples, batch_size, 5, step) for step in range(num_examples * 2)]
  assert all(len(step) == batch_size for step in steps)
  epochs = np.concatenate(steps).reshape([-1, num_examples])
  assert all(sorted(epoch) == list(range(num_examples)) for epoch in epochs)
  assert num_examples < 5 or len({tuple(epoch) for epoch in epochs}) > 1


def test_the_learning_rate_warms_up_and_falls_to_zero():
  config = training.CentralConfig(pathlib.Path('unused'), steps=4, learning_rate=0.1, warmup_steps=2)
  optimizer = step.build_optimizer(config)
  weight, moves = (tf.constant(0.0),), []
  state = optimizer.initialize((tf.TensorSpec([]),))
  for _ in range(4):
    state, moved = optimizer.next(state, weight, (tf.constant(1.0),))
    moves.append(float(weight[0] - moved[0]))
    weight = moved
  # Adam moves by its rate where the gradient stays the same; cos(pi / 3) is 0.5. A fifth step would not move.
  np.testing.assert_allclose(moves, [0.05, 0.1, 0.075, 0.025], atol=1e-6)


def _folder_of_text(folder: pathlib.Path) -> str:
  for client in 'abcdefgh':
    (folder / client).mkdir(parents=True)
    (folder / client / 'x.txt').write_text('A cat sat on a mat. A dog ran to the cat.')
  return str(folder)


def test_learns_from_a_corpus_in_the_tokens_of_the_data_set(tmp_path, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', str(tmp_path / 'cache'))
  path = _folder_of_text(tmp_path / 'text')
  federated = prepare.prepare(text.text(path=path, vocabulary=40, sequence_length=30), partitions.natural())
  with pytest.raises(failures.UsageError, match="no text for pre-training: name some, as --corpus='text"):
    text_examples.examples(federated, None, 0)
  found = text_examples.examples(federated, text.text(path=path, sequence_length=5), 0)
  # Eight clients of two sentences; one is held out.
  assert found.training['tokens'].shape == (14, 31) and found.evaluation['tokens'].shape == (2, 31)
  assert federated.tokenizer.decode(found.training['tokens'][:2]) == ['A cat sat on a mat.', 'A dog ran to the cat.']


def test_the_binary_goes_on_after_a_kill(tmp_path):
  path = _folder_of_text(tmp_path / 'text')
  folder, environment = tmp_path / 'run', os.environ | {'LEANFED_CACHE': str(tmp_path / 'cache')}
  flags = dict(dataset=f'text(path={path!r}, vocabulary=40, sequence_length=12)', corpus=f'text(path={path!r})')
  flags |= dict(model='lstm(width=8, num_cells=8)', output_dir=folder, steps=40, batch_size=4)
  flags |= dict(steps_per_eval=10, steps_per_checkpoint=10)
  command = [sys.executable, '-m', 'experiments.pretrain', *(f'--{name}={value}' for name, value in flags.items())]
  killed = subprocess.Popen(command, cwd=_ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  deadline = time.monotonic() + 120
  while time.monotonic() < deadline and not (folder / 'training.safetensors').exists():
    time.sleep(0.01)
  killed.send_signal(signal.SIGKILL)
  killed.wait()
  finished = binaries.run('experiments.pretrain', command[3:], environment)
  assert finished.returncode == 0, finished.stderr
  assert 'step 40/40' in finished.stderr and 'steps of 4 examples a second' in finished.stdout
  assert [row['step'] for row in _rows(folder)] == ['0', '10', '20', '30', '40']
  assert f'--model={flags["model"]}' in (folder / 'run.flags').read_text().splitlines()
