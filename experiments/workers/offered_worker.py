"""A TFF worker behind a Unix socket, which others than the run that uses it start."""

import os
import pathlib
import socket
import stat
import time

from experiments.command import failures
from experiments.workers import local_runtime
from experiments.workers import remote_worker
from experiments.workers import worker_process

_LONGEST_PATH_BYTES = 107  # Linux' limit, see unix(7).
_START_SECONDS = 60.0
_POLL_SECONDS = 0.2


def make_room(path: str) -> None:
  """Removes a socket that nobody listens to any more.

  Raises:
    UsageError: If no socket can be made at this absolute path.
  """
  if len(os.fsencode(path)) > _LONGEST_PATH_BYTES:
    raise failures.UsageError(
      f'--socket={path} has {len(os.fsencode(path))} bytes, and the system allows {_LONGEST_PATH_BYTES}: choose a shorter path'
    )
  if not os.path.isdir(os.path.dirname(path)):
    raise failures.UsageError(f'--socket={path}: there is no folder {os.path.dirname(path)}; make it or choose another')
  try:
    is_socket = stat.S_ISSOCK(os.lstat(path).st_mode)
  except FileNotFoundError:
    return
  if not is_socket:
    raise failures.UsageError(f'--socket={path} is a file of another kind: choose another path')
  with socket.socket(socket.AF_UNIX) as client:
    try:
      client.connect(path)
    except ConnectionRefusedError:
      os.unlink(path)
    else:
      raise failures.UsageError(f'--socket={path} is in use: end the worker there or choose another path')


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
      raise failures.UsageError(
        f'no worker without a network namespace, or others could reach it, and this system refuses one ({error}): allow '
        'unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone=1) or start it as root'
      ) from error
    except OSError as error:
      raise failures.UsageError(f'--socket={path}: {error.strerror}; choose a folder you can write') from error
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
