"""Runs binaries of the suite, and scripts, in forks of a process that has imported what they import: six seconds less each.

A fork does what `python -m BINARY` does once Python has started, with the environment, the folder and the output of its own.
"""

import atexit
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import gc
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from typing import Any
from typing import TextIO

ROOT = pathlib.Path(__file__).parents[1]

_LIBRARIES = ['tensorflow', 'tensorflow_federated', 'tensorflow_text', 'matplotlib.pyplot']
_PARTS = ['compression', 'data', 'models', 'optimizers', 'experiments/*']  # Binaries themselves are what forks run.
_forks = multiprocessing.get_context('forkserver')
_forks.set_forkserver_preload(
  [
    *_LIBRARIES,
    *(
      '.'.join(path.relative_to(ROOT).with_suffix('').parts)
      for part in _PARTS
      for path in sorted(ROOT.glob(f'{part}/*.py'))
    ),
  ]
)


class Running:
  """A binary under way.

  Attributes:
    pid: Its process id.
    stdout: What it prints, as a file to read.
    stderr: Likewise.
  """

  def __init__(self, process: Any, outputs: Sequence[TextIO]):
    self._process = process
    self.pid = process.pid
    self.stdout, self.stderr = outputs

  def poll(self) -> int | None:
    """Returns its exit code, negative for a signal; None while it runs."""
    return self._process.exitcode

  def wait(self, timeout: float | None = None) -> int:
    """Waits for its end; returns its exit code; raises `TimeoutExpired` after so many seconds."""
    self._process.join(timeout)
    if self._process.exitcode is None:
      raise subprocess.TimeoutExpired(self._process.name, timeout)
    return self._process.exitcode

  def send_signal(self, number: int) -> None:
    """Sends it a signal, if it runs."""
    if self.poll() is None:
      os.kill(self.pid, number)


@contextlib.contextmanager
def running(
  binary: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = os.devnull
) -> Iterator[Running]:
  """Starts a binary from the root of the tree; it ends with the block, killed if need be.

  Args:
    binary: The module, such as `experiments.language_model`, or the path of a script.
    arguments: Its command line.
    environment: The process's; that of this one if None.
    stdin: The file that is its standard input.

  Yields:
    What it does.
  """
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as opened:
    paths = [pathlib.Path(folder) / name for name in ('stdout', 'stderr')]
    outputs = [opened.enter_context(path.open('w+')) for path in paths]
    environment = dict(os.environ if environment is None else environment)
    process = _forks.Process(
      target=_become, args=(binary, [str(each) for each in arguments], environment, paths, stdin), name=binary
    )
    process.start()
    try:
      yield Running(process, outputs)
    finally:
      process.kill()
      process.join()


def run(
  binary: str,
  arguments: Sequence[str],
  environment: Mapping[str, str] | None = None,
  timeout_seconds: float = 300,
  stdin: str = os.devnull,
) -> subprocess.CompletedProcess[str]:
  """Runs a binary to its end; see `running`.

  Returns:
    Its exit code, negative for a signal, and what it printed.

  Raises:
    TimeoutExpired: If it was killed after so many seconds.
  """
  with running(binary, arguments, environment, stdin) as started:
    exit_code = started.wait(timeout_seconds)
    return subprocess.CompletedProcess([binary, *arguments], exit_code, started.stdout.read(), started.stderr.read())


def _become(
  binary: str,
  arguments: Sequence[str],
  environment: Mapping[str, str],
  outputs: Sequence[pathlib.Path],
  stdin: str,
) -> None:
  """Turns this process into the binary."""
  gc.freeze()  # A search of what was imported, half a million objects, would copy the memory that forks share.
  os.chdir(ROOT)
  os.environ.clear()
  os.environ.update(environment)
  for descriptor, output in enumerate(outputs, start=1):
    opened = os.open(output, os.O_WRONLY | os.O_APPEND)
    os.dup2(opened, descriptor)
    os.close(opened)
  sys.stdin = open(stdin)  # noqa: SIM115 - for as long as the process lives
  sys.stdout, sys.stderr = open(1, 'w', closefd=False), open(2, 'w', buffering=1, closefd=False)  # noqa: SIM115
  sys.path.insert(0, str(ROOT))
  sys.argv = [binary, *arguments]
  try:
    if binary.endswith('.py'):
      runpy.run_path(binary, run_name='__main__')
    else:
      runpy.run_module(binary, run_name='__main__', alter_sys=True)
  finally:
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
