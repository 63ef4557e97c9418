"""A run inside a tracking package has each row once, whatever happened on the way."""

import signal

import pytest

from experiments.command import failures
from experiments.loggers import tracked
from tests.experiments.loggers import run_folder


class _Store:
  """What a package keeps of one run, over processes."""

  def __init__(self):
    self.steps, self.begun, self.ends, self.summary = [], [], [], None

  def begin(self, kept: tracked.LoggedRun) -> tracked.Sink:
    self.begun.append(kept)
    return self

  def first_missing(self) -> int:
    return self.steps[-1][0] + 1 if self.steps else 0

  def log(self, step, values):
    self.steps.append((step, dict(values)))

  def conclude(self, summary):
    self.summary = dict(summary)

  def close(self, ending):
    self.ends.append(ending.value)


_LOGGED = [
  (0, {'round': 0, 'eval/loss': 3.5}),
  (1, {'round': 1, 'train/loss': 3.25}),
  (2, {'round': 2, 'train/loss': 3.0, 'eval/loss': 2.5}),
]


def _log(folder, store, *rounds):
  with tracked.logged(folder, 'package', store.begin) as on_row:
    for number in rounds:
      run_folder.write(folder, number + 1)
      on_row(dict(run_folder.ROWS[number]))
    if 2 in rounds:
      run_folder.end(folder)


def test_logs_what_was_measured_and_the_summary(tmp_path):
  store = _Store()
  _log(run_folder.begin(tmp_path / 'mine'), store, 0, 1, 2)
  assert store.steps == _LOGGED
  assert store.summary == {'rounds': 2, 'eval/loss': 2.5, 'peak_rss_bytes/main': 7, 'dataset_hash': 'abc'}
  assert store.ends == ['finished']


def test_a_run_that_goes_on_has_no_row_twice(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine')
  with pytest.raises(failures.RunEnded, match=r'^killed$'), tracked.logged(folder, 'package', store.begin) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    on_row(dict(run_folder.ROWS[1]))
    raise failures.RunEnded('killed')
  _log(folder, store, 1, 2)  # The last checkpoint was that of round 0.
  assert store.steps == _LOGGED
  assert store.ends == ['failed', 'finished']
  assert store.begun[0].id == store.begun[1].id


def test_rows_that_the_package_lacks_come_from_the_file(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine', rows=2)
  _log(folder, store, 2)
  assert store.steps == _LOGGED


def test_a_finished_run_is_logged_when_it_is_continued(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine', rows=3)
  run_folder.end(folder)
  _log(folder, store)
  _log(folder, store)
  assert store.steps == _LOGGED
  assert store.summary['eval/loss'] == 2.5
  assert store.ends == ['finished', 'finished']


def test_rows_beyond_the_checkpoint_that_a_run_goes_on_from_are_not_taken_from_the_file(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine', rows=3)
  with tracked.logged(folder, 'package', store.begin) as on_row:
    on_row({'round': 1, 'train/loss': 9.0})
    assert store.steps == [_LOGGED[0], (1, {'round': 1, 'train/loss': 9.0})]


@pytest.mark.parametrize(('error', 'ending'), [(KeyError('x'), 'failed'), (failures.Stopped(signal.SIGTERM), 'killed')])
def test_an_early_end_is_told_and_raised_as_it_is(error, ending, tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine')
  with pytest.raises(type(error)) as raised, tracked.logged(folder, 'package', store.begin) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise error
  assert raised.value is error
  assert store.ends == [ending] and store.summary is None


def test_what_the_package_refuses_ends_the_run_in_one_line(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine')
  store.log = lambda step, values: 1 / 0
  with pytest.raises(failures.RunEnded) as raised:
    _log(folder, store, 0)
  assert str(raised.value) == (
    'package refuses what the run logs (ZeroDivisionError: division by zero); mend that, or choose another --log_to, and '
    'the same command goes on'
  )
  assert store.ends == ['failed']


def test_an_end_that_fails_does_not_hide_what_ended_the_run(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine')
  store.close = lambda ending: 1 / 0
  with pytest.raises(KeyError), tracked.logged(folder, 'package', store.begin) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise KeyError


def test_a_folder_without_a_run_is_left_alone(tmp_path):
  store = _Store()
  with tracked.logged(tmp_path / 'nothing', 'package', store.begin):
    pass
  assert store.begun == [] and not (tmp_path / 'nothing').exists()


def test_a_run_is_known_by_its_folder_wherever_that_lies(tmp_path):
  store = _Store()
  for name in ('a', 'b'):
    _log(run_folder.begin(tmp_path / name), store, 0)
  _log((tmp_path / 'a').rename(tmp_path / 'c'), store, 1)
  assert [kept.name for kept in store.begun] == ['a', 'b', 'c']
  ids = [kept.id for kept in store.begun]
  assert ids[0] == ids[2] != ids[1]
  assert store.begun[0].config == {'settings': run_folder.SETTINGS, 'dataset_hash': 'abc'}


def test_stages_and_their_training_are_a_group(tmp_path, monkeypatch):
  store = _Store()
  monkeypatch.setitem(run_folder.SETTINGS, 'stages', 'layerwise')
  _log(run_folder.begin(tmp_path / 'mine'), store, 0)
  _log(run_folder.begin(tmp_path / 'mine' / 'stage_02', stage=2), store, 1)
  assert [(kept.name, kept.group) for kept in store.begun] == [('mine', 'mine'), ('mine/stage_02', 'mine')]


def test_a_training_in_one_place_is_logged_by_steps(tmp_path):
  store, folder = _Store(), run_folder.begin(tmp_path / 'mine')
  with tracked.logged(folder, 'package', store.begin) as on_row:
    on_row({'step': 200, 'train/loss': None, 'eval/loss': 1.0})
  assert store.steps == [(200, {'step': 200, 'eval/loss': 1.0})]
