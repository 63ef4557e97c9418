"""A model travels: from central training into a federated run, out of it, and onto any text; or is refused in one line."""

import csv
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_federated as tff

from data import partitions
from data import population as population_lib
from data import prepare
from data.sources import text as text_lib
from experiments import language_model
from experiments.central import text_evaluation
from experiments.central import text_examples
from experiments.central import training
from experiments.command import device_specs
from experiments.command import failures
from experiments.command import launch
from experiments.federated import run
from experiments.results import columns
from experiments.starts import exporting
from experiments.starts import pretrained
from models import checkpoint
from models import language_task
from optimizers import algorithms
from optimizers import catalog as optimizers_catalog
from optimizers import local_batches
from optimizers import selection as selection_lib
from tests import binaries
from tests import declared_files

_ROOT = pathlib.Path(__file__).parents[2]
_MODEL = 'transformer(width=8, mlp_width=16, num_layers=1, num_heads=2)'
_LORA = 'lora(rank=2)'


@pytest.fixture(scope='module', autouse=True)
def _cache(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patched:
    patched.setenv('LEANFED_CACHE', str(tmp_path_factory.mktemp('cache')))
    yield


def _write_text(folder: pathlib.Path, noun: str) -> str:
  for client in range(20):
    (folder / str(client)).mkdir(parents=True)
    lines = [f'The {noun} number {client} sat on mat {n % 7} and looked at bird {n % 5}.' for n in range(6)]
    (folder / str(client) / 'a.txt').write_text('\n'.join(lines))
  return str(folder)


@pytest.fixture(scope='module')
def source(tmp_path_factory):
  path = _write_text(tmp_path_factory.mktemp('text') / 'cats', 'cat')
  return text_lib.text(path=path, vocabulary=60, sequence_length=16)


@pytest.fixture(scope='module')
def text(source):
  return prepare.prepare(source, partitions.natural())


def _build(model: str, vocabulary_size: int):
  return pretrained.build_model(checkpoint.Description(model, vocabulary_size, 16, b''))


@pytest.fixture(scope='module')
def trained(source, text, tmp_path_factory) -> pathlib.Path:
  """The folder of a central training of a few steps."""
  folder = tmp_path_factory.mktemp('models') / 'trained'
  description = checkpoint.Description(_MODEL, text.vocabulary_size, text.sequence_length, text.tokenizer.model)
  task = language_task.build(_build(_MODEL, text.vocabulary_size), text.sequence_length)
  config = training.CentralConfig(folder, steps=30, learning_rate=0.02, warmup_steps=2)
  training.train(task, text_examples.examples(text, source, 0), description, config)
  return folder


def _federated(text, trained: pathlib.Path, folder: pathlib.Path) -> dict:
  """Runs a round that starts from the trained model and trains low-rank additions to it."""
  base = _build(_MODEL, text.vocabulary_size)
  devices = device_specs.build(_LORA)
  adapted = devices.adapt(base)
  task = language_task.build(adapted, text.sequence_length)
  batches = local_batches.LocalBatches(batch_size=4)
  process = optimizers_catalog.ALGORITHMS['fed_avg']()(task, algorithms.Communication(), batches, 0, devices)
  population = population_lib.Population.of(text)
  start = pretrained.start(pretrained.load(trained), base, adapted, frozenset())
  description = checkpoint.Description(
    _MODEL, text.vocabulary_size, text.sequence_length, text.tokenizer.model, trainable=_LORA
  )
  config = run.Config(folder, rounds=1, clients_per_round=3, eval_clients=0)
  return run.run(task, process, population, config, start, description)


@pytest.fixture(scope='module')
def federated(text, trained, tmp_path_factory) -> tuple[pathlib.Path, dict]:
  """The folder and the summary of such a run."""
  folder = tmp_path_factory.mktemp('runs') / 'warm'
  return folder, _federated(text, trained, folder)


def test_a_run_begins_with_the_pretrained_model(federated, trained, source):
  with (federated[0] / 'metrics.csv').open(newline='') as file:
    first = next(csv.DictReader(file))
  measured = text_evaluation.evaluate(trained, source, 0)
  # What lora adds starts at zero.
  assert float(first['eval/perplexity']) == pytest.approx(measured['eval/perplexity'], rel=1e-4)
  assert float(first['eval/accuracy']) == pytest.approx(measured['eval/accuracy'], rel=1e-4)
  fresh = json.loads((trained / 'config.json').read_text())
  assert fresh['num_parameters'] < federated[1]['num_parameters']
  assert measured['eval/perplexity'] < 30  # Of about sixty pieces.
  config = json.loads((federated[0] / 'config.json').read_text())
  assert config['pretrained_sha256'] == checkpoint.load(trained).content_hash == measured['model_sha256']


def test_an_export_scores_as_the_run_did(federated, source, tmp_path):
  folder, summary = federated
  exported = exporting.export(folder, tmp_path / 'model')
  assert {path.name for path in (tmp_path / 'model').iterdir()} == {
    'model.safetensors', 'tokenizer.model', 'config.json'
  }  # fmt: skip
  assert exported.steps == 1 and exported.description.trainable == _LORA
  measured = text_evaluation.evaluate(tmp_path / 'model', source, 0)
  assert measured['eval/perplexity'] == pytest.approx(summary['eval/perplexity'], rel=1e-4)
  assert text_evaluation.evaluate(folder, source, 0) == measured
  exporting.export(folder, tmp_path / 'model')  # Once more changes nothing.
  assert checkpoint.load(tmp_path / 'model').content_hash == measured['model_sha256']


def test_an_export_takes_no_folder_of_something_else(federated, trained, tmp_path):
  (tmp_path / 'thesis.tex').write_text('years of work')
  with pytest.raises(failures.UsageError, match='holds other files: choose a new --output_dir'):
    exporting.export(federated[0], tmp_path)
  before = checkpoint.load(trained).content_hash
  with pytest.raises(failures.UsageError, match='holds other files'):
    exporting.export(federated[0], trained)
  assert checkpoint.load(trained).content_hash == before
  with pytest.raises(failures.UsageError, match=r'--run=.* holds no model.safetensors'):
    exporting.export(tmp_path, tmp_path / 'new')
  assert not (tmp_path / 'new').exists()


def test_a_run_is_not_continued_with_another_model(federated, trained, text, tmp_path):
  other = shutil.copytree(trained, tmp_path / 'other')
  loaded = checkpoint.load(other)
  weights = {name: value + np.float32(0.5) for name, value in loaded.weights.items()}
  checkpoint.save(other, weights, loaded.description, loaded.steps)
  with pytest.raises(failures.UsageError, match='holds a run with pretrained_sha256='):
    _federated(text, other, federated[0])


def test_text_of_another_vocabulary_is_cut_by_the_tokenizer_of_the_model(trained, tmp_path):
  path = _write_text(tmp_path / 'dogs', 'dog')
  scores = [
    text_evaluation.evaluate(trained, text_lib.text(path=path, vocabulary=pieces, sequence_length=16), 0)
    for pieces in (40, 60)
  ]
  assert scores[0] == scores[1]
  assert scores[0]['num_clients'] == 2 and scores[0]['num_examples'] == 12


def test_a_process_with_selection_takes_the_weights_too(worker, trained, text):
  base = _build(_MODEL, text.vocabulary_size)
  selection = selection_lib.Selection(neurons=0.5)
  communication = algorithms.Communication(selection=selection)
  task, batches = language_task.build(base, text.sequence_length), local_batches.LocalBatches(batch_size=4)
  process = optimizers_catalog.ALGORITHMS['fed_avg']()(task, communication, batches, 0)
  start = pretrained.start(pretrained.load(trained), base, base, frozenset())
  state = process.initialize()
  initial = process.get_model_weights(state)
  names = [variable.name for variable in base.variables]
  replaced = tff.learning.models.ModelWeights(start.replace(names, initial.trainable), initial.non_trainable)
  state = process.set_model_weights(state, replaced)
  for name, weight in zip(names, process.get_model_weights(state).trainable, strict=True):
    np.testing.assert_array_equal(weight, start.loaded.weights[name])


def _refusal(capsys, dataset: str, output_dir: pathlib.Path, **settings) -> str:
  settings = {'dataset': dataset, 'model': _MODEL, 'clients_per_round': 2, 'output_dir': str(output_dir)} | settings
  with pytest.raises(SystemExit) as exit_:
    launch.guarded(lambda: language_model.main(language_model.FLAGS.read(settings)), ['language_model'])
  assert exit_.value.code == 2
  lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith('error: ')]
  assert len(lines) == 1
  assert not output_dir.exists()
  return lines[0]


