"""Every table of a plug-in in small runs of the binaries that take its names, and in those that read such runs afterwards."""

from collections.abc import Sequence
import json
import pathlib
import subprocess
from typing import NamedTuple

import numpy as np
import pytest

from experiments.command import plugin_tables
from experiments.command import plugins
from experiments.results import run_files
from tests import binaries
from tests.experiments import tiny_family
from tests.experiments.command import every_table

_PLUGIN = pathlib.Path(every_table.__file__)
_RUN = {'rounds': 1, 'rounds_per_eval': 1, 'clients_per_round': 2}
_BERT = 'small_bert(num_layers=2)'


class Case(NamedTuple):
  """A run with names of the plug-in.

  Attributes:
    binary: Its module in `experiments`.
    flags: By name; `{text}`, `{authors}`, `{recipes}` are paths, `{NAME}` the folder of another case.
    tables: The tables whose names it uses.
    needs: The cases whose folders it reads.
    records: Whether its folder gets a `config.json`.
  """

  binary: str
  flags: dict[str, object]
  tables: Sequence[str] = ()
  needs: Sequence[str] = ()
  records: bool = True


_LANGUAGE = _RUN | {
  'plugin': str(_PLUGIN),
  'dataset': 'notes(path={text!r})',
  'partition': 'fours',
  'model': 'small_lstm(width=8)',
  'upload': 'concat|small_as(codec="negated|uniform(bits=8)", size=9)|negated|uniform(bits=4)|rans',
  'download': 'small_as(codec="negated", size=9)|negated',
  'algorithm': 'slow_avg(client_lr=0.2, client_schedule="halved()")',
  'trainable': 'top',
  'devices': 'tiers(shares=[0.5, 0.5], blocks=[1, 1])',
  'client_dropout': 'rarely(rate=0.02)',
}
_CASES = {
  'swept': Case(
    'sweep',
    {'sweep': '{sweep}'},
    ['DATASETS', 'PARTITIONS', 'LANGUAGE_MODELS', 'STAGES', 'ALGORITHMS', 'SCHEDULES', 'POLICIES', 'CLIENT_DROPOUTS'],
  ),
  'encoder': Case(
    'pretrain',
    {'dataset': 'notes(path={text!r})', 'corpus': 'notes(path={text!r})', 'model': _BERT, 'steps': 1, 'batch_size': 4},
    ['DATASETS', 'ENCODERS'],
  ),
  'images': Case(
    'pretrain',
    {'dataset': 'few_digits(num=3)', 'model': 'small_vit(num_layers=1)', 'steps': 1, 'batch_size': 4},
    ['IMAGE_DATASETS', 'VISION_MODELS'],
  ),
  'classified': Case(
    'text_classification',
    _RUN
    | {'dataset': 'authors(path={authors!r})', 'partition': 'fours', 'model': 'small_bert', 'pretrained': '{encoder}'},
    ['CLASSIFICATION_DATASETS', 'ENCODERS', 'PARTITIONS'],
    ['encoder'],
  ),
  'layers_of_text': Case(
    'layerwise_ssl',
    _RUN
    | {
      'dataset': 'authors(path={authors!r})',
      'vocabulary': 'notes(path={text!r})',
      'model': _BERT,
      'partition': 'fours',
      'stages': 'end_to_end',
      'algorithm': 'slow_avg',
      'probe_examples': 30,
    },
    ['CLASSIFICATION_DATASETS', 'DATASETS', 'ENCODERS', 'PARTITIONS', 'ALGORITHMS'],
  ),
  'layers_of_images': Case(
    'layerwise_ssl',
    _RUN
    | {
      'dataset': 'few_digits',
      'model': 'small_vit',
      'objective': 'warm_simclr(temperature=0.4)',
      'partition': 'fours',
      'upload': 'negated',
      'stages': 'end_to_end',
      'probe_examples': 20,
    },
    ['IMAGE_DATASETS', 'VISION_MODELS', 'OBJECTIVES', 'PARTITIONS', 'STAGES'],
  ),
  'limits': Case(
    'constrained_finetuning',
    _RUN
    | {
      'dataset': 'notes(path={text!r})',
      'model': 'transformer(recipes={recipes!r})',
      'partition': 'fours',
      'upload': 'coarse(initial_step=0.02)',
      'algorithm': 'slow_avg',
      'devices': 'tiers(shares=[1.0])',
    },
    ['DATASETS', 'PARTITIONS', 'ADAPTIVE', 'ALGORITHMS'],
  ),
  'exported': Case('export', {'run': '{swept}/language'}, needs=['swept'], records=False),
  'compared': Case('compare', {'runs': '{swept}/language'}, needs=['swept'], records=False),
  'codecs': Case(
    'compare',
    {'what': 'codecs', 'run': '{swept}/language', 'codecs': 'negated; negated|uniform(bits=8)'},
    needs=['swept'],
    records=False,
  ),
}


