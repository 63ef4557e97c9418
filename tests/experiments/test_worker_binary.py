"""The binary that offers a worker says how to use it, refuses what cannot be, and leaves nothing behind."""

import contextlib
import io
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

from absl import flags
from absl.testing import absltest
from absl.testing import flagsaver
from absl.testing import parameterized

from experiments import worker
from experiments.command import launch
from experiments.workers import offered_worker
from experiments.workers import worker_connection
from tests import language_model_runs

_ROOT = pathlib.Path(__file__).parents[2]


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


class _TestCase(parameterized.TestCase):
  def setUp(self):
    super().setUp()
    if not flags.FLAGS.is_parsed():
      flags.FLAGS(['test'])
    self.directory = self.enter_context(tempfile.TemporaryDirectory())
    self.path = os.path.join(self.directory, 'a.sock')


class BinaryTest(_TestCase):
  def test_offers_a_worker_until_it_is_told_to_end(self):
    command = [sys.executable, '-m', 'experiments.worker', f'--socket={self.path}']
    binary = self.enter_context(subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, text=True))
    self.addCleanup(binary.kill)  # Before the wait of the context.
    line = binary.stdout.readline()
    self.assertIn(f'ssh -N -o ServerAliveInterval=15 -L $PWD/a.sock:{self.path} {socket.gethostname()}', line)
    self.assertIn('--runtime=\'remote(workers=["unix:a.sock"])\'', line)
    self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
    self.assertTrue(_answers(self.path))
    with self.assertRaisesRegex(launch.UsageError, 'is in use: end the worker there'):
      offered_worker.make_room(self.path)
    binary.terminate()
    self.assertEqual(binary.stdout.read(), '')
    binary.wait()
    self.assertEqual(binary.returncode, 0)
    self.assertEqual(os.listdir(self.directory), ['a.sock.log'])
    self.assertEmpty([command for command in _processes_naming(f' {binary.pid} ') if 'worker_binary' in command])


class MainTest(_TestCase):
  def offer_until(self, end) -> None:
    """Runs the binary's main; another thread calls `end` when it says that the worker is ready."""
    stdout = self.enter_context(contextlib.redirect_stdout(io.StringIO()))

    def wait_and_end():
      while not stdout.getvalue():
        time.sleep(0.1)
      try:
        end()
      except Exception:
        os.kill(os.getpid(), signal.SIGINT)  # Nothing else would end it.
        raise

    for number in (signal.SIGINT, signal.SIGTERM):
      self.addCleanup(signal.signal, number, signal.getsignal(number))
    ender = threading.Thread(target=wait_and_end, daemon=True)
    ender.start()
    with flagsaver.flagsaver(socket=self.path):
      worker.main()
    ender.join()

  def test_ctrl_c_leaves_no_socket(self):
    self.offer_until(lambda: os.kill(os.getpid(), signal.SIGINT))
    self.assertEqual(os.listdir(self.directory), ['a.sock.log'])

  def test_says_so_when_the_worker_dies(self):
    others = set(language_model_runs.worker_pids(os.getpid()))

    def kill_worker():
      (pid,) = set(language_model_runs.worker_pids(os.getpid())) - others
      os.kill(pid, signal.SIGKILL)

    with self.assertRaises(SystemExit) as ending:
      self.offer_until(kill_worker)
    self.assertEqual(ending.exception.code, f"error: TFF's worker ended by signal 9; see {self.path}.log")
    self.assertEqual(os.listdir(self.directory), ['a.sock.log'])


class MakeRoomTest(_TestCase):
  def test_replaces_a_socket_that_was_left_over(self):
    with socket.socket(socket.AF_UNIX) as listener:
      listener.bind(self.path)
    offered_worker.make_room(self.path)
    self.assertFalse(os.path.exists(self.path))

  def test_refuses_another_kind_of_file(self):
    pathlib.Path(self.path).touch()
    with self.assertRaisesRegex(launch.UsageError, 'is a file of another kind: choose another path'):
      offered_worker.make_room(self.path)

  @parameterized.parameters(
    ('/no/such/folder/a.sock', 'there is no folder /no/such/folder; make it'),
    ('/tmp/' + 'long' * 26, 'has 109 bytes, and the system allows 107: choose a shorter path'),
  )
  def test_refuses_path(self, path, message):
    with self.assertRaisesRegex(launch.UsageError, message):
      offered_worker.make_room(path)

  def test_needs_a_socket(self):
    with flagsaver.flagsaver(socket=None), self.assertRaisesRegex(launch.UsageError, '--socket is missing'):
      worker.main()


if __name__ == '__main__':
  absltest.main()