@pytest.mark.parametrize(
  ('settings', 'expected'),
  [
    ({'model': _MODEL.replace('num_layers=1', 'num_layers=2')}, 'another model: it has no block_1/'),
    ({'model': _MODEL.replace('width=8', 'width=16', 1)}, 'has shape ['),
    ({'model': 'lstm(width=8, num_cells=8)'}, 'it was trained with --model='),
    ({'trainable': 'frozen(blocks=1)'}, "use suffix(blocks=...) or random(fraction=..., resample='never')"),
    ({'pretrained': '/nowhere/at/all'}, '--pretrained=/nowhere/at/all'),
  ],
)
def test_refuses_another_model_before_it_reads_data(settings, expected, trained, capsys, tmp_path):
  _write_text(tmp_path / 'unread', 'cat')
  dataset = f'text(path={str(tmp_path / "unread")!r}, vocabulary=61)'
  message = _refusal(capsys, dataset, tmp_path / 'run', **({'pretrained': str(trained)} | settings))
  assert expected in message
  assert 'tokenising' not in capsys.readouterr().err


def test_refuses_a_surplus_variable(federated, capsys, tmp_path):
  message = _refusal(capsys, 'docstrings', tmp_path / 'run', pretrained=str(federated[0]))
  assert 'this model has no ' in message and '_lora_a (and ' in message and f"--trainable='{_LORA}'" in message


