"""A worker computes through a real ssh connection to an sshd of this test's own on the loopback interface."""

import getpass
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from absl.testing import absltest
import numpy as np
import tensorflow_federated as tff

from experiments.workers import offered_worker
from experiments.workers import remote_runtime

_SSHD = shutil.which('sshd') or shutil.which('sshd', path='/usr/sbin')
_START_SECONDS = 30


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


@unittest.skipUnless(_SSHD and shutil.which('ssh'), 'sshd or ssh is not installed')
class SshTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    for key in ('host_key', 'user_key'):
      subprocess.run(
        ['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', str(self.directory / key)],
        check=True,
        stdin=subprocess.DEVNULL,
      )
    with socket.create_server(('127.0.0.1', 0)) as server:
      self.port = server.getsockname()[1]
    self.config = self.directory / 'sshd_config'
    self.config.write_text(f"""
ListenAddress 127.0.0.1:{self.port}
HostKey {self.directory}/host_key
AuthorizedKeysFile {self.directory}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
""")
    tested = subprocess.run([_SSHD, '-t', '-f', str(self.config)], capture_output=True, text=True, check=False)
    if tested.returncode:
      self.skipTest(f'sshd does not start here: {tested.stderr.strip()}')

  def start(self, *command: str) -> subprocess.Popen[bytes]:
    with open(self.directory / 'log', 'ab') as log:
      process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    self.addCleanup(process.wait)
    self.addCleanup(process.terminate)
    return process

  def carry(self, remote: pathlib.Path, local: pathlib.Path) -> subprocess.Popen[bytes]:
    """Starts `ssh -N -L` and returns it when it has logged in."""
    known = f'[127.0.0.1]:{self.port} {(self.directory / "host_key.pub").read_text()}'
    (self.directory / 'known_hosts').write_text(known)
    options = ['BatchMode=yes', 'IdentitiesOnly=yes', f'UserKnownHostsFile={self.directory}/known_hosts']
    process = self.start(
      'ssh', '-F', 'none', '-N', '-L', f'{local}:{remote}', '-i', f'{self.directory}/user_key', '-p', str(self.port),
      *(f'-o{option}' for option in options), f'{getpass.getuser()}@127.0.0.1',
    )  # fmt: skip
    deadline = time.monotonic() + _START_SECONDS
    while not local.exists():
      if time.monotonic() > deadline or process.poll() is not None:
        self.fail((self.directory / 'log').read_text())
      time.sleep(0.1)
    return process

  def wait_for_sshd(self) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
      try:
        socket.create_connection(('127.0.0.1', self.port), timeout=1).close()
      except ConnectionRefusedError:
        self.assertLess(time.monotonic(), deadline, (self.directory / 'log').read_text())
        time.sleep(0.1)
      else:
        return

  def test_computes_and_notices_the_end_of_the_connection(self):
    remote, local = self.directory / 'worker.sock', self.directory / 'local.sock'
    process = offered_worker.start(str(remote))
    self.addCleanup(process.stop)
    self.start(_SSHD, '-D', '-e', '-f', str(self.config))
    self.wait_for_sshd()
    connection = self.carry(remote, local)
    with remote_runtime.remote_runtime([f'unix:{local}']) as workers:
      self.assertEqual(_total([1, 2, 4]), 7)
      connection.terminate()
      connection.wait()
      with self.assertRaisesRegex(RuntimeError, 'local.sock is gone'):
        _total([1, 2, 4])
      self.assertFalse(workers.responds(5))
      with self.assertRaisesRegex(RuntimeError, 'no worker is left'):
        workers.restart()


if __name__ == '__main__':
  absltest.main()
