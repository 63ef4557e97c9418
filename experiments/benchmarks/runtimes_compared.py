"""The measurements behind `--what=runtimes`: whole runs that compute in their own process, and in a worker."""

from collections.abc import Callable
from collections.abc import Sequence
import statistics
import subprocess
import sys

from data import catalog
from data import partitions
from data import prepare
from experiments.benchmarks import measured_run
from experiments.command import command_line
from experiments.command import takers

_RUNTIMES = ('in_process', 'worker')
_WARM_UP_ROUNDS = 2
_DATASET = 'docstrings'
_SMALL = ('--model=transformer(size="tiny")', '--rounds=2')
_LARGE_DATASET = 'docstrings(vocabulary=10000)'
_LARGE = (
  '--model=transformer(size="large")', '--upload=uniform(bits=8)', '--trainable=random(fraction=0.4)',
  '--clients_per_round=4', '--eval_clients=4', '--rounds=6',
)  # fmt: skip

Runs = dict[str, list[measured_run.MeasuredRun]]


def print_comparison(repeats: int) -> None:
  """Prints what starting, rounds and memory come to in each runtime, and the parts of starting in process.

  Args:
    repeats: Measured runs of each, of which the median counts; those that start quickly are run once more before.
  """
  for dataset in (_DATASET, _LARGE_DATASET):
    prepare.prepare(takers.build_dataset(dataset, catalog.DATASETS), partitions.natural())
  small = _take_turns([*_SMALL, f'--dataset={_DATASET}'], repeats + 1)
  small = {runtime: measured[1:] for runtime, measured in small.items()}
  what = 'tiny Transformer, from the command to the end of round 1'
  _print_line(what, 's', small, lambda run: run.seconds_to[1])
  _print_parts()
  large = _take_turns([*_LARGE, f'--dataset={_LARGE_DATASET}'], repeats)
  what = f'large Transformer, from the command to the end of round {_WARM_UP_ROUNDS}'
  _print_line(what, 's', large, lambda run: run.seconds_to[_WARM_UP_ROUNDS])
  what = f'large Transformer, median round after round {_WARM_UP_ROUNDS}'
  _print_line(what, 's', large, lambda run: statistics.median(run.round_seconds[_WARM_UP_ROUNDS:]))
  _print_line('large Transformer, peak memory of all processes', 'GB', large, lambda run: run.peak_bytes / 1e9)


def _take_turns(flags: Sequence[str], repeats: int) -> Runs:
  """Returns so many runs of each runtime, in the order in which they were made."""
  found: Runs = {runtime: [] for runtime in _RUNTIMES}
  for _ in range(repeats):
    for runtime, runs in found.items():
      runs.append(measured_run.measure([*flags, f'--runtime={runtime}']))
  return found


def _print_line(what: str, unit: str, runs: Runs, read: Callable[[measured_run.MeasuredRun], float]) -> None:
  medians = {runtime: statistics.median(map(read, measured)) for runtime, measured in runs.items()}
  shown = ', '.join(f'{runtime} {value:.2f} {unit}' for runtime, value in medians.items())
  print(f'{what}: {shown}; in_process to worker: {medians["in_process"] / medians["worker"]:.2f}', flush=True)


def _print_parts() -> None:
  """Prints the parts of starting, of a fresh process."""
  script = (
    f'import experiments.language_model; from experiments.benchmarks import start; start.print_parts({_DATASET!r})'
  )
  subprocess.run([sys.executable, '-c', script], cwd=command_line.ROOT, check=True)
