"""A checkpoint is whole or it is not used."""

import collections
import pathlib
import re
import shutil
import signal
import time

import numpy as np
import pytest

from experiments.command import failures
from experiments.federated import checkpoints
from tests import binaries


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


def _file_of(folder, round_number):
  return folder / f'round_{round_number}.safetensors'


def test_nothing_to_load(folder):
  assert _load_latest(folder) is None


def test_the_newest_comes_back_with_its_types(folder, capsys):
  _save(folder, 0, 10, 20, 30)
  state, round_number = _load_latest(folder)
  assert round_number == 30
  np.testing.assert_array_equal(state['weights'][0], np.full([3, 2], 30))
  assert [leaf.dtype for leaf in state['weights']] == [np.float32, np.float32]
  assert (state['count'], state['count'].dtype) == (2**40, np.int64)
  assert sorted(path.name for path in folder.iterdir()) == [
    'round_10.safetensors',
    'round_20.safetensors',
    'round_30.safetensors',
  ]
  assert capsys.readouterr().err == ''


@pytest.mark.parametrize('damage', [lambda content: content[:-1], lambda content: b'', lambda content: content + b' '])
def test_a_damaged_one_is_named_and_the_one_before_used(damage, folder, capsys):
  _save(folder, 10, 20)
  _file_of(folder, 20).write_bytes(damage(_file_of(folder, 20).read_bytes()))
  state, round_number = _load_latest(folder)
  assert round_number == 10
  assert state['weights'][0][0, 0] == 10
  assert re.search('round 20 .* is damaged: looking for the one before', capsys.readouterr().err)
  assert [path.name for path in folder.iterdir()] == ['round_10.safetensors']


def test_no_bit_that_the_disk_turns_is_overlooked(folder):
  _save(folder, 10)
  content = _file_of(folder, 10).read_bytes()
  for position in range(len(content)):
    _file_of(folder, 10).write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
    assert _load_latest(folder) is None


def test_what_a_kill_left_is_swept_in_silence(folder, capsys):
  _save(folder, 10)
  shutil.copy(_file_of(folder, 10), folder / 'round_20.safetensors.part')
  assert _load_latest(folder)[1] == 10
  assert capsys.readouterr().err == ''
  assert [path.name for path in folder.iterdir()] == ['round_10.safetensors']


_SAVES_ON = """
import pathlib, sys
from experiments.federated import checkpoints
from tests import binaries
from tests.experiments.federated import test_checkpoints
kept = checkpoints.Checkpoints(pathlib.Path(sys.argv[1]))
for round_number in range(10**6):
  kept.save(test_checkpoints._state(round_number), round_number)
"""


def test_a_kill_while_it_is_written_costs_no_earlier_one(folder, tmp_path, capsys):
  script = tmp_path / 'saves_on.py'
  script.write_text(_SAVES_ON)
  for number in range(5):
    with binaries.running(str(script), [str(folder)]) as process:
      while not _file_of(folder, 2).exists():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.001)
      time.sleep(0.0007 * number)
      process.send_signal(signal.SIGKILL)
      process.wait(30)
    state, round_number = _load_latest(folder)
    assert round_number >= 2 and state['weights'][0][0, 0] == round_number
    assert len(list(folder.iterdir())) <= 4  # A kill may come before the oldest is removed.
    for path in folder.iterdir():
      path.unlink()
  assert capsys.readouterr().err == ''


def test_a_round_that_is_done_again_takes_the_place_of_its_state(folder):
  kept = checkpoints.Checkpoints(folder)
  kept.save(_state(1), 10)
  kept.save(_state(2), 10)
  assert _load_latest(folder)[0]['weights'][0][0, 0] == 2


def test_all_damaged_is_as_none(folder):
  _save(folder, 10)
  _file_of(folder, 10).write_bytes(b'')
  assert _load_latest(folder) is None


def test_those_of_other_versions_are_kept_and_refused(folder):
  _save(folder, 10)
  with pytest.raises(
    failures.UsageError, match=r'another version of this suite wrote the checkpoints in .*choose a new'
  ):
    checkpoints.Checkpoints(folder).load_latest([_state(0), 1])
  assert _load_latest(folder)[1] == 10
  _file_of(folder, 10).unlink()
  (folder / 'round_10').mkdir()
  with pytest.raises(failures.UsageError, match='another version'):
    _load_latest(folder)
  assert (folder / 'round_10').exists()
