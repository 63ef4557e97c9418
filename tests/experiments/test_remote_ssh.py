"""A worker computes through a real ssh connection to an sshd of this test's own on the loopback interface."""

import getpass
import pathlib
import shutil
import socket
import subprocess
import time

import numpy as np
import pytest
import tensorflow_federated as tff

from experiments.workers import offered_worker
from experiments.workers import remote_runtime

_SSHD = shutil.which('sshd') or shutil.which('sshd', path='/usr/sbin')
_START_SECONDS = 30


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


@pytest.fixture
def sshd_port(tmp_path: pathlib.Path) -> int:
  """The port of an sshd that may be started; its keys and `sshd_config` are in `tmp_path`."""
  for key in ('host_key', 'user_key'):
    subprocess.run(
      ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(tmp_path / key)],
      check=True,
      stdin=subprocess.DEVNULL,
    )
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
  config = tmp_path / 'sshd_config'
  config.write_text(f"""
ListenAddress 127.0.0.1:{port}
HostKey {tmp_path}/host_key
AuthorizedKeysFile {tmp_path}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
""")
  tested = subprocess.run([_SSHD, '-t', '-f', str(config)], capture_output=True, text=True, check=False)
  if tested.returncode:
    pytest.skip(f'sshd does not start here: {tested.stderr.strip()}')
  return port


def _start(tmp_path, stack, *command: str) -> subprocess.Popen[bytes]:
  with open(tmp_path / 'log', 'ab') as log:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
  stack.callback(process.wait)
  stack.callback(process.terminate)
  return process


def _carry(tmp_path, sshd_port, stack, remote: pathlib.Path, local: pathlib.Path) -> subprocess.Popen[bytes]:
  """Starts `ssh -N -L` and returns it when it has logged in."""
  known = f'[127.0.0.1]:{sshd_port} {(tmp_path / "host_key.pub").read_text()}'
  (tmp_path / 'known_hosts').write_text(known)
  options = ['BatchMode=yes', 'IdentitiesOnly=yes', f'UserKnownHostsFile={tmp_path}/known_hosts']
  process = _start(tmp_path, stack, 
    'ssh', '-F', 'none', '-N', '-L', f'{local}:{remote}', '-i', f'{tmp_path}/user_key', '-p', str(sshd_port),
    *(f'-o{option}' for option in options), f'{getpass.getuser()}@127.0.0.1',
  )  # fmt: skip
  deadline = time.monotonic() + _START_SECONDS
  while not local.exists():
    if time.monotonic() > deadline or process.poll() is not None:
      pytest.fail((tmp_path / 'log').read_text())
    time.sleep(0.1)
  return process


def _wait_for_sshd(tmp_path, sshd_port) -> None:
  deadline = time.monotonic() + _START_SECONDS
  while True:
    try:
      socket.create_connection(('127.0.0.1', sshd_port), timeout=1).close()
    except ConnectionRefusedError:
      assert time.monotonic() < deadline, (tmp_path / 'log').read_text()
      time.sleep(0.1)
    else:
      return


@pytest.mark.skipif(not (_SSHD and shutil.which('ssh')), reason='sshd or ssh is not installed')
def test_computes_and_notices_the_end_of_the_connection(tmp_path, sshd_port, stack):
  remote, local = tmp_path / 'worker.sock', tmp_path / 'local.sock'
  process = offered_worker.start(str(remote))
  stack.callback(process.stop)
  _start(tmp_path, stack, _SSHD, '-D', '-e', '-f', str(tmp_path / 'sshd_config'))
  _wait_for_sshd(tmp_path, sshd_port)
  connection = _carry(tmp_path, sshd_port, stack, remote, local)
  with remote_runtime.remote_runtime([f'unix:{local}']) as workers:
    assert _total([1, 2, 4]) == 7
    connection.terminate()
    connection.wait()
    with pytest.raises(RuntimeError, match=r'local.sock is gone'):
      _total([1, 2, 4])
    assert not workers.responds(5)
    with pytest.raises(RuntimeError, match='no worker is left'):
      workers.restart()
