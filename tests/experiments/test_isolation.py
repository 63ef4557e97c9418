"""Nobody but its own program reaches an isolated worker, and nothing of it outlives the program."""

from collections.abc import Callable
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
from unittest import mock

from absl.testing import absltest
import numpy as np
import tensorflow_federated as tff

from experiments import runtime
from experiments import worker_process

_ROOT = pathlib.Path(__file__).parents[2]
_NOBODY = 65534
_LISTENING = '0A'  # From the kernel's <net/tcp_states.h>.

# A server in the standard library, for what needs no TFF: answers a client at a time, in capitals.
_SERVER = """
import socket, sys
with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:
  while True:
    connection, _ = server.accept()
    with connection:
      while data := connection.recv(2**16):
        connection.sendall(data.upper())
"""

# Starts the server, prints what there is to know of it, and waits to be killed.
_PROGRAM = """
import pathlib, sys, time
from experiments import worker_process

server, port, log_path = sys.argv[1:]
process = worker_process.start([sys.executable, server, port], int(port), pathlib.Path(log_path))
print(process.pid, process.address, flush=True)
time.sleep(60)
"""

_CONNECT = """
import os, socket, sys
if int(sys.argv[2]) != os.getuid():
  os.setgroups([])
  os.setgid(int(sys.argv[2]))
  os.setuid(int(sys.argv[2]))
client = socket.socket(socket.AF_UNIX)
try:
  client.connect(sys.argv[1])
  client.sendall(b'hello\\n')
  print('received', client.recv(100))
except OSError as error:
  print(error.strerror)
"""

# Runs the rest of its command line where the kernel grants no new network namespace: a limit of none, in a user namespace.
_FORBID = """
import ctypes, os, pathlib, sys
user = os.geteuid()
if ctypes.CDLL(None).unshare(0x10000000) == 0:
  pathlib.Path('/proc/self/uid_map').write_text(f'0 {user} 1')
  pathlib.Path('/proc/sys/user/max_net_namespaces').write_text('0')
os.execv(sys.argv[1], sys.argv[1:])
"""

