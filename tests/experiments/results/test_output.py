"""A folder belongs to one run: claimed once, continued by the same settings, never taken over."""

import json
import math
import os
import pathlib
import sys
import tempfile
from unittest import mock

from absl.testing import parameterized
import tensorflow as tf

from experiments.command import launch
from experiments.results import output
from experiments.results import records

_SETTINGS = dict(model='lstm', output_dir='x', rounds=3, seed=None, plain=True)
_FACTS = dict(dataset_hash='abc', num_parameters=7)


def _claim(*arguments) -> None:
  with output.claimed(*arguments):
    pass


class OutputTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    folder = tempfile.TemporaryDirectory()
    self.addCleanup(folder.cleanup)
    self.folder = pathlib.Path(folder.name) / 'new' / 'run'

  def test_records_the_run(self):
    _claim(self.folder, _SETTINGS, _FACTS)
    config = json.loads((self.folder / 'config.json').read_text())
    self.assertEqual(config['settings'], _SETTINGS)
    self.assertEqual(config['dataset_hash'], 'abc')
    self.assertEqual(config['binary'], pathlib.Path(sys.argv[0]).stem)
    self.assertEqual(config['packages']['tensorflow-federated'], '0.87.0')
    self.assertEqual(
      (self.folder / 'run.flags').read_text(), '--model=lstm\n--output_dir=x\n--rounds=3\n--plain=true\n'
    )

  def test_the_same_run_goes_on_also_for_longer(self):
    _claim(self.folder, _SETTINGS, _FACTS)
    _claim(self.folder, dict(_SETTINGS, rounds=9, output_dir='y'), _FACTS)

  def test_other_content_at_the_same_path_is_told_by_its_hash(self):
    settings = _SETTINGS | {'dataset': "text(path='/a')", 'pretrained': 'b'}
    _claim(self.folder, settings, _FACTS | {'pretrained_sha256': '1'})
    with self.assertRaisesRegex(launch.UsageError, "with dataset_hash='abc', not 'xyz'"):
      _claim(self.folder, settings, _FACTS | {'dataset_hash': 'xyz', 'pretrained_sha256': '1'})
    with self.assertRaisesRegex(launch.UsageError, "with pretrained_sha256='1', not '2'"):
      _claim(self.folder, settings, _FACTS | {'pretrained_sha256': '2'})

  def test_a_folder_of_a_version_that_did_not_note_a_hash_goes_on(self):
    settings = _SETTINGS | {'dataset': "text(path='/a')"}
    _claim(self.folder, settings, {'num_parameters': 7})
    _claim(self.folder, settings, _FACTS)

  def test_a_run_tells_all_commits_that_wrote_to_it(self):
    for commit in ('first', 'first', None, 'second', 'third', 'second'):
      with mock.patch.object(output, '_git_commit', return_value=commit):
        _claim(self.folder, _SETTINGS, _FACTS)
    config = json.loads((self.folder / 'config.json').read_text())
    self.assertEqual((config['git_commit'], config['earlier_commits']), ('second', ['first', 'third']))

  @parameterized.parameters(
    (dict(_SETTINGS, model='transformer'), _FACTS, "model='lstm', not 'transformer'"),
    (_SETTINGS, dict(_FACTS, dataset_hash='xyz'), "dataset_hash='abc', not 'xyz'"),
  )
  def test_another_run_is_refused_and_nothing_overwritten(self, settings, facts, message):
    _claim(self.folder, _SETTINGS, _FACTS)
    before = (self.folder / 'config.json').read_text()
    with self.assertRaisesRegex(launch.UsageError, message):
      _claim(self.folder, settings, facts)
    self.assertEqual((self.folder / 'config.json').read_text(), before)

  @parameterized.parameters(
    ('dataset', "text(path='/a', vocabulary=60)", "text(path='b/../a', vocabulary=60)", 'dataset_hash'),
    ('dataset', "text(path='/a')", "text(path='b')", 'dataset_hash'),
    ('corpus', "text(path='/a')", "text(path='b')", 'dataset_hash'),
    ('vocabulary', "text(path='/a')", "text(path='b')", 'dataset_hash'),
    ('pretrained', '/a', 'b', 'pretrained_sha256'),
    ('teacher', '/a', 'b', 'teacher_sha256'),
  )
  def test_equal_data_may_lie_elsewhere(self, name, before, after, fact):
    facts = _FACTS | {fact: 'known'}
    _claim(self.folder, _SETTINGS | {name: before}, facts)
    _claim(self.folder, _SETTINGS | {name: after}, facts)
    config = json.loads((self.folder / 'config.json').read_text())
    self.assertEqual(config['settings'][name], after)
    for other in ({fact: 'other'}, {fact: None}):
      with self.assertRaisesRegex(launch.UsageError, f'holds a run with ({name}|{fact})='):
        _claim(self.folder, _SETTINGS | {name: before}, _FACTS | other)

  @parameterized.parameters(
    ('dataset', "text(path='/a', vocabulary=60)", "text(path='b', vocabulary=61)"),
    ('dataset', "text(path='/a')", "leaf(path='/a')"),
    ('dataset', "text(path='/a')", None),
    ('model', "transformer(path='/a')", "transformer(path='b')"),
    ('pretrained', None, '/a'),  # Whose hash is not known here.
  )
  def test_whatever_is_not_where_data_lie_still_counts(self, name, before, after):
    _claim(self.folder, _SETTINGS | {name: before}, _FACTS)
    with self.assertRaisesRegex(launch.UsageError, f'holds a run with {name}='):
      _claim(self.folder, _SETTINGS | {name: after}, _FACTS)

  @parameterized.parameters('file', 'file/below/it')
  def test_a_file_is_no_folder(self, name):
    place = self.folder.parents[1]
    (place / 'file').touch()
    with self.assertRaisesRegex(launch.UsageError, rf'{name}: {place}/file is a file; choose a folder'):
      output.make(place / name)

  def test_a_folder_that_cannot_be_made_is_refused(self):
    with self.assertRaisesRegex(launch.UsageError, 'No such file or directory; choose a folder you can write'):
      output.make(pathlib.Path('/proc/none'))

  def test_paths_count_where_no_fact_knows_the_data(self):
    _claim(self.folder, _SETTINGS | dict(pretrained='/a'), _FACTS)
    with self.assertRaisesRegex(launch.UsageError, "holds a run with pretrained='/a', not 'b'"):
      _claim(self.folder, _SETTINGS | dict(pretrained='b'), _FACTS)

  def test_a_run_with_settings_is_not_continued_without_them(self):
    _claim(self.folder, _SETTINGS, _FACTS)
    with self.assertRaisesRegex(launch.UsageError, "holds a run with model='lstm', not None"):
      _claim(self.folder, {}, _FACTS)

  def test_a_fact_that_an_earlier_version_did_not_record_is_no_hindrance_to_equal_settings(self):
    _claim(self.folder, _SETTINGS, _FACTS)
    _claim(self.folder, _SETTINGS, _FACTS | dict(further='x'))

  def test_a_fact_is_needed_where_settings_say_nothing(self):
    _claim(self.folder, {}, _FACTS)
    with self.assertRaisesRegex(launch.UsageError, 'holds a run with further=None'):
      _claim(self.folder, {}, _FACTS | dict(further='x'))

  def test_what_cannot_go_on_as_asked_leaves_all_as_it_was(self):
    def refuse():
      raise launch.UsageError('no')

    _claim(self.folder, _SETTINGS, _FACTS)
    before = {path.name: path.read_bytes() for path in self.folder.iterdir()}
    with self.assertRaisesRegex(launch.UsageError, 'no'):
      _claim(self.folder, _SETTINGS | dict(rounds=9), _FACTS, refuse)
    self.assertEqual({path.name: path.read_bytes() for path in self.folder.iterdir()}, before)

  def test_json_is_strict(self):
    self.folder.mkdir(parents=True)
    found = {'a': math.inf, 'b': [math.nan, 1.5, {'c': -math.inf}], 'd': 'NaN', 'e': None, 'f': True}
    output.write_json(self.folder / 'x.json', found)
    written = json.loads((self.folder / 'x.json').read_text(), parse_constant=self.fail)
    self.assertEqual(written, {'a': None, 'b': [None, 1.5, {'c': None}], 'd': 'NaN', 'e': None, 'f': True})
    with self.assertRaises((TypeError, ValueError)):
      output.write_json(self.folder / 'x.json', {'a': {math.nan}})

  def test_flags_are_written_as_they_were_given(self):
    name = b'm\xf6del \xe4\xbd\xa0'
    _claim(self.folder, dict(model=os.fsdecode(name)), {})
    self.assertEqual((self.folder / 'run.flags').read_bytes(), b'--model=' + name + b'\n')

  def test_a_folder_with_other_files_is_refused(self):
    self.folder.mkdir(parents=True)
    (self.folder / 'thesis.tex').write_text('years of work')
    with self.assertRaisesRegex(launch.UsageError, 'holds other files and no run'):
      _claim(self.folder, _SETTINGS, _FACTS)

  @parameterized.parameters('', '[]', '{"settings": 3}', 'not json')
  def test_a_broken_config_is_refused(self, text):
    self.folder.mkdir(parents=True)
    (self.folder / 'config.json').write_text(text)
    with self.assertRaisesRegex(launch.UsageError, 'is not the config of a run'):
      _claim(self.folder, _SETTINGS, _FACTS)

  def test_a_half_written_file_is_not_taken_for_a_run(self):
    self.folder.mkdir(parents=True)
    (self.folder / 'config.json.unfinished').write_text('{"settings"')
    with self.assertRaises(launch.UsageError):
      _claim(self.folder, _SETTINGS, _FACTS)

  def test_what_a_kill_left_is_swept(self):
    self.folder.mkdir(parents=True)
    (self.folder / 'config.json.part').write_text('{"settings"')
    _claim(self.folder, _SETTINGS, _FACTS)
    for name in ('summary.json.part', 'metrics.csv_temp1234'):
      (self.folder / name).write_text('half')
    _claim(self.folder, _SETTINGS, _FACTS)
    self.assertCountEqual([path.name for path in self.folder.iterdir()], ['config.json', 'run.flags'])

  def test_others_are_kept_out(self):
    refused = self.assertRaisesRegex(launch.UsageError, 'another process writes to')
    with output.claimed(self.folder, _SETTINGS, _FACTS), refused:
      _claim(self.folder, _SETTINGS, _FACTS)
    _claim(self.folder, _SETTINGS, _FACTS)

  @parameterized.parameters(
    OSError(28, 'No space left on device'), tf.errors.ResourceExhaustedError(None, None, 'full')
  )
  def test_a_disk_that_refuses_ends_the_run(self, error):
    with self.assertRaisesRegex(launch.RunEnded, 'goes on from the last checkpoint'), records.saving(self.folder):
      raise error
