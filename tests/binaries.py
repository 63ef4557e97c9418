"""Runs binaries of the suite to their end, in forks of a process that has imported TensorFlow: five seconds less each.

A fork does what `python -m BINARY` does once Python has started, with the environment, the folder and the output of its own.
"""

import atexit
from collections.abc import Mapping
from collections.abc import Sequence
import multiprocessing
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).parents[1]

_PRELOADED = ['tensorflow', 'tensorflow_federated', 'tensorflow_text', 'matplotlib.pyplot']
_forks = multiprocessing.get_context('forkserver')
_forks.set_forkserver_preload(_PRELOADED)


def run(
  binary: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None, timeout_seconds: float = 300
) -> subprocess.CompletedProcess[str]:
  """Runs a binary from the root of the tree.

  Args:
    binary: The module, such as `experiments.language_model`.
    arguments: Its command line.
    environment: The process's; that of this one if None.
    timeout_seconds: After which it is killed.

  Returns:
    Its exit code, negative for a signal, and what it printed.

  Raises:
    TimeoutExpired: If it was killed.
  """
  with tempfile.TemporaryDirectory() as folder:
    outputs = [pathlib.Path(folder) / name for name in ('stdout', 'stderr')]
    environment = dict(os.environ if environment is None else environment)
    process = _forks.Process(target=_become, args=(binary, [str(each) for each in arguments], environment, outputs))
    process.start()
    process.join(timeout_seconds)
    if process.exitcode is None:
      process.kill()
      raise subprocess.TimeoutExpired([binary, *arguments], timeout_seconds)
    stdout, stderr = (output.read_text() for output in outputs)
    return subprocess.CompletedProcess([binary, *arguments], process.exitcode, stdout, stderr)


def _become(
  binary: str, arguments: Sequence[str], environment: Mapping[str, str], outputs: Sequence[pathlib.Path]
) -> None:
  """Turns this process into the binary."""
  os.chdir(ROOT)
  os.environ.clear()
  os.environ.update(environment)
  for descriptor, output in enumerate(outputs, start=1):
    opened = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(opened, descriptor)
    os.close(opened)
  sys.stdin = open(os.devnull)  # noqa: SIM115 - for as long as the process lives
  sys.stdout, sys.stderr = open(1, 'w', closefd=False), open(2, 'w', buffering=1, closefd=False)  # noqa: SIM115
  sys.path.insert(0, str(ROOT))
  sys.argv = [binary, *arguments]
  try:
    runpy.run_module(binary, run_name='__main__', alter_sys=True)
  finally:
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
