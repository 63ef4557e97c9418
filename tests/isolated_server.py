"""A server in the standard library behind a socket, for tests of who can reach it; and programs that try."""

from collections.abc import Callable
import contextlib
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest

from experiments.workers import worker_process

NOBODY = 65534
_LISTENING = '0A'  # From the kernel's <net/tcp_states.h>.

# A server in the standard library, for what needs no TFF: answers a client at a time, in capitals.
SERVER = """
import socket, sys
with socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server:
  while True:
    connection, _ = server.accept()
    with connection:
      while data := connection.recv(2**16):
        connection.sendall(data.upper())
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
FORBID = """
import ctypes, os, pathlib, sys
user = os.geteuid()
if ctypes.CDLL(None).unshare(0x10000000) == 0:
  pathlib.Path('/proc/self/uid_map').write_text(f'0 {user} 1')
  pathlib.Path('/proc/sys/user/max_net_namespaces').write_text('0')
os.execv(sys.argv[1], sys.argv[1:])
"""


def free_port() -> int:
  """A TCP port that nobody uses now."""
  with socket.create_server(('127.0.0.1', 0)) as server:
    return server.getsockname()[1]


def happens_soon(condition: Callable[[], bool], seconds: float = 10) -> bool:
  """Whether the condition comes true within the time."""
  deadline = time.monotonic() + seconds
  while not condition():
    if time.monotonic() > deadline:
      return False
    time.sleep(0.02)
  return True


def network_of(pid: int | str) -> str:
  """The network namespace of a process; empty if it ended or is not ours."""
  try:
    return os.readlink(f'/proc/{pid}/ns/net')
  except OSError:  # It ended, or is not ours.
    return ''


def may_become(user: int) -> bool:
  """Whether this process can start others as a user: it is root, and its user namespace has that user."""
  ranges = (map(int, line.split()) for line in pathlib.Path('/proc/self/uid_map').read_text().splitlines())
  return os.getuid() == 0 and any(first <= user < first + count for first, _, count in ranges)


def processes_in(network: str) -> list[int]:
  """The ids of our processes in a network namespace."""
  return [int(path.name) for path in pathlib.Path('/proc').glob('[0-9]*') if network_of(path.name) == network]


def listening_ports(pid: int) -> set[int]:
  """The TCP ports that are listened on in a process' network namespace."""
  rows = []
  for table in ('tcp', 'tcp6'):
    rows += pathlib.Path(f'/proc/{pid}/net/{table}').read_text().splitlines()[1:]
  return {int(row.split()[1].rpartition(':')[2], 16) for row in rows if row.split()[3] == _LISTENING}


def is_reachable(host: str, port: int) -> bool:
  """Whether this process can connect to a TCP port."""
  try:
    socket.create_connection((host, port), timeout=5).close()
  except OSError:
    return False
  return True


def answer(address: str, line: bytes) -> bytes:
  """What the server answers to this process; nothing as long as it does not listen yet."""
  with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(ConnectionError):
    client.settimeout(10)
    client.connect(address.removeprefix('unix:'))
    client.sendall(line)
    return client.recv(len(line))
  return b''


def connect_elsewhere(process: worker_process.WorkerProcess, user: int) -> str:
  """What another process, of this user id, gets from the server for a line."""
  path = process.address.removeprefix('unix:')
  command = [sys.executable, '-I', '-S', '-c', _CONNECT, path, str(user)]
  return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


def run_under(monkeypatch: pytest.MonkeyPatch, directory: pathlib.Path, program: str) -> None:
  """Starts workers by way of this program until the test ends."""
  path = directory / 'before.py'
  path.write_text(program)
  python = worker_process._PYTHON
  monkeypatch.setattr(worker_process, '_PYTHON', (*python, str(path), *python))
