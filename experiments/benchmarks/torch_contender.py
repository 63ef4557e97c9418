"""PyTorch as a contender of the speed benchmark: `tools/torch_rounds.py`, run by a Python that has PyTorch."""

from collections.abc import Callable
import contextlib
import pathlib
import subprocess

from experiments.benchmarks import asked_process
from experiments.command import command_line
from experiments.command import failures

_SCRIPT = command_line.ROOT / 'tools' / 'torch_rounds.py'


def require(python: str) -> None:
  """Raises `UsageError` unless `python` is one that can import PyTorch and NumPy."""
  remedy = 'name a Python with torch 2.13.0 and numpy in --torch_python'
  try:
    found = subprocess.run([python, '-c', 'import numpy, torch'], capture_output=True, check=False)
  except OSError:
    raise failures.UsageError(f'cannot run {python!r}: {remedy}') from None
  if found.returncode:
    raise failures.UsageError(f'{python!r} has no PyTorch: {remedy}')


def running(
  python: str, workload: str, tokens: pathlib.Path, num_processes: int, precision: str = 'float32'
) -> contextlib.AbstractContextManager[Callable[[], None]]:
  """Returns a block around what does a round; the processes end with it.

  Args:
    python: See `require`.
    workload: In `keras_workloads.WORKLOADS`.
    tokens: A file of NumPy's: int [clients, examples, length + 1].
    num_processes: That train clients at a time.
    precision: `float32`, or `bfloat16` for PyTorch's automatic mixed precision.
  """
  return asked_process.running([python, str(_SCRIPT), workload, str(tokens), str(num_processes), precision])
