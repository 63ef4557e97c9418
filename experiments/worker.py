"""Offers this machine to a federated run elsewhere: an isolated TFF worker behind a Unix socket, which ssh carries.

    python -m experiments.worker --socket=worker.sock

No network port is opened: whoever may open the socket, a file of mode 0600, may use the worker, and that is this user and
those that log in as this user by ssh. The line it prints says how. The data set must be at the same path as on the machine
of the run. What the worker says goes to SOCKET.log. Ctrl-C ends it and leaves only that file.
"""

import os
import pathlib
import signal
import socket
import stat
import sys
import time

from absl import flags

from experiments.command import launch
from experiments.workers import local_runtime
from experiments.workers import remote_worker
from experiments.workers import worker_process

_SOCKET = flags.DEFINE_string(
  'socket', None, 'Path of the Unix socket to make; must be free, or left over from a worker that was killed.'
)
_LONGEST_PATH_BYTES = 107  # Linux' limit, see unix(7).
_START_SECONDS = 60.0
_POLL_SECONDS = 0.2


def main() -> None:
  """Offers a worker until a signal ends this process.

  Raises:
    UsageError: If there can be no worker at this socket.
  """
  if not _SOCKET.value:
    raise launch.UsageError('--socket is missing: name the socket to make, for example --socket=worker.sock')
  path = os.path.abspath(_SOCKET.value)
  make_room(path)
  signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background job inherits that it is ignored.
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  process = None
  try:
    process = start(path)
    print(_how_to_use(path), flush=True)
    while not process.ending():
      time.sleep(_POLL_SECONDS)
    sys.exit(f"error: TFF's {process.ending()}; see {log_path(path)}")
  except KeyboardInterrupt:
    pass
  finally:
    if process:
      process.stop()


def make_room(path: str) -> None:
  """Removes a socket that nobody listens to any more.

  Raises:
    UsageError: If no socket can be made at this absolute path.
  """
  if len(os.fsencode(path)) > _LONGEST_PATH_BYTES:
    raise launch.UsageError(
      f'--socket={path} has {len(os.fsencode(path))} bytes, and the system allows {_LONGEST_PATH_BYTES}: choose a shorter path'
    )
  if not os.path.isdir(os.path.dirname(path)):
    raise launch.UsageError(f'--socket={path}: there is no folder {os.path.dirname(path)}; make it or choose another')
  try:
    is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
  except FileNotFoundError:
    return
  if not is_socket:
    raise launch.UsageError(f'--socket={path} is a file of another kind: choose another path')
  with socket.socket(socket.AF_UNIX) as client:
    try:
      client.connect(path)
    except ConnectionRefusedError:
      os.unlink(path)
    else:
      raise launch.UsageError(f'--socket={path} is in use: end the worker there or choose another path')


def start(path: str) -> worker_process.WorkerProcess:
  """Starts a worker behind a new socket, and returns it when it answers.

  Raises:
    UsageError: If the system does not allow to isolate it, or to write beside the socket.
    RuntimeError: If it does not answer within a minute.
  """
  with local_runtime.reserved_port() as port:
    try:
      process = worker_process.offer(local_runtime.worker_command(port, None), port, log_path(path), path)
    except worker_process.NotIsolatedError as error:
      raise launch.UsageError(
        f'no worker without a network namespace, or others could reach it, and this system refuses one ({error}): allow '
        'unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1) or start it as root'
      ) from error
    except OSError as error:
      raise launch.UsageError(f'--socket={path}: {error.strerror}; choose a folder you can write') from error
    try:
      _wait_until_ready(process, path)
    except BaseException:
      process.stop()
      raise
  return process


def log_path(path: str) -> pathlib.Path:
  """Returns the file that everything a worker prints is appended to."""
  return pathlib.Path(f'{path}.log')


def _wait_until_ready(process: worker_process.WorkerProcess, path: str) -> None:
  probe = remote_worker.RemoteWorker(process.address)
  try:
    deadline = time.monotonic() + _START_SECONDS
    while not probe.answers(timeout_seconds=0.5, may_be_starting=True):
      if process.ending() or time.monotonic() > deadline:
        raise RuntimeError(f"TFF's {process.ending() or 'worker did not answer'}; see {log_path(path)}")
      time.sleep(_POLL_SECONDS)
  finally:
    probe.hang_up()


def _how_to_use(path: str) -> str:
  carry = f'ssh -N -o ServerAliveInterval=15 -L $PWD/a.sock:{path} {socket.gethostname()}'
  return f"""ready: on the machine of the run, {carry} and then --runtime='remote(workers=["unix:a.sock"])'"""


if __name__ == '__main__':
  launch.launch(main)
