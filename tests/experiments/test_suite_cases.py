"""Every flag of the suite's trainings that takes a spec takes names of a plug-in, and objects: to the same rows and weights."""

import csv as csv_lib
import json
import pathlib

import numpy as np
import pytest
from safetensors import numpy as safetensors

from experiments import suite
from experiments.command import given_objects
from experiments.command import plugin_tables
from experiments.command import plugins
from experiments.federated import private_runs
from experiments.results import metrics
from experiments.results import run_files
from tests.experiments import every_table as own
from tests.experiments import suite_cases
from tools import spec_flags

_PLUGIN = suite_cases.PLUGIN
_NAMES = {
  name for table, builders in vars(own).items() if table.isupper() and not table.startswith('_') for name in builders
}
_DIFFERS = ('seconds', 'rss')  # Between runs, in names of columns.


class _Runs:
  """Runs each case once by names, whose rows a logger of the plug-in notes, and once by objects, whose rows a function gets."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self.places = suite_cases.places(folder / 'data', str)
    self._done: dict[tuple[str, bool], suite.RunFolder] = {}
    self.rows: dict[tuple[str, bool], list[dict[str, object]]] = {}

  def by_names(self, name: str) -> suite.RunFolder:
    """Returns the run of a case."""
    notes = self._folder / f'{name}.jsonl'
    run = self._run(name, False, plugin=[_PLUGIN], log_to=f'noted(file={str(notes)!r})')
    self.rows[name, False] = [json.loads(line) for line in notes.read_text().splitlines()]
    return run

  def by_objects(self, name: str) -> suite.RunFolder:
    """Returns the run of a case."""
    rows = self.rows.setdefault((name, True), [])
    plugin = [_PLUGIN] if name == 'limits' else []  # A method names its policy.
    return self._run(name, True, plugin=plugin, log_to=suite.each_row(rows.append))

  def _run(self, name: str, is_given: bool, **flags: object) -> suite.RunFolder:
    if (name, is_given) not in self._done:
      case = suite_cases.CASES[name]
      places = self.places._replace(run=self.by_objects if is_given else self.by_names)
      flags |= case.plain(places) | (case.given if is_given else case.named)(places)
      folder = self._folder / ('given' if is_given else 'named') / name
      self._done[name, is_given] = getattr(suite, case.function)(**flags, output_dir=folder)
    return self._done[name, is_given]


@pytest.fixture(scope='module', name='runs')
def _runs(tmp_path_factory):
  folder = tmp_path_factory.mktemp('cases')
  with pytest.MonkeyPatch.context() as patched:
    patched.setenv('LEANFED_CACHE', str(folder / 'cache'))
    # Noise depends on what is recorded of the flags, and an object is recorded by another name than a spec.
    patched.setattr(private_runs, 'noise_seed', lambda *_: 1)
    yield _Runs(folder)


def test_every_flag_that_takes_specs_is_in_a_case_by_names_and_by_objects(runs):
  places, named, given = runs.places, set(), set()
  for case in suite_cases.CASES.values():
    named |= {(case.function, flag) for flag, text in case.named(places).items() if any(n in text for n in _NAMES)}
    given |= {(case.function, flag) for flag, value in case.given(places).items() if given_objects.is_one(value)}
  functions = {case.function for case in suite_cases.CASES.values()}
  # Secure sums have no table and refuse most codecs: `test_private_setups` reads one by name and by object.
  apart = ('log_to', 'secure_sum')
  wanted = {(name, flag) for name in functions for flag in spec_flags.FLAGS[name] if flag not in apart}
  assert wanted - named == {(name, flag) for name, flag in wanted if flag == 'devices'}  # No table has names of it.
  assert wanted - given == {
    ('text_classification', 'devices')
  }  # They say what is trained, in the place of --trainable.


def test_every_table_has_a_name_in_the_plugin_and_in_a_case(runs):
  tables = {table for table in vars(own) if table.isupper() and not table.startswith('_')}
  assert tables == set(plugin_tables.tables())
  used = [text for case in suite_cases.CASES.values() for text in case.named(runs.places).values()]
  assert [name for name in _NAMES if not any(name in text for text in [*used, 'noted'])] == []


@pytest.mark.parametrize('name', suite_cases.CASES)
def test_names_and_objects_train_alike_and_loggers_are_told(name, runs):
  named, given = runs.by_names(name), runs.by_objects(name)
  recorded = [run_files.read_config(path.parent)['settings'] for path in named.folder.rglob('config.json')]
  assert recorded and all(settings['plugin'] == [plugins.fixed(str(_PLUGIN))] for settings in recorded)
  assert 'object(name=' not in (named.folder / 'config.json').read_text()
  assert 'object(name=' in (given.folder / 'config.json').read_text()
  assert _rows(named.rows) == _rows(given.rows)
  models = list(given.folder.rglob('model.safetensors'))
  assert models
  for path in models:
    expected = safetensors.load_file(named.folder / path.relative_to(given.folder))
    for key, value in safetensors.load_file(path).items():
      np.testing.assert_array_equal(value, expected[key], err_msg=f'{path} {key}')
  for run, told in ((named, runs.rows[name, False]), (given, runs.rows[name, True])):
    written = metrics.read(run.folder / 'metrics.csv')
    assert _rows(told)[-len(written) :] == _rows(written)  # Those of stages come before.
    assert len(told) == len(written) or 'stage' in written[0]


def _numbers(row):
  """Returns the values of a row that are numbers."""
  return {name: value for name, value in row.items() if value.replace('.', '', 1).isdigit() and 'seconds' not in name}


def _rows(rows):
  """Returns rows without what differs between runs."""
  return [{name: value for name, value in row.items() if not any(part in name for part in _DIFFERS)} for row in rows]


def test_codecs_and_policies_are_compared_by_names_and_by_objects(runs, tmp_path):
  named, given = runs.by_names('warm'), runs.by_objects('warm')
  found = {}
  for what, names, objects in (
    ('codecs', 'negated; negated|uniform(bits=8)', [own.Negated(), [own.Negated(), 'uniform(bits=8)']]),
    ('policies', 'all; top(blocks=1)', ['all', own.Top()]),
  ):
    csv = tmp_path / f'{what}.csv'
    suite.compare(what=what, run=named, plugin=[_PLUGIN], csv=csv, output_dir=tmp_path, **{what: names})
    by_names = list(csv_lib.DictReader(csv.read_text().splitlines()))
    suite.compare(what=what, run=given, csv=csv, output_dir=tmp_path, **{what: objects})
    by_objects = list(csv_lib.DictReader(csv.read_text().splitlines()))
    assert len(by_names) == len(by_objects) > 1
    assert [_numbers(row) for row in by_names] == [_numbers(row) for row in by_objects]
    found[what] = (tmp_path / f'{what}.md').read_text()
  assert 'Negated()\\|uniform(bits=8)' in found['codecs'] and 'Top(blocks=1)' in found['policies']


def test_clients_cost_the_same_by_names_and_by_objects(tmp_path):
  small = dict(vocabulary_size=50, sequence_length=6, batch_size=2, num_steps=2, repeats=1, plugin=[_PLUGIN])
  by_names = dict(model='small_lstm', policies='top', upload='negated', algorithm='slow_avg')
  by_objects = dict(model=own.small_lstm(), policies=[own.Top()], upload=own.Negated(), algorithm=own.slow_avg())
  rows = []
  for number, flags in enumerate((by_names, by_objects)):
    folder = tmp_path / f'{number}'
    suite.client_cost(**small, **flags, output_dir=folder)
    (row,) = csv_lib.DictReader((folder / 'client_cost.csv').read_text().splitlines())
    rows.append({key: value for key, value in row.items() if 'bytes' in key or 'fraction' in key or 'modelled' in key})
    # The time of so small a step, a difference of two, is lost in that of whatever else the machine does.
    assert float(row['peak_mb']) > 0 and np.isfinite(float(row['step_cpu_ms']))
  assert rows[0] == rows[1]


def test_what_reads_a_run_knows_its_names_and_says_where_they_are_missing(runs, tmp_path):
  language, classified, images = (runs.by_names(name) for name in ('warm', 'classified', 'images'))
  known = dict(plugin=[_PLUGIN])
  exported = suite.export(run=language, output_dir=tmp_path / 'exported', **known)
  ((text,),) = suite.generate(pretrained=exported, prompt='cat', num_tokens=2, **known)
  assert text.startswith('cat')
  notes, authors = (
    f'{name}(path={path!r})' for name, path in (('notes', runs.places.text), ('authors', runs.places.authors))
  )
  assert suite.evaluate(pretrained=exported, dataset=notes, **known)['eval/perplexity'] > 1
  assert 0 <= suite.evaluate(pretrained=classified, dataset=authors, **known)['eval/accuracy'] <= 1
  assert suite.evaluate(pretrained=images, dataset='few_digits(num=3)', **known)['num_examples'] > 0
  for read in (
    lambda: suite.generate(pretrained=exported, prompt='cat'),
    lambda: suite.evaluate(pretrained=images, dataset='digits(classes=[0, 1, 2])'),
    lambda: suite.predict(['a1 a2'], pretrained=classified),
  ):
    with pytest.raises(ValueError, match=r"unknown model 'small_.*or add it by --plugin$"):
      read()
  with pytest.raises(ValueError, match='it knows bert, albert, distilbert, not small_bert: use the folder of the run'):
    suite.export(run=classified, output_dir=tmp_path / 'refused', **known)
  assert not list((tmp_path / 'refused').iterdir())


def test_a_sweep_and_the_binaries_after_it_take_names(runs, tmp_path):
  case = suite_cases.CASES['selecting']
  flags = case.plain(runs.places) | case.named(runs.places) | dict(rounds=0)
  lines = [f'{name} = {json.dumps(value)}' for name, value in flags.items()]
  sweep = tmp_path / 'sweep.toml'
  sweep.write_text('\n'.join(['[flags]', *lines, '[[runs]]', 'name = "language"', '']))
  (run,) = suite.sweep(sweep=sweep, plugin=[_PLUGIN], output_dir=tmp_path / 'swept')
  assert run.settings['plugin'] == [plugins.fixed(str(_PLUGIN))] and run.summary['rounds'] == 0
  compared = suite.compare(runs=[run], output_dir=tmp_path / 'compared')  # Builds nothing.
  assert 'small_lstm' in (compared.folder / 'comparison.md').read_text() or compared.pictures
