"""A cached file is there whole or not at all, in a folder the user can choose."""

import pathlib
import threading
import time

import pytest

from data import cache
from data import errors


def test_the_folder_follows_the_environment(monkeypatch, tmp_path: pathlib.Path):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.delenv('LEANFED_CACHE', raising=False)
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  assert cache.default_dir() == tmp_path / '.cache' / 'leanfed'
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
  assert cache.default_dir() == tmp_path / 'xdg' / 'leanfed'
  monkeypatch.setenv('LEANFED_CACHE', '~/mine')
  assert cache.default_dir() == tmp_path / 'mine'


def test_left_overs_are_swept_and_finished_files_stay(tmp_path: pathlib.Path):
  for name in ('a.sqlite.part', 'b.texts.part', 'c.sqlite'):
    (tmp_path / name).write_text('x')
  with cache.exclusive(tmp_path):
    assert sorted(path.name for path in tmp_path.iterdir()) == ['c.sqlite', 'prepare.lock']


def test_an_exception_leaves_no_file(tmp_path: pathlib.Path):
  with pytest.raises(KeyError), cache.temporary(tmp_path / 'a') as path:
    path.write_text('half')
    raise KeyError
  assert not list(tmp_path.iterdir())


def test_publishing_gives_the_final_name(tmp_path: pathlib.Path):
  with cache.temporary(tmp_path / 'a') as path:
    path.write_text('whole')
    cache.publish(path, tmp_path / 'a')
  assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [('a', 'whole')]


def test_one_at_a_time_holds_the_lock(tmp_path: pathlib.Path, capsys):
  order = []

  def wait_for_it() -> None:
    with cache.exclusive(tmp_path):
      order.append('second')

  with cache.exclusive(tmp_path):
    thread = threading.Thread(target=wait_for_it)
    thread.start()
    deadline, said = time.monotonic() + 20, ''
    while 'waiting for another program' not in said and time.monotonic() < deadline:
      said += capsys.readouterr().err
      time.sleep(0.01)
    order.append('first')
  thread.join(20)
  assert order == ['first', 'second']
  assert 'waiting for another program' in said


def test_a_folder_that_cannot_be_made_is_named(tmp_path: pathlib.Path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.DataError, match='LEANFED_CACHE'), cache.exclusive(tmp_path / 'file' / 'below'):
    pass
