"""A folder belongs to one run: claimed once, continued by the same settings, never taken over."""

import json
import math
import os
import pathlib
from unittest import mock

import pytest
import tensorflow as tf

from experiments.command import failures
from experiments.results import output
from experiments.results import records

_SETTINGS = dict(model='lstm', output_dir='x', rounds=3, seed=None, plain=True)
_FACTS = dict(dataset_hash='abc', num_parameters=7)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  """A folder that is not there yet."""
  return tmp_path / 'new' / 'run'


def _claim(*arguments) -> None:
  with output.claimed(*arguments):
    pass


def test_records_the_run(folder):
  _claim(folder, _SETTINGS, _FACTS)
  config = json.loads((folder / 'config.json').read_text())
  assert config['settings'] == _SETTINGS
  assert config['dataset_hash'] == 'abc'
  assert config['binary'] is None  # A script is none
  assert config['packages']['tensorflow-federated'] == '0.87.0'
  assert (folder / 'run.flags').read_text() == '--model=lstm\n--output_dir=x\n--rounds=3\n--plain=true\n'


def test_the_same_run_goes_on_also_for_longer(folder):
  _claim(folder, _SETTINGS, _FACTS)
  _claim(folder, dict(_SETTINGS, rounds=9, output_dir='y'), _FACTS)


def test_who_is_told_of_a_run_may_change(folder):
  for log_to in (None, 'wandb', 'mlflow'):
    _claim(folder, dict(_SETTINGS, log_to=log_to), _FACTS)
  _claim(folder, _SETTINGS, _FACTS)


def test_other_content_at_the_same_path_is_told_by_its_hash(folder):
  settings = _SETTINGS | {'dataset': "text(path='/a')", 'pretrained': 'b'}
  _claim(folder, settings, _FACTS | {'pretrained_sha256': '1'})
  with pytest.raises(failures.UsageError, match="with dataset_hash='abc', not 'xyz'"):
    _claim(folder, settings, _FACTS | {'dataset_hash': 'xyz', 'pretrained_sha256': '1'})
  with pytest.raises(failures.UsageError, match="with pretrained_sha256='1', not '2'"):
    _claim(folder, settings, _FACTS | {'pretrained_sha256': '2'})


def test_a_folder_of_a_version_that_did_not_note_a_hash_goes_on(folder):
  settings = _SETTINGS | {'dataset': "text(path='/a')"}
  _claim(folder, settings, {'num_parameters': 7})
  _claim(folder, settings, _FACTS)


def test_a_run_tells_all_commits_that_wrote_to_it(folder):
  for commit in ('first', 'first', None, 'second', 'third', 'second'):
    with mock.patch.object(output, '_git_commit', return_value=commit):
      _claim(folder, _SETTINGS, _FACTS)
  config = json.loads((folder / 'config.json').read_text())
  assert (config['git_commit'], config['earlier_commits']) == ('second', ['first', 'third'])


@pytest.mark.parametrize(
  ('settings', 'facts', 'message'),
  [
    (dict(_SETTINGS, model='transformer'), _FACTS, "model='lstm', not 'transformer'"),
    (_SETTINGS, dict(_FACTS, dataset_hash='xyz'), "dataset_hash='abc', not 'xyz'"),
  ],
)
def test_another_run_is_refused_and_nothing_overwritten(settings, facts, message, folder):
  _claim(folder, _SETTINGS, _FACTS)
  before = (folder / 'config.json').read_text()
  with pytest.raises(failures.UsageError, match=message):
    _claim(folder, settings, facts)
  assert (folder / 'config.json').read_text() == before


def test_of_a_fact_with_parts_the_one_is_told_that_differs(folder):
  _claim(folder, _SETTINGS, dict(_FACTS, plan={'kind': 'Tree', 'rounds': 2}))
  with pytest.raises(failures.UsageError, match=r'holds a run with plan\.rounds=2, not 4: choose'):
    _claim(folder, _SETTINGS, dict(_FACTS, plan={'kind': 'Tree', 'rounds': 4}))


