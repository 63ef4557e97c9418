"""The binary that offers a worker says how to use it, refuses what cannot be, and leaves nothing behind."""

import contextlib
import gc
import io
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from experiments import worker
from experiments.command import failures
from experiments.workers import offered_worker
from experiments.workers import worker_connection
from tests import language_model_runs

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def offered(tmp_path: pathlib.Path) -> str:
  """The path of a socket that is not there yet."""
  return str(tmp_path / 'a.sock')


def _answers(path: str) -> bool:
  with worker_connection.connect(f'unix:{path}') as channel:
    return worker_connection.answers(channel, timeout_seconds=20)


def _processes_naming(text: str) -> list[str]:
  found = []
  for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
    try:
      command = path.read_bytes().replace(b'\0', b' ').decode(errors='replace')
    except OSError:  # It has ended.
      continue
    found += [command] if text in command else []
  return found


def test_offers_a_worker_until_it_is_told_to_end(offered, stack):
  command = [sys.executable, '-m', 'experiments.worker', f'--socket={offered}']
  binary = stack.enter_context(subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True))
  stack.callback(binary.kill)  # Before the wait of the context.
  line = binary.stdout.readline()
  assert f'ssh -N -o ServerAliveInterval=15 -L $PWD/a.sock:{offered} {socket.gethostname()}' in line
  assert '--runtime=\'remote(workers=["unix:a.sock"])\'' in line
  assert stat.S_IMODE(os.stat(offered).st_mode) == 0o600
  assert _answers(offered)
  with pytest.raises(failures.UsageError, match='is in use: end the worker there'):
    offered_worker.make_room(offered)
  binary.terminate()
  assert binary.stdout.read() == ''
  binary.wait()
  assert binary.returncode == 0
  assert os.listdir(os.path.dirname(offered)) == ['a.sock.log']
  assert not [command for command in _processes_naming(f' {binary.pid} ') if 'worker_binary' in command]


def _offer_until(offered, stack, end) -> None:
  """Runs the binary's main; another thread calls `end` when it says that the worker is ready."""
  stdout = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))

  def wait_and_end():
    while not stdout.getvalue():
      time.sleep(0.1)
    try:
      end()
    except Exception:
      os.kill(os.getpid(), signal.SIGINT)  # Nothing else would end it.
      raise

  gc.disable()  # Hypothesis has the collector call it, and an interrupt that came in there would be lost.
  stack.callback(gc.enable)
  for number in (signal.SIGINT, signal.SIGTERM):
    stack.callback(signal.signal, number, signal.getsignal(number))
  ender = threading.Thread(target=wait_and_end, daemon=True)
  ender.start()
  worker.main(worker.FLAGS.read(dict(socket=offered)))
  ender.join()


def test_ctrl_c_leaves_no_socket(offered, stack):
  _offer_until(offered, stack, lambda: os.kill(os.getpid(), signal.SIGINT))
  assert os.listdir(os.path.dirname(offered)) == ['a.sock.log']


def test_main_says_so_when_the_worker_dies(offered, stack):
  others = set(language_model_runs.worker_pids(os.getpid()))

  def kill_worker():
    (pid,) = set(language_model_runs.worker_pids(os.getpid())) - others
    os.kill(pid, signal.SIGKILL)

  with pytest.raises(SystemExit) as ending:
    _offer_until(offered, stack, kill_worker)
  assert ending.value.code == f"error: TFF's worker ended by signal 9; see {offered}.log"
  assert os.listdir(os.path.dirname(offered)) == ['a.sock.log']


def test_replaces_a_socket_that_was_left_over(offered):
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(offered)
  offered_worker.make_room(offered)
  assert not os.path.exists(offered)


def test_make_room_refuses_another_kind_of_file(offered):
  pathlib.Path(offered).touch()
  with pytest.raises(failures.UsageError, match='is a file of another kind: choose another path'):
    offered_worker.make_room(offered)


@pytest.mark.parametrize(
  ('refused', 'message'),
  [
    ('/no/such/folder/a.sock', 'there is no folder /no/such/folder; make it'),
    ('/tmp/' + 'long' * 26, 'has 109 bytes, and the system allows 107: choose a shorter path'),
  ],
)
def test_make_room_refuses_path(refused, message):
  with pytest.raises(failures.UsageError, match=message):
    offered_worker.make_room(refused)


@pytest.mark.usefixtures('offered')
def test_make_room_needs_a_socket():
  with pytest.raises(failures.UsageError, match='--socket is missing'):
    worker.main(worker.FLAGS.read({}))
