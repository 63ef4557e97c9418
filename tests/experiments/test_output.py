"""A folder belongs to one run: claimed once, continued by the same settings, never taken over."""

import json
import pathlib
import sys
import tempfile

from absl.testing import parameterized
import tensorflow as tf

from experiments import launch
from experiments import output
from experiments import records

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

  def test_a_path_that_is_a_file_is_refused(self):
    self.folder.parent.mkdir(parents=True)
    self.folder.write_text('')
    with self.assertRaisesRegex(launch.UsageError, 'choose a folder you can write'):
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