def test_refuses_a_truncated_file(trained, capsys, tmp_path):
  shutil.copytree(trained, tmp_path / 'cut')
  path = tmp_path / 'cut' / 'model.safetensors'
  path.write_bytes(path.read_bytes()[:-1])
  message = _refusal(capsys, 'docstrings', tmp_path / 'run', pretrained=str(tmp_path / 'cut'))
  assert 'is truncated or no safetensors file' in message and message.endswith('copy or make it again')


def test_refuses_another_vocabulary(trained, text, capsys, tmp_path):
  dataset = f'text(path={_write_text(tmp_path / "dogs", "dog")!r}, vocabulary=50)'
  message = _refusal(capsys, dataset, tmp_path / 'run', pretrained=str(trained))
  assert f'another vocabulary ({text.vocabulary_size} pieces' in message and 'pre-train with this --dataset' in message


def test_the_binaries(federated, source, tmp_path):
  """Their own processes: flags, output and exit codes."""
  model = tmp_path / 'model'
  path = source.fingerprint.splitlines()[0].strip("'")

  def start(binary, **settings):
    return binaries.run(f'experiments.{binary}', [f'--{name}={value}' for name, value in settings.items()])

  exported = start('export', run=federated[0], output_dir=model)
  assert exported.returncode == 0, exported.stderr
  assert f'of {federated[1]["num_parameters"]:,} parameters after 1 steps' in exported.stdout
  settings = dict(dataset=f'text(path={path!r}, sequence_length=16)', output_dir=tmp_path / 'score')
  scored = start('evaluate', pretrained=model, **settings)
  assert scored.returncode == 0, scored.stderr
  result = json.loads(scored.stdout)
  assert result == json.loads((tmp_path / 'score' / 'evaluation.json').read_text())
  assert tuple(result) == columns.names(columns.EVALUATION)
  assert declared_files.undeclared(model, 'export') == declared_files.undeclared(tmp_path / 'score', 'evaluate') == []
  assert result['eval/perplexity'] == pytest.approx(federated[1]['eval/perplexity'], rel=1e-4)
  (model / 'tokenizer.model').unlink()
  refused = start('evaluate', pretrained=model, **settings)
  assert refused.returncode == 2 and len(refused.stderr.splitlines()) == 1
  assert 'cannot read tokenizer.model' in refused.stderr
