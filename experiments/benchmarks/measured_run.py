"""A run of a binary in a process of its own, watched from outside: when its rounds end, and the memory of its processes."""

from collections.abc import Sequence
import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import tempfile
import time

import psutil

from experiments.command import command_line
from experiments.results import metrics

_POLL_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class MeasuredRun:
  """What a run took.

  Attributes:
    seconds_to: From the command to when a row of `metrics.csv` was seen, by the row's round.
    round_seconds: What each round took by itself, from the first one.
    peak_bytes: The most resident memory that all processes of the run were seen to hold together; what they share counts
      for each.
  """

  seconds_to: dict[int, float]
  round_seconds: list[float]
  peak_bytes: int


def measure(flags: Sequence[str]) -> MeasuredRun:
  """Runs `experiments.language_model` to its end, in a folder that is then removed.

  Args:
    flags: All but `--output_dir`.

  Returns:
    What it took.

  Raises:
    RuntimeError: If it fails; says what it printed.
  """
  with tempfile.TemporaryDirectory() as name:
    folder, log = pathlib.Path(name, 'run'), pathlib.Path(name, 'log')
    command = [sys.executable, '-m', 'experiments.language_model', f'--output_dir={folder}', *flags]
    seconds_to, peak = {}, 0
    with log.open('w') as printed:
      started = time.perf_counter()
      with subprocess.Popen(command, cwd=command_line.ROOT, stdout=printed, stderr=printed) as process:
        while process.poll() is None:
          for row in _rows(folder):
            seconds_to.setdefault(row['round'], time.perf_counter() - started)
          peak = max(peak, _resident_bytes(process.pid))
          time.sleep(_POLL_SECONDS)
    if process.returncode:
      raise RuntimeError(f'{" ".join(command)} has failed:\n{log.read_text()}')
    return MeasuredRun(seconds_to, [row['round_seconds'] for row in _rows(folder)[1:]], peak)


def _rows(folder: pathlib.Path) -> list[dict[str, float]]:
  """Returns the rows there are; the file is replaced as a whole."""
  with contextlib.suppress(FileNotFoundError):
    return metrics.read(folder / 'metrics.csv')
  return []


def _resident_bytes(pid: int) -> int:
  """Returns what a process and its descendants hold."""
  total = 0
  with contextlib.suppress(psutil.NoSuchProcess):
    root = psutil.Process(pid)
    for process in [root, *root.children(recursive=True)]:
      with contextlib.suppress(psutil.NoSuchProcess):
        total += process.memory_info().rss
  return total
