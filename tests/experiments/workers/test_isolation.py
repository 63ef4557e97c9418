"""Nobody but its own program reaches an isolated worker, and nothing of it outlives the program."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading

import numpy as np
import pytest
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


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
  """A folder in one that every user may enter, which `tmp_path` is not."""
  with tempfile.TemporaryDirectory() as name:
    yield pathlib.Path(name)


@pytest.fixture
def server(directory: pathlib.Path) -> pathlib.Path:
  """The program of a server that needs no TFF."""
  path = directory / 'server.py'
  path.write_text(isolated_server.SERVER)
  return path


def _skip_unless(is_isolated: bool):
  if not is_isolated:
    pytest.skip('this system allows no network namespaces')


@pytest.fixture
def serve(
  directory: pathlib.Path, server: pathlib.Path, stack: contextlib.ExitStack
) -> Callable[[], worker_process.WorkerProcess]:
  """A function that starts the server, isolated."""

  def start():
    port, log_path = isolated_server.free_port(), directory / 'worker.log'
    process = worker_process.start([sys.executable, str(server), str(port)], port, log_path)
    stack.callback(process.stop)
    _skip_unless(not process.exposed_because)
    assert isolated_server.happens_soon(lambda: isolated_server.answer(process.address, b'ready\n') == b'READY\n'), (
      log_path.read_text()
    )
    return process

  return start


def test_isolated_server_is_reached_by_its_program_alone(serve):
  process = serve()
  assert isolated_server.connect_elsewhere(process, os.getuid()) in (
    "received b''",
    'Broken pipe',
    'Connection reset by peer',
  )
  assert isolated_server.answer(process.address, b'still there\n') == b'STILL THERE\n'


@pytest.mark.skipif(not isolated_server.may_become(isolated_server.NOBODY), reason='there is no other user to become')
def test_other_users_may_not_connect(serve):
  assert isolated_server.connect_elsewhere(serve(), isolated_server.NOBODY) == 'Permission denied'


def test_nothing_listens_outside(serve):
  (port,) = isolated_server.listening_ports(serve().pid)
  for host in ('127.0.0.1', '::1'):
    assert not isolated_server.is_reachable(host, port), host


def test_socket_and_its_directory_are_private(serve):
  path = pathlib.Path(serve().address.removeprefix('unix:'))
  assert stat.S_ISSOCK(path.stat().st_mode)
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_path_is_short_in_a_long_temporary_folder(directory, serve, monkeypatch):
  folder = directory / ('long' * 30)
  folder.mkdir()
  monkeypatch.setattr(tempfile, 'tempdir', str(folder))
  assert len(serve().address) < len('unix:') + 108


def test_unprivileged_program_is_isolated_too(directory, serve, monkeypatch):
  isolated_server.run_under(monkeypatch, directory, _UNPRIVILEGED)
  process = serve()
  assert isolated_server.network_of(process.pid) != isolated_server.network_of('self')
  # In a user namespace that holds its own user alone, so that it owns the files it writes.
  assert pathlib.Path(f'/proc/{process.pid}/uid_map').read_text().split() == [str(os.getuid())] * 2 + ['1']


def test_bytes_arrive_unchanged_and_the_pipe_stays_small(serve):
  process = serve()
  sent = np.random.default_rng(0).integers(0, 256, 40 * 10**6, np.uint8).tobytes().replace(b'\n', b'') + b'\n'
  with socket.socket(socket.AF_UNIX) as client:
    client.settimeout(30)
    client.connect(process.address.removeprefix('unix:'))
    sender = threading.Thread(target=client.sendall, args=(sent,))
    sender.start()
    with client.makefile('rb') as stream:
      received = stream.readline()
    sender.join()
  assert received == sent.upper()
  (pipe_pid,) = set(isolated_server.processes_in(isolated_server.network_of(process.pid))) - {process.pid}
  peak = next(row for row in pathlib.Path(f'/proc/{pipe_pid}/status').read_text().splitlines() if 'VmHWM' in row)
  assert int(peak.split()[1]) < 30_000  # kB


def test_stop_leaves_nothing(serve):
  process = serve()
  network = isolated_server.network_of(process.pid)
  assert len(isolated_server.processes_in(network)) == 2
  process.stop()
  assert isolated_server.happens_soon(lambda: not isolated_server.processes_in(network))
  assert not pathlib.Path(process.address.removeprefix('unix:')).parent.exists()


def test_dead_server_is_noticed_and_its_pipe_ends(serve):
  process = serve()
  network = isolated_server.network_of(process.pid)
  assert process.ending() == ''
  os.kill(process.pid, signal.SIGKILL)
  assert isolated_server.happens_soon(lambda: process.ending() == 'worker ended by signal 9')
  assert isolated_server.happens_soon(lambda: not isolated_server.processes_in(network))
  assert not pathlib.Path(process.address.removeprefix('unix:')).parent.exists()


def test_dead_pipe_is_noticed(serve):
  process = serve()
  (pipe_pid,) = set(isolated_server.processes_in(isolated_server.network_of(process.pid))) - {process.pid}
  os.kill(pipe_pid, signal.SIGKILL)
  assert isolated_server.happens_soon(
    lambda: process.ending() == 'worker cannot be reached any more: the pipe to it ended'
  )


def test_killed_program_leaves_nothing(directory, server, stack):
  port = str(isolated_server.free_port())
  command = [sys.executable, '-c', _PROGRAM, str(server), port, f'{directory}/worker.log']
  environment = os.environ | {'PYTHONPATH': str(_ROOT)}
  with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
    stack.callback(program.kill)
    pid, address = program.stdout.readline().decode().split()
    _skip_unless(address.startswith('unix:'))
    network = isolated_server.network_of(pid)
    assert len(isolated_server.processes_in(network)) == 2
    program.kill()
  assert isolated_server.happens_soon(lambda: not isolated_server.processes_in(network))
  assert not pathlib.Path(address.removeprefix('unix:')).parent.exists()


@pytest.fixture
def offer(
  directory: pathlib.Path, server: pathlib.Path, stack: contextlib.ExitStack
) -> Callable[[], worker_process.WorkerProcess]:
  """A function that offers the server at `a.sock`."""

  def start():
    port, path = isolated_server.free_port(), str(directory / 'a.sock')
    process = worker_process.offer([sys.executable, str(server), str(port)], port, directory / 'worker.log', path)
    stack.callback(process.stop)
    assert isolated_server.happens_soon(lambda: isolated_server.answer(process.address, b'ready\n') == b'READY\n')
    return process

  return start


def test_serves_this_user_alone(directory, offer):
  process = offer()
  path = pathlib.Path(process.address.removeprefix('unix:'))
  assert stat.S_IMODE(path.stat().st_mode) == 0o600
  assert isolated_server.connect_elsewhere(process, os.getuid()) == "received b'HELLO\\n'"
  (port,) = isolated_server.listening_ports(process.pid)
  assert not (isolated_server.is_reachable('127.0.0.1', port) or isolated_server.is_reachable('::1', port))
  if isolated_server.may_become(isolated_server.NOBODY):
    directory.chmod(0o755)
    assert isolated_server.connect_elsewhere(process, isolated_server.NOBODY) == 'Permission denied'
    path.chmod(0o666)
    assert 'HELLO' not in isolated_server.connect_elsewhere(process, isolated_server.NOBODY)


@pytest.mark.parametrize('ending', ['stop', 'SIGKILL'])
def test_end_leaves_the_folder_without_the_socket(ending, directory, offer):
  process = offer()
  network = isolated_server.network_of(process.pid)
  process.stop() if ending == 'stop' else os.kill(process.pid, signal.SIGKILL)
  assert isolated_server.happens_soon(lambda: not isolated_server.processes_in(network))
  assert sorted(os.listdir(directory)) == ['server.py', 'worker.log']


def test_offered_server_is_refused_where_namespaces_are_forbidden(directory, offer, monkeypatch):
  isolated_server.run_under(monkeypatch, directory, isolated_server.FORBID)
  with pytest.raises(worker_process.NotIsolatedError, match=r'^unshare: '):
    offer()
  assert not (directory / 'a.sock').exists()


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


def test_local_worker_computes_without_a_port_outside(directory, stack):
  worker = stack.enter_context(local_runtime.local_runtime(directory / 'worker.log'))
  _skip_unless(worker.is_isolated)
  assert _total([1, 2, 3]) == 6
  ports = isolated_server.listening_ports(worker.pid)
  assert ports
  for port in ports:
    assert not (isolated_server.is_reachable('127.0.0.1', port) or isolated_server.is_reachable('::1', port)), port


def test_one_line_warns_where_namespaces_are_forbidden(directory, monkeypatch, stack):
  isolated_server.run_under(monkeypatch, directory, isolated_server.FORBID)
  with contextlib.redirect_stderr(io.StringIO()) as stderr:
    worker = stack.enter_context(local_runtime.local_runtime(directory / 'worker.log'))
    worker.restart()
  assert not worker.is_isolated
  assert re.search(
    r"^warning: TFF's worker listens on port \d+ to all who reach this machine: no network namespace \(unshare: .+\)\n$",
    stderr.getvalue(),
  )
  assert _total([1, 2, 3]) == 6
  (port,) = isolated_server.listening_ports(worker.pid) & {int(worker._process.address.rpartition(':')[2])}
  assert isolated_server.is_reachable('127.0.0.1', port)