class _Runs:
  """Runs cases once, those that they need before them."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._environment = {**binaries.os.environ, 'LEANFED_CACHE': str(folder / 'cache')}
    self._done: set[str] = set()
    self.paths = {'text': _text(folder / 'texts'), 'authors': _authors(folder / 'authors.csv')}
    recipes = tiny_family.write(folder / 'recipes', (1,), f'notes(path={self.paths["text"]!r})')
    self.paths['recipes'] = str(recipes)
    self.paths['sweep'] = _sweep(folder / 'sweep.toml', self.paths['text'])

  def start(self, binary: str, *arguments: str, has_plugin: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a binary."""
    named = [f'--plugin={_PLUGIN}'] * has_plugin
    return binaries.run(f'experiments.{binary}', [*named, *arguments], self._environment)

  def folder(self, name: str) -> pathlib.Path:
    """Returns the folder of a case, which has run."""
    case, folder = _CASES[name], self._folder / name
    if name not in self._done:
      places = self.paths | {each: str(self.folder(each)) for each in case.needs}
      flags = [f'--{flag}={_filled(value, places)}' for flag, value in case.flags.items()]
      done = self.start(case.binary, *flags, f'--output_dir={folder}')
      assert done.returncode == 0, done.stderr
      self._done.add(name)
    return folder


def _filled(value: object, places: dict[str, str]) -> str:
  text = str(value)
  for name, place in places.items():
    text = text.replace(f'{{{name}!r}}', repr(place)).replace(f'{{{name}}}', place)
  return text


def _text(folder: pathlib.Path) -> str:
  for client in range(12):
    (folder / f'client_{client}').mkdir(parents=True)
    (folder / f'client_{client}' / 'a.txt').write_text('\n'.join(f'cat {client} sat on mat {n}.' for n in range(3)))
  return str(folder)


def _authors(file: pathlib.Path) -> str:
  rng, rows = np.random.default_rng(0), []
  for number in range(60):
    words = ' '.join(f'{"abc"[number % 3]}{word}' for word in rng.integers(0, 6, 6))
    rows.append(f'id{number},{words},{("EAP", "HPL", "MWS")[number % 3]}')
  file.write_text('\n'.join(['id,text,author', *rows]) + '\n')
  return str(file)


def _sweep(file: pathlib.Path, text: str) -> str:
  lines = [f'{name} = {json.dumps(_filled(value, {"text": text}))}' for name, value in _LANGUAGE.items()]
  file.write_text('\n'.join(['[flags]', *lines, '[[runs]]', 'name = "language"', '']))
  return str(file)


@pytest.fixture(scope='module', name='runs')
def _runs(tmp_path_factory) -> _Runs:
  return _Runs(tmp_path_factory.mktemp('tables'))


def test_every_table_has_a_name_in_the_plugin_and_a_case():
  known = set(plugin_tables.tables())
  assert {name for name in vars(every_table) if name.isupper() and not name.startswith('_')} == known
  assert {table for case in _CASES.values() for table in case.tables} == known


@pytest.mark.parametrize('name', _CASES)
def test_the_names_of_tables_work_in_a_run_that_records_them(name, runs):
  case, folder = _CASES[name], runs.folder(name)
  flags = ' '.join(map(str, (_LANGUAGE if name == 'swept' else case.flags).values()))
  for table in case.tables:  # The case uses what it says that it uses.
    assert any(each in flags for each in getattr(every_table, table)), table
  if case.records:
    recorded = list(folder.rglob('config.json'))
    assert recorded
    for config in recorded:
      assert run_files.read_config(config.parent)['settings']['plugin'] == [plugins.fixed(str(_PLUGIN))], config


def test_binaries_that_use_a_model_know_its_names(runs, tmp_path):
  authors = f'--dataset=authors(path={runs.paths["authors"]!r})'
  (tmp_path / 'lines').write_text('a1 a2\nb1 b2\n')
  for folder in (runs.folder('exported'),):
    done = runs.start('generate', f'--pretrained={folder}', '--prompt=cat', '--num_tokens=2')
    assert done.returncode == 0 and done.stdout.startswith('cat'), done.stderr
    done = runs.start('evaluate', f'--pretrained={folder}', f'--dataset=notes(path={runs.paths["text"]!r})')
    assert done.returncode == 0 and json.loads(done.stdout)['eval/perplexity'] > 1, done.stderr
  classified = runs.folder('classified')
  done = runs.start('predict', f'--pretrained={classified}', f'--input={tmp_path / "lines"}')
  assert done.returncode == 0 and len(done.stdout.splitlines()) == 2, done.stderr
  done = runs.start('evaluate', f'--pretrained={classified}', authors)
  assert done.returncode == 0 and 0 <= json.loads(done.stdout)['eval/accuracy'] <= 1, done.stderr
  for binary, folder, more in (
    ('predict', classified, []),
    ('generate', runs.folder('swept') / 'language', ['--prompt=cat']),
    ('evaluate', runs.folder('images'), ['--dataset=digits(classes=[0, 1, 2])']),
  ):
    without = runs.start(binary, f'--pretrained={folder}', *more, has_plugin=False)
    assert without.returncode == 2, without.stderr
    (line,) = [line for line in without.stderr.splitlines() if line.startswith('error: ')]
    assert "unknown model 'small_" in line and line.endswith('or add it by --plugin')
  done = runs.start('export', f'--run={classified}', f'--output_dir={tmp_path / "exported"}')
  assert done.returncode == 2 and done.stderr == (
    f'error: --run={classified} does not fit the Hugging Face layout: it knows bert, albert, distilbert, not small_bert: '
    'use the folder of the run as it is\n'
  )
  assert not list((tmp_path / 'exported').iterdir())
  done = runs.start('evaluate', f'--pretrained={runs.folder("images")}', '--dataset=few_digits(num=3)')
  assert done.returncode == 0 and json.loads(done.stdout)['num_examples'] > 0, done.stderr
