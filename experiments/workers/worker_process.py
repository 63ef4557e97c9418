"""A server on this machine that ends with this process and is reached by this process, or by this user, alone.

Where the system does not allow that, `start` starts it nevertheless, and says so; `offer` does not.
"""

import contextlib
import dataclasses
import os
import pathlib
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import BinaryIO

from experiments.command import tied_process
from experiments.workers import isolation

_PYTHON = (sys.executable, '-I', '-S')
_LONGEST_FOLDER_BYTES = 80  # The path of a Unix socket has at most 107.
_PIPE_END_MILLISECONDS = 5000  # Measured: 5 to 20.


class NotIsolatedError(OSError):
  """The system does not allow to isolate a process; the message says why."""


@dataclasses.dataclass(frozen=True)
class WorkerProcess:
  """A running server; start one with `start`.

  Attributes:
    address: Where gRPC reaches the server.
    exposed_because: Why others can reach the server too; empty if they cannot.
  """

  address: str
  exposed_because: str
  _process: subprocess.Popen[bytes]
  _pipe_report: BinaryIO | None
  _cleanup: contextlib.ExitStack

  @property
  def pid(self) -> int:
    """The process id of the server."""
    return self._process.pid

  def ending(self) -> str:
    """Returns how the server, or the pipe to it, ended, as in 'worker ended by signal 9'; empty while both run."""
    status = self._process.poll()
    if status is not None:
      return f'worker ended by signal {-status}' if status < 0 else f'worker ended with exit status {status}'
    if self._pipe_report and _pipe_has_ended(self._pipe_report):
      return 'worker cannot be reached any more: the pipe to it ended'
    return ''

  def kill(self) -> None:
    """Sends the server a signal that ends it; may be called by any thread, at any time."""
    self._process.kill()

  def stop(self) -> None:
    """Ends the server and the pipe to it and removes the socket; returns when all are gone. Again is no error."""
    self._cleanup.close()


def start(command: list[str], port: int, log_path: pathlib.Path) -> WorkerProcess:
  """Starts a server so that it ends with the thread that called this, and gets no signals from the terminal.

  It is isolated if the system allows that: it then listens in a network namespace of its own, and the connections of this
  process are forwarded to it through a Unix socket (see `isolation`).

  Args:
    command: Runs the server, in the foreground.
    port: The TCP port it listens on, which must be free.
    log_path: The file that everything it prints is appended to.

  Returns:
    The server, which may not listen yet.
  """
  command = _tied(command)
  try:
    folder = tempfile.gettempdir()
    folder = folder if len(os.fsencode(folder)) <= _LONGEST_FOLDER_BYTES else '/tmp'
    path = os.path.join(tempfile.mkdtemp(prefix='leanfed-', dir=folder), 'worker')
    return _start_isolated(command, port, log_path, path, is_private=True)
  except NotIsolatedError as error:
    with contextlib.ExitStack() as cleanup:
      process = _start_process(command, log_path, (), cleanup)
      return WorkerProcess(f'127.0.0.1:{port}', str(error), process, None, cleanup.pop_all())


def offer(command: list[str], port: int, log_path: pathlib.Path, socket_path: str) -> WorkerProcess:
  """Starts a server as `start` does, which any process of this user reaches through a Unix socket of mode 0600.

  Args:
    command: Runs the server, in the foreground.
    port: The TCP port it listens on, which must be free.
    log_path: The file that everything it prints is appended to.
    socket_path: Where the socket is made, which must not exist; at most 107 bytes.

  Returns:
    The server, which may not listen yet.

  Raises:
    NotIsolatedError: If the system does not allow to isolate it; nothing runs then.
    OSError: If the socket or the log cannot be made.
  """
  return _start_isolated(_tied(command), port, log_path, socket_path, is_private=False)


def _tied(command: list[str]) -> list[str]:
  return [*_PYTHON, tied_process.__file__, str(os.getpid()), *command]


def _start_isolated(
  command: list[str], port: int, log_path: pathlib.Path, path: str, is_private: bool
) -> WorkerProcess:
  """Starts `command` behind a new Unix socket of mode 0600; `OSError` if it cannot.

  A private one is for this process alone, and its directory goes with it.
  """
  with contextlib.ExitStack() as cleanup:
    if is_private:
      cleanup.callback(shutil.rmtree, os.path.dirname(path), ignore_errors=True)
    report_end, pipe_end = os.pipe()
    report = cleanup.enter_context(open(report_end, 'rb', buffering=0))
    with open(pipe_end, 'wb'), socket.socket(socket.AF_UNIX) as listener:
      listener.bind(path)
      cleanup.callback(pathlib.Path(path).unlink, missing_ok=True)
      os.chmod(path, 0o600)
      listener.listen()  # Until here nobody could connect.
      inherited = (listener.fileno(), pipe_end)
      numbers = (os.getpid() if is_private else isolation.ANY_OF_THIS_USER, *inherited, port)
      launcher = [*_PYTHON, isolation.__file__, *map(str, numbers)]
      cleanup.callback(_pipe_has_ended, report, _PIPE_END_MILLISECONDS)
      process = _start_process(launcher + command, log_path, inherited, cleanup)
    outcome = report.readline().decode().strip()
    if outcome != isolation.SUCCESS:
      raise NotIsolatedError(outcome or f'the launcher failed; see {log_path}')
    return WorkerProcess(f'unix:{path}', '', process, report, cleanup.pop_all())


def _start_process(
  command: list[str], log_path: pathlib.Path, inherited: tuple[int, ...], cleanup: contextlib.ExitStack
) -> subprocess.Popen[bytes]:
  """Starts `command`, which inherits these file descriptors; `cleanup` will end it."""
  with open(log_path, 'ab') as log:
    process = subprocess.Popen(
      command,
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      pass_fds=inherited,
      # The lowest and flattest peak of memory of the settings tried, at no cost in time.
      env=os.environ | {'MALLOC_ARENA_MAX': '1'},
      # Ctrl-C in the terminal reaches this process alone, which then ends the worker in good order.
      start_new_session=True,
    )
  cleanup.callback(process.wait)
  # The worker has nothing to save, and a busy or a stopped one would not heed a gentler signal.
  cleanup.callback(process.kill)
  return process


def _pipe_has_ended(report: BinaryIO, timeout_milliseconds: int = 0) -> bool:
  """Whether the process that keeps the other end of the report is gone, at the latest after this time."""
  poll = select.poll()
  poll.register(report, 0)  # No event but that all other ends are closed.
  return bool(poll.poll(timeout_milliseconds))