@pytest.mark.parametrize(
  ('name', 'before', 'after', 'fact'),
  [
    ('dataset', "text(path='/a', vocabulary=60)", "text(path='b/../a', vocabulary=60)", 'dataset_hash'),
    ('dataset', "text(path='/a')", "text(path='b')", 'dataset_hash'),
    ('corpus', "text(path='/a')", "text(path='b')", 'dataset_hash'),
    ('vocabulary', "text(path='/a')", "text(path='b')", 'dataset_hash'),
    ('pretrained', '/a', 'b', 'pretrained_sha256'),
    ('teacher', '/a', 'b', 'teacher_sha256'),
  ],
)
def test_equal_data_may_lie_elsewhere(name, before, after, fact, folder):
  facts = _FACTS | {fact: 'known'}
  _claim(folder, _SETTINGS | {name: before}, facts)
  _claim(folder, _SETTINGS | {name: after}, facts)
  config = json.loads((folder / 'config.json').read_text())
  assert config['settings'][name] == after
  for other in ({fact: 'other'}, {fact: None}):
    with pytest.raises(failures.UsageError, match=f'holds a run with ({name}|{fact})='):
      _claim(folder, _SETTINGS | {name: before}, _FACTS | other)


@pytest.mark.parametrize(
  ('name', 'before', 'after'),
  [
    ('dataset', "text(path='/a', vocabulary=60)", "text(path='b', vocabulary=61)"),
    ('dataset', "text(path='/a')", "leaf(path='/a')"),
    ('dataset', "text(path='/a')", None),
    ('model', "transformer(path='/a')", "transformer(path='b')"),
    ('pretrained', None, '/a'),  # Whose hash is not known here.
  ],
)
def test_whatever_is_not_where_data_lie_still_counts(name, before, after, folder):
  _claim(folder, _SETTINGS | {name: before}, _FACTS)
  with pytest.raises(failures.UsageError, match=f'holds a run with {name}='):
    _claim(folder, _SETTINGS | {name: after}, _FACTS)


@pytest.mark.parametrize('name', ['file', 'file/below/it'])
def test_a_file_is_no_folder(name, folder):
  place = folder.parents[1]
  (place / 'file').touch()
  with pytest.raises(failures.UsageError, match=rf'{name}: {place}/file is a file; choose a folder'):
    output.make(place / name)


def test_a_folder_that_cannot_be_made_is_refused(folder):
  with pytest.raises(failures.UsageError, match='No such file or directory; choose a folder you can write'):
    output.make(pathlib.Path('/proc/none'))


def test_paths_count_where_no_fact_knows_the_data(folder):
  _claim(folder, _SETTINGS | dict(pretrained='/a'), _FACTS)
  with pytest.raises(failures.UsageError, match="holds a run with pretrained='/a', not 'b'"):
    _claim(folder, _SETTINGS | dict(pretrained='b'), _FACTS)


def test_a_run_with_settings_is_not_continued_without_them(folder):
  _claim(folder, _SETTINGS, _FACTS)
  with pytest.raises(failures.UsageError, match="holds a run with model='lstm', not None"):
    _claim(folder, {}, _FACTS)


def test_a_fact_that_an_earlier_version_did_not_record_is_no_hindrance_to_equal_settings(folder):
  _claim(folder, _SETTINGS, _FACTS)
  _claim(folder, _SETTINGS, _FACTS | dict(further='x'))


def test_a_fact_is_needed_where_settings_say_nothing(folder):
  _claim(folder, {}, _FACTS)
  with pytest.raises(failures.UsageError, match='holds a run with further=None'):
    _claim(folder, {}, _FACTS | dict(further='x'))


def test_what_cannot_go_on_as_asked_leaves_all_as_it_was(folder):
  def refuse():
    raise failures.UsageError('no')

  _claim(folder, _SETTINGS, _FACTS)
  before = {path.name: path.read_bytes() for path in folder.iterdir()}
  with pytest.raises(failures.UsageError, match='no'):
    _claim(folder, _SETTINGS | dict(rounds=9), _FACTS, refuse)
  assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize('was_there', [False, True])
