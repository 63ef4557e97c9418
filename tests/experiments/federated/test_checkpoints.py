"""A checkpoint is whole or it is not used."""

import asyncio
import collections
import contextlib
import io
import pathlib
import shutil
import tempfile

from absl.testing import parameterized
import numpy as np

from experiments.federated import checkpoints


def _state(round_number: int) -> collections.OrderedDict:
  return collections.OrderedDict(
    weights=(np.full([3, 2], round_number, np.float32), np.float32(0.1)), count=np.int64(2**40), nothing=()
  )


class CheckpointsTest(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()), 'checkpoints')

  def _save(self, *round_numbers):
    kept = checkpoints.Checkpoints(self.folder)
    for round_number in round_numbers:
      asyncio.run(kept.save(_state(round_number), round_number))

  def _load_latest(self):
    self.stderr = io.StringIO()
    with contextlib.redirect_stderr(self.stderr):
      return asyncio.run(checkpoints.Checkpoints(self.folder).load_latest(_state(0)))

  def _file_of(self, round_number, part_of_name):
    return next(path for path in (self.folder / f'round_{round_number}').rglob(f'*{part_of_name}*') if path.is_file())

  def test_nothing_to_load(self):
    self.assertIsNone(self._load_latest())

  def test_the_newest_comes_back_with_its_types(self):
    self._save(0, 10, 20, 30)
    state, round_number = self._load_latest()
    self.assertEqual(round_number, 30)
    np.testing.assert_array_equal(state['weights'][0], np.full([3, 2], 30))
    self.assertEqual([leaf.dtype for leaf in state['weights']], [np.float32, np.float32])
    self.assertEqual((state['count'], state['count'].dtype), (2**40, np.int64))
    self.assertCountEqual([path.name for path in self.folder.iterdir()], ['round_10', 'round_20', 'round_30'])
    self.assertEmpty(self.stderr.getvalue())

  @parameterized.parameters('truncated', 'one bit', 'without a file', 'with another file')
  def test_a_damaged_one_is_named_and_the_one_before_used(self, damage):
    self._save(10, 20)
    path = self._file_of(20, 'variables.data')
    content = path.read_bytes()
    if damage == 'truncated':
      path.write_bytes(content[:-1])
    elif damage == 'one bit':
      path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    elif damage == 'without a file':
      path.unlink()
    else:
      (path.parent / 'more').write_text('')
    state, round_number = self._load_latest()
    self.assertEqual(round_number, 10)
    self.assertEqual(state['weights'][0][0, 0], 10)
    self.assertRegex(self.stderr.getvalue(), 'round 20 .* is damaged: looking for the one before')
    self.assertEqual([path.name for path in self.folder.iterdir()], ['round_10'])

  def test_what_a_kill_left_is_swept_in_silence(self):
    self._save(10, 20)
    shutil.copytree(self.folder / 'round_10', self.folder / 'round_30_temp4711')
    self._file_of(20, 'SHA256').unlink()
    self.assertEqual(self._load_latest()[1], 10)
    self.assertEmpty(self.stderr.getvalue())
    self.assertEqual([path.name for path in self.folder.iterdir()], ['round_10'])

  def test_an_unfinished_one_can_be_written_again(self):
    self._save(10)
    self._file_of(10, 'SHA256').unlink()
    self._save(10)
    self.assertEqual(self._load_latest()[1], 10)

  def test_all_damaged_is_as_none(self):
    self._save(10)
    self._file_of(10, 'variables.data').write_bytes(b'')
    self.assertIsNone(self._load_latest())
