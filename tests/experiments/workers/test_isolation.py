"""Nobody but its own program reaches an isolated worker, and nothing of it outlives the program."""

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
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import numpy as np
import tensorflow_federated as tff

from experiments.workers import local_runtime
from experiments.workers import worker_process
from tests import isolated_server

_ROOT = pathlib.Path(__file__).parents[3]

# Starts the server, prints what there is to know of it, and waits to be killed.
_PROGRAM = """
import pathlib, sys, time
from experiments.workers import worker_process

server, port, log_path = sys.argv[1:]
process = worker_process.start([sys.executable, server, port], int(port), pathlib.Path(log_path))
print(process.pid, process.address, flush=True)
time.sleep(60)
"""

# Runs the rest of its command line without the capability that creates network namespaces, as any user but root does.
_UNPRIVILEGED = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 21, 0, 0, 0)  # PR_CAPBSET_DROP, CAP_SYS_ADMIN: root has after an exec what the set holds.
os.execv(sys.argv[1], sys.argv[1:])
"""


class _TestCase(parameterized.TestCase):
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
    self.server.write_text(isolated_server.SERVER)

  def start(self) -> worker_process.WorkerProcess:
    port = isolated_server.free_port()
    process = worker_process.start([sys.executable, str(self.server), str(port)], port, self.log_path)
    self.addCleanup(process.stop)
    self.skip_unless(not process.exposed_because)
    self.assertTrue(
      isolated_server.happens_soon(lambda: isolated_server.answer(process.address, b'ready\n') == b'READY\n'),
      self.log_path.read_text(),
    )
    return process

  def test_is_reached_by_its_program_alone(self):
    process = self.start()
    self.assertIn(
      isolated_server.connect_elsewhere(process, os.getuid()),
      ("received b''", 'Broken pipe', 'Connection reset by peer'),
    )
    self.assertEqual(isolated_server.answer(process.address, b'still there\n'), b'STILL THERE\n')

  @absltest.skipIf(os.getuid() != 0, 'becoming another user takes root')
  def test_other_users_may_not_connect(self):
    self.assertEqual(isolated_server.connect_elsewhere(self.start(), isolated_server.NOBODY), 'Permission denied')

  def test_nothing_listens_outside(self):
    (port,) = isolated_server.listening_ports(self.start().pid)
    for host in ('127.0.0.1', '::1'):
      self.assertFalse(isolated_server.is_reachable(host, port), host)

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
    isolated_server.run_under(self, self.directory, _UNPRIVILEGED)
    process = self.start()
    self.assertNotEqual(isolated_server.network_of(process.pid), isolated_server.network_of('self'))
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
    (pipe_pid,) = set(isolated_server.processes_in(isolated_server.network_of(process.pid))) - {process.pid}
    peak = next(row for row in pathlib.Path(f'/proc/{pipe_pid}/status').read_text().splitlines() if 'VmHWM' in row)
    self.assertLess(int(peak.split()[1]), 30_000)  # kB

  def test_stop_leaves_nothing(self):
    process = self.start()
    network = isolated_server.network_of(process.pid)
    self.assertLen(isolated_server.processes_in(network), 2)
    process.stop()
    self.assertTrue(isolated_server.happens_soon(lambda: not isolated_server.processes_in(network)))
    self.assertFalse(pathlib.Path(process.address.removeprefix('unix:')).parent.exists())

  def test_dead_server_is_noticed_and_its_pipe_ends(self):
    process = self.start()
    network = isolated_server.network_of(process.pid)
    self.assertEqual(process.ending(), '')
    os.kill(process.pid, signal.SIGKILL)
    self.assertTrue(isolated_server.happens_soon(lambda: process.ending() == 'worker ended by signal 9'))
    self.assertTrue(isolated_server.happens_soon(lambda: not isolated_server.processes_in(network)))
    self.assertFalse(pathlib.Path(process.address.removeprefix('unix:')).parent.exists())

  def test_dead_pipe_is_noticed(self):
    process = self.start()
    (pipe_pid,) = set(isolated_server.processes_in(isolated_server.network_of(process.pid))) - {process.pid}
    os.kill(pipe_pid, signal.SIGKILL)
    self.assertTrue(
      isolated_server.happens_soon(
        lambda: process.ending() == 'worker cannot be reached any more: the pipe to it ended'
      )
    )

  def test_killed_program_leaves_nothing(self):
    port = str(isolated_server.free_port())
    command = [sys.executable, '-c', _PROGRAM, str(self.server), port, str(self.log_path)]
    environment = os.environ | {'PYTHONPATH': str(_ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
      self.addCleanup(program.kill)
      pid, address = program.stdout.readline().decode().split()
      self.skip_unless(address.startswith('unix:'))
      network = isolated_server.network_of(pid)
      self.assertLen(isolated_server.processes_in(network), 2)
      program.kill()
    self.assertTrue(isolated_server.happens_soon(lambda: not isolated_server.processes_in(network)))
    self.assertFalse(pathlib.Path(address.removeprefix('unix:')).parent.exists())


class OfferedServerTest(_TestCase):
  def offer(self) -> worker_process.WorkerProcess:
    server, port = self.directory / 'server.py', isolated_server.free_port()
    server.write_text(isolated_server.SERVER)
    path = str(self.directory / 'a.sock')
    process = worker_process.offer([sys.executable, str(server), str(port)], port, self.log_path, path)
    self.addCleanup(process.stop)
    self.assertTrue(
      isolated_server.happens_soon(lambda: isolated_server.answer(process.address, b'ready\n') == b'READY\n')
    )
    return process

  def test_serves_this_user_alone(self):
    process = self.offer()
    path = pathlib.Path(process.address.removeprefix('unix:'))
    self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
    self.assertEqual(isolated_server.connect_elsewhere(process, os.getuid()), "received b'HELLO\\n'")
    (port,) = isolated_server.listening_ports(process.pid)
    self.assertFalse(isolated_server.is_reachable('127.0.0.1', port) or isolated_server.is_reachable('::1', port))
    if os.getuid() == 0:  # Becoming another user takes root.
      self.directory.chmod(0o755)
      self.assertEqual(isolated_server.connect_elsewhere(process, isolated_server.NOBODY), 'Permission denied')
      path.chmod(0o666)
      self.assertNotIn('HELLO', isolated_server.connect_elsewhere(process, isolated_server.NOBODY))

  @parameterized.parameters('stop', 'SIGKILL')
  def test_end_leaves_the_folder_without_the_socket(self, ending):
    process = self.offer()
    network = isolated_server.network_of(process.pid)
    process.stop() if ending == 'stop' else os.kill(process.pid, signal.SIGKILL)
    self.assertTrue(isolated_server.happens_soon(lambda: not isolated_server.processes_in(network)))
    self.assertCountEqual(os.listdir(self.directory), ['server.py', 'worker.log'])

  def test_is_refused_where_namespaces_are_forbidden(self):
    isolated_server.run_under(self, self.directory, isolated_server.FORBID)
    with self.assertRaisesRegex(worker_process.NotIsolatedError, '^unshare: '):
      self.offer()
    self.assertFalse((self.directory / 'a.sock').exists())


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


class LocalWorkerTest(_TestCase):
  def start(self) -> local_runtime.LocalWorker:
    return self.enter_context(local_runtime.local_runtime(self.log_path))

  def test_computes_without_a_port_outside(self):
    worker = self.start()
    self.skip_unless(worker.is_isolated)
    self.assertEqual(_total([1, 2, 3]), 6)
    ports = isolated_server.listening_ports(worker.pid)
    self.assertNotEmpty(ports)
    for port in ports:
      self.assertFalse(
        isolated_server.is_reachable('127.0.0.1', port) or isolated_server.is_reachable('::1', port), port
      )

  def test_one_line_warns_where_namespaces_are_forbidden(self):
    isolated_server.run_under(self, self.directory, isolated_server.FORBID)
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
      worker = self.start()
      worker.restart()
    self.assertFalse(worker.is_isolated)
    self.assertRegex(
      stderr.getvalue(),
      r"^warning: TFF's worker listens on port \d+ to all who reach this machine: no network namespace \(unshare: .+\)\n$",
    )
    self.assertEqual(_total([1, 2, 3]), 6)
    (port,) = isolated_server.listening_ports(worker.pid) & {int(worker._process.address.rpartition(':')[2])}
    self.assertTrue(isolated_server.is_reachable('127.0.0.1', port))


if __name__ == '__main__':
  absltest.main()
