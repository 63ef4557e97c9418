"""A checkpoint is whole or it is not used."""

import collections
import pathlib
import re
import shutil

import numpy as np
import pytest

from experiments.federated import checkpoints


def _state(round_number: int) -> collections.OrderedDict:
  return collections.OrderedDict(
    weights=(np.full([3, 2], round_number, np.float32), np.float32(0.1)), count=np.int64(2**40), nothing=()
  )


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
  """A folder that is not there yet."""
  return tmp_path / 'checkpoints'


def _save(folder, *round_numbers):
  kept = checkpoints.Checkpoints(folder)
  for round_number in round_numbers:
    kept.save(_state(round_number), round_number)


def _load_latest(folder):
  return checkpoints.Checkpoints(folder).load_latest(_state(0))


def _file_of(folder, round_number, part_of_name):
  return next(path for path in (folder / f'round_{round_number}').rglob(f'*{part_of_name}*') if path.is_file())


def test_nothing_to_load(folder):
  assert _load_latest(folder) is None


def test_the_newest_comes_back_with_its_types(folder, capsys):
  _save(folder, 0, 10, 20, 30)
  state, round_number = _load_latest(folder)
  assert round_number == 30
  np.testing.assert_array_equal(state['weights'][0], np.full([3, 2], 30))
  assert [leaf.dtype for leaf in state['weights']] == [np.float32, np.float32]
  assert (state['count'], state['count'].dtype) == (2**40, np.int64)
  assert sorted(path.name for path in folder.iterdir()) == ['round_10', 'round_20', 'round_30']
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('damage', ['truncated', 'one bit', 'without a file', 'with another file'])
def test_a_damaged_one_is_named_and_the_one_before_used(damage, folder, capsys):
  _save(folder, 10, 20)
  path = _file_of(folder, 20, 'variables.data')
  content = path.read_bytes()
  if damage == 'truncated':
    path.write_bytes(content[:-1])
  elif damage == 'one bit':
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
  elif damage == 'without a file':
    path.unlink()
  else:
    (path.parent / 'more').write_text('')
  state, round_number = _load_latest(folder)
  assert round_number == 10
  assert state['weights'][0][0, 0] == 10
  assert re.search('round 20 .* is damaged: looking for the one before', capsys.readouterr().err)
  assert [path.name for path in folder.iterdir()] == ['round_10']


def test_what_a_kill_left_is_swept_in_silence(folder, capsys):
  _save(folder, 10, 20)
  shutil.copytree(folder / 'round_10', folder / 'round_30_temp4711')
  _file_of(folder, 20, 'SHA256').unlink()
  assert _load_latest(folder)[1] == 10
  assert capsys.readouterr().err == ''
  assert [path.name for path in folder.iterdir()] == ['round_10']


def test_an_unfinished_one_can_be_written_again(folder):
  _save(folder, 10)
  _file_of(folder, 10, 'SHA256').unlink()
  _save(folder, 10)
  assert _load_latest(folder)[1] == 10


def test_all_damaged_is_as_none(folder):
  _save(folder, 10)
  _file_of(folder, 10, 'variables.data').write_bytes(b'')
  assert _load_latest(folder) is None