# Runs the rest of its command line without the capability that creates network namespaces, as any user but root does.
_UNPRIVILEGED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 21, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_ADMIN: root has after an exec what the set holds.
os.execv(sys.argv[1], sys.argv[1:])
"""


def _free_port() -> int:
  with socket.create_server(('127.0.0.1', 0)) as server:
    return server.getsockname()[1]


def _happens_soon(condition: Callable[[], bool], seconds: float = 10) -> bool:
  deadline = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > deadline:
      return False
    time.sleep(0.02)
  return True


def _network(pid: int | str) -> str:
  try:
    return os.readlink(f'/proc/{pid}/ns/net')
  except OSError:  # It ended, or is not ours.
    return ''


def _processes_in(network: str) -> list[int]:
  return [int(path.name) for path in pathlib.Path('/proc').glob('[0-9]*') if _network(path.name) == network]


def _listening_ports(pid: int) -> set[int]:
  rows = []
  for table in ('tcp', 'tcp6'):
    rows += pathlib.Path(f'/proc/{pid}/net/{table}').read_text().splitlines()[1:]
  return {int(row.split()[1].rpartition(':')[2], 16) for row in rows if row.split()[3] == _LISTENING}


def _is_reachable(host: str, port: int) -> bool:
  try:
    socket.create_connection((host, port), timeout=5).close()
  except OSError:
    return False
  return True


def _answer(address: str, line: bytes) -> bytes:
  """What the server answers to this process; nothing as long as it does not listen yet."""
  with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(ConnectionError):
    client.settimeout(10)
    client.connect(address.removeprefix('unix:'))
    client.sendall(line)
    return client.recv(len(line))
  return b''


def _run_under(test: absltest.TestCase, program: str) -> None:
  """Starts workers by way of this program until the test ends."""
  path = test.directory / 'before.py'
  path.write_text(program)
  python = worker_process._PYTHON
  test.enter_context(mock.patch.object(worker_process, '_PYTHON', (*python, str(path), *python)))


class _TestCase(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    self.log_path = self.directory / 'worker.log'

  def skip_unless(self, is_isolated: bool):
    if not is_isolated:
      self.skipTest('this system allows no network namespaces')


class IsolatedServerTest(_TestCase):
  def setUp(self):
    super().setUp()
    self.server = self.directory / 'server.py'
    self.server.write_text(_SERVER)

  def start(self) -> worker_process.WorkerProcess:
    port = _free_port()
    process = worker_process.start([sys.executable, str(self.server), str(port)], port, self.log_path)
    self.addCleanup(process.stop)
    self.skip_unless(not process.exposed_because)
    self.assertTrue(
      _happens_soon(lambda: _answer(process.address, b'ready\n') == b'READY\n'), self.log_path.read_text()
    )
    return process

  def connect_elsewhere(self, process: worker_process.WorkerProcess, user: int) -> str:
    path = process.address.removeprefix('unix:')
    command = [sys.executable, '-I', '-S', '-c', _CONNECT, path, str(user)]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

  def test_is_reached_by_its_program_alone(self):
    process = self.start()
    self.assertIn(
      self.connect_elsewhere(process, os.getuid()), ("received b''", 'Broken pipe', 'Connection reset by peer')
    )
    self.assertEqual(_answer(process.address, b'still there\n'), b'STILL THERE\n')

  @absltest.skipIf(os.getuid() != 0, 'becoming another user takes root')
  def test_other_users_may_not_connect(self):
    self.assertEqual(self.connect_elsewhere(self.start(), _NOBODY), 'Permission denied')

  def test_nothing_listens_outside(self):
    (port,) = _listening_ports(self.start().pid)
    for host in ('127.0.0.1', '::1'):
      self.assertFalse(_is_reachable(host, port), host)

  def test_socket_and_its_directory_are_private(self):
    path = pathlib.Path(self.start().address.removeprefix('unix:'))
    self.assertTrue(stat.S_ISSOCK(path.stat().st_mode))
    self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
    self.assertEqual(stat.S_IMODE(path.parent.stat().st_mode), 0o700)

  def test_path_is_short_in_a_long_temporary_folder(self):
    folder = self.directory / ('long' * 30)
    folder.mkdir()
    self.enter_context(mock.patch.object(tempfile, 'tempdir', str(folder)))
    self.assertLess(len(self.start().address), len('unix:') + 108)

  def test_unprivileged_program_is_isolated_too(self):
    _run_under(self, _UNPRIVILEGED)
    process = self.start()
    self.assertNotEqual(_network(process.pid), _network('self'))
    # In a user namespace that holds its own user alone, so that it owns the files it writes.
    self.assertEqual(pathlib.Path(f'/proc/{process.pid}/uid_map').read_text().split(), [str(os.getuid())] * 2 + ['1'])

  def test_bytes_arrive_unchanged_and_the_pipe_stays_small(self):
    process = self.start()
    sent = np.random.default_rng(0).integers(0, 256, 40 * 10**6, np.uint8).tobytes().replace(b'\n', b'') + b'\n'
    with socket.socket(socket.AF_UNIX) as client:
      client.settimeout(30)
      client.connect(process.address.removeprefix('unix:'))
      sender = threading.Thread(target=client.sendall, args=(sent,))
      sender.start()
      with client.makefile('rb') as stream:
        received = stream.readline()
      sender.join()
    self.assertTrue(received == sent.upper())
    (pipe_pid,) = set(_processes_in(_network(process.pid))) - {process.pid}
    peak = next(row for row in pathlib.Path(f'/proc/{pipe_pid}/status').read_text().splitlines() if 'VmHWM' in row)
    self.assertLess(int(peak.split()[1]), 30_000)  # kB

  def test_stop_leaves_nothing(self):
    process = self.start()
    network = _network(process.pid)
    self.assertLen(_processes_in(network), 2)
    process.stop()
    self.assertEmpty(_processes_in(network))
    self.assertFalse(pathlib.Path(process.address.removeprefix('unix:')).parent.exists())

  def test_dead_server_is_noticed_and_its_pipe_ends(self):
    process = self.start()
    network = _network(process.pid)
    self.assertEqual(process.ending(), '')
    os.kill(process.pid, signal.SIGKILL)
    self.assertTrue(_happens_soon(lambda: process.ending() == 'worker ended by signal 9'))
    self.assertTrue(_happens_soon(lambda: not _processes_in(network)))
    self.assertFalse(pathlib.Path(process.address.removeprefix('unix:')).parent.exists())

  def test_dead_pipe_is_noticed(self):
    process = self.start()
    (pipe_pid,) = set(_processes_in(_network(process.pid))) - {process.pid}
    os.kill(pipe_pid, signal.SIGKILL)
    self.assertTrue(
      _happens_soon(lambda: process.ending() == 'worker cannot be reached any more: the pipe to it ended')
    )

  def test_killed_program_leaves_nothing(self):
    port = str(_free_port())
    command = [sys.executable, '-c', _PROGRAM, str(self.server), port, str(self.log_path)]
    environment = os.environ | {'PYTHONPATH': str(_ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
      self.addCleanup(program.kill)
      pid, address = program.stdout.readline().decode().split()
      self.skip_unless(address.startswith('unix:'))
      network = _network(pid)
      self.assertLen(_processes_in(network), 2)
      program.kill()
    self.assertTrue(_happens_soon(lambda: not _processes_in(network)))
    self.assertFalse(pathlib.Path(address.removeprefix('unix:')).parent.exists())


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


class LocalWorkerTest(_TestCase):
  def start(self) -> runtime.LocalWorker:
    return self.enter_context(runtime.local_runtime(self.log_path))

  def test_computes_without_a_port_outside(self):
    worker = self.start()
    self.skip_unless(worker.is_isolated)
    self.assertEqual(_total([1, 2, 3]), 6)
    ports = _listening_ports(worker.pid)
    self.assertNotEmpty(ports)
    for port in ports:
      self.assertFalse(_is_reachable('127.0.0.1', port) or _is_reachable('::1', port), port)

  def test_one_line_warns_where_namespaces_are_forbidden(self):
    _run_under(self, _FORBID)
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
      worker = self.start()
      worker.restart()
    self.assertFalse(worker.is_isolated)
    self.assertRegex(
      stderr.getvalue(),
      r"^warning: TFF's worker listens on port \d+ to all who reach this machine: no network namespace \(unshare: .+\)\n$",
    )
    self.assertEqual(_total([1, 2, 3]), 6)
    (port,) = _listening_ports(worker.pid) & {int(worker._process.address.rpartition(':')[2])}
    self.assertTrue(_is_reachable('127.0.0.1', port))


if __name__ == '__main__':
  absltest.main()