def test_a_run_that_is_refused_once_its_folder_was_made_leaves_nothing(folder, was_there):
  if was_there:
    folder.mkdir(parents=True)
  with pytest.raises(failures.UsageError, match='not so'), output.claimed(folder, _SETTINGS, _FACTS):
    (folder / 'worker.log').touch()
    raise failures.UsageError('not so')
  assert folder.exists() == was_there
  _claim(folder, _SETTINGS, _FACTS)


def test_a_run_that_is_refused_later_keeps_what_it_has(folder):
  with pytest.raises(failures.UsageError), output.claimed(folder, _SETTINGS, _FACTS):
    (folder / 'metrics.csv').touch()
    raise failures.UsageError('not so')
  assert {path.name for path in folder.iterdir()} == {'config.json', 'run.flags', 'metrics.csv'}
  with pytest.raises(failures.UsageError), output.claimed(folder, _SETTINGS, _FACTS):
    raise failures.UsageError('not so')
  assert (folder / 'config.json').exists()


def test_json_is_strict(folder):
  folder.mkdir(parents=True)
  found = {'a': math.inf, 'b': [math.nan, 1.5, {'c': -math.inf}], 'd': 'NaN', 'e': None, 'f': True}
  output.write_json(folder / 'x.json', found)
  written = json.loads((folder / 'x.json').read_text(), parse_constant=pytest.fail)
  assert written == {'a': None, 'b': [None, 1.5, {'c': None}], 'd': 'NaN', 'e': None, 'f': True}
  with pytest.raises((TypeError, ValueError)):
    output.write_json(folder / 'x.json', {'a': {math.nan}})


def test_flags_are_written_as_they_were_given(folder):
  name = b'm\xf6del \xe4\xbd\xa0'
  _claim(folder, dict(model=os.fsdecode(name)), {})
  assert (folder / 'run.flags').read_bytes() == b'--model=' + name + b'\n'


def test_a_folder_with_other_files_is_refused(folder):
  folder.mkdir(parents=True)
  (folder / 'thesis.tex').write_text('years of work')
  with pytest.raises(failures.UsageError, match='holds other files and no run'):
    _claim(folder, _SETTINGS, _FACTS)


@pytest.mark.parametrize('text', ['', '[]', '{"settings": 3}', 'not json'])
def test_a_broken_config_is_refused(text, folder):
  folder.mkdir(parents=True)
  (folder / 'config.json').write_text(text)
  with pytest.raises(failures.UsageError, match='is not the config of a run'):
    _claim(folder, _SETTINGS, _FACTS)


def test_a_half_written_file_is_not_taken_for_a_run(folder):
  folder.mkdir(parents=True)
  (folder / 'config.json.unfinished').write_text('{"settings"')
  with pytest.raises(failures.UsageError):
    _claim(folder, _SETTINGS, _FACTS)


def test_what_a_kill_left_is_swept(folder):
  folder.mkdir(parents=True)
  (folder / 'config.json.part').write_text('{"settings"')
  _claim(folder, _SETTINGS, _FACTS)
  for name in ('summary.json.part', 'metrics.csv_temp1234'):
    (folder / name).write_text('half')
  _claim(folder, _SETTINGS, _FACTS)
  assert sorted(path.name for path in folder.iterdir()) == ['config.json', 'run.flags']


def test_a_run_from_before_there_was_a_base_goes_on_as_it_began(folder):
  before = _SETTINGS | {'download': 'identity'}
  _claim(folder, before, _FACTS)
  with pytest.raises(failures.UsageError, match="base='every_round', not 'once'"):
    _claim(folder, before | {'base': 'once'}, _FACTS)
  _claim(folder, before | {'base': 'every_round'}, _FACTS)


def test_others_are_kept_out(folder):
  refused = pytest.raises(failures.UsageError, match='another process writes to')
  with output.claimed(folder, _SETTINGS, _FACTS), refused:
    _claim(folder, _SETTINGS, _FACTS)
  _claim(folder, _SETTINGS, _FACTS)


@pytest.mark.parametrize(
  'error', [OSError(28, 'No space left on device'), tf.errors.ResourceExhaustedError(None, None, 'full')]
)
def test_a_disk_that_refuses_ends_the_run(error, folder):
  with pytest.raises(failures.RunEnded, match='goes on from the last checkpoint'), records.saving(folder):
    raise error
