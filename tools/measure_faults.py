"""Injects faults into small runs, and prints for each kind how many, how many results were wrong, and seconds to recover.

    .venv/bin/python tools/measure_faults.py [REPEATS]

A result is wrong if the rows of `metrics.csv` or one bit of the weights differ from those of a run that nothing disturbed.
"""

from collections.abc import Callable
from collections.abc import Iterator
import os
import pathlib
import random
import signal
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

from experiments.results import markdown_table
from experiments.results import metrics
from experiments.results import terminal
from tests import language_model_runs as runs

_ROUNDS = 12
_HEADER = ('fault', 'injected', 'wrong or lost', 'seconds to recover, median', 'longest')


class Faults:
  """Runs of one command in folders of their own, and the one that nothing disturbed."""

  def __init__(self, folder: pathlib.Path):
    (folder / 'text').mkdir()
    self._folder, self._text = folder, runs.write_text(folder / 'text')
    self._environment = runs.environment(folder / 'cache')
    self._reference = folder / 'undisturbed'
    self._finish(self._reference)

  def inject(self, repeats: int) -> Iterator[list[str]]:
    """Yields a row of the table for each kind of fault."""
    kinds: dict[str, Callable[[pathlib.Path], float]] = {
      'run killed at a random instant, started again': self._kill_run,
      'worker killed in a round': lambda folder: self._signal_worker(folder, signal.SIGKILL),
      'worker hung in a round': lambda folder: self._signal_worker(folder, signal.SIGSTOP),
      'SIGTERM, started again (seconds to end)': self._terminate,
      'newest checkpoint truncated': self._truncate,
    }
    for name, fault in kinds.items():
      seconds, num_wrong = [], 0
      for index in range(repeats):
        folder = self._folder / f'{name} {index}'
        seconds.append(fault(folder))
        num_wrong += not self._is_right(folder)
      yield [name, str(repeats), str(num_wrong), f'{statistics.median(seconds):.1f}', f'{max(seconds):.1f}']

  def _command(self, folder: pathlib.Path) -> list[str]:
    return runs.command(self._text, folder, rounds=_ROUNDS, rounds_per_checkpoint=3)

  def _finish(self, folder: pathlib.Path) -> None:
    process = runs.finish(self._command(folder), self._environment)
    if process.returncode:
      sys.exit(process.stderr)

  def _is_right(self, folder: pathlib.Path) -> bool:
    return runs.repeatable(folder) == runs.repeatable(self._reference) and runs.weights(folder) == runs.weights(
      self._reference
    )

  def _kill_run(self, folder: pathlib.Path) -> float:
    """Returns the time from the second start to the first row after it."""
    with runs.running(self._command(folder), self._environment) as process:
      runs.wait_for(lambda: runs.worker_pids(process.pid), process)
      instant = time.monotonic() + random.uniform(0, 8)
      runs.wait_for(lambda: time.monotonic() > instant, process)
    path, started = folder / 'metrics.csv', time.monotonic()
    before = path.stat().st_mtime if path.exists() else 0
    with runs.running(self._command(folder), self._environment) as process:
      runs.wait_for(lambda: path.exists() and path.stat().st_mtime > before, process)
      seconds = time.monotonic() - started
      process.wait()
    return seconds

  def _signal_worker(self, folder: pathlib.Path, number: int) -> float:
    """Returns how much longer the disturbed round took than the others."""
    with runs.running(self._command(folder), self._environment) as process:
      target = random.randrange(1, _ROUNDS - 1)
      runs.wait_for(lambda: runs.num_rounds(folder) >= target, process)
      os.kill(runs.worker_pids(process.pid)[0], number)
      process.wait()
    rows = metrics.read(folder / 'metrics.csv')[1:]
    return max(row['round_seconds'] for row in rows) - statistics.median(row['round_seconds'] for row in rows)

  def _terminate(self, folder: pathlib.Path) -> float:
    """Returns the time from the signal to the end."""
    with runs.running(self._command(folder), self._environment) as process:
      runs.wait_for(lambda: runs.num_rounds(folder) >= 1, process)
      time.sleep(random.uniform(0, 2))
      started = time.monotonic()
      process.terminate()
      process.wait()
      seconds = time.monotonic() - started
    self._finish(folder)
    return seconds

  def _truncate(self, folder: pathlib.Path) -> float:
    """Returns the time of the run that repeats the rounds since the checkpoint before."""
    self._finish(folder)
    data = folder / 'checkpoints' / f'round_{_ROUNDS}.safetensors'
    data.write_bytes(data.read_bytes()[:-20])
    started = time.monotonic()
    self._finish(folder)
    return time.monotonic() - started


def main() -> None:
  """Injects each kind of fault as often as the command line says, three times by default."""
  repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 3
  random.seed(0)
  with tempfile.TemporaryDirectory() as folder:
    terminal.show(markdown_table.render(_HEADER, list(Faults(pathlib.Path(folder)).inject(repeats))))


if __name__ == '__main__':
  main()
