"""The measurements behind `--what=training`: seconds a round against others, where they go, and memory over many rounds."""

import contextlib
import os
import pathlib

import numpy as np

from experiments.benchmarks import keras_workloads
from experiments.benchmarks import memory_slope
from experiments.benchmarks import rounds as benchmark_rounds
from experiments.benchmarks import step_profile
from experiments.benchmarks import torch_contender
from experiments.results import terminal
from experiments.workers import local_runtime
from models import accounting
from models import language_task
from models import lstm
from models import task as task_lib

_EXAMPLES = 128
_CLIENTS, _LENGTH, _BATCH_SIZE = (
  benchmark_rounds.NUM_CLIENTS,
  keras_workloads.SEQUENCE_LENGTH,
  benchmark_rounds.BATCH_SIZE,
)


def compare_speed(folder: pathlib.Path, repeats: int, against: list[str], torch_python: str) -> None:
  """Prints seconds and sequences a second of each contender on each workload, their ratios, and a profile of a step.

  Args:
    folder: Takes the examples.
    repeats: Measured rounds of each contender.
    against: Names in `benchmark_rounds.AGAINST`.
    torch_python: Runs PyTorch, if that is one of them.
  """
  tokens = benchmark_rounds.random_tokens(_EXAMPLES)
  clients = benchmark_rounds.store_clients(folder / 'speed.sqlite', tokens)
  num_cores = len(os.sched_getaffinity(0))
  peak = step_profile.peak_flops(num_cores)
  print(f'{num_cores} cores, {peak / 1e9:.0f} GFLOP/s in products of float32 matrices, a thread on each')
  for name in keras_workloads.WORKLOADS:
    workload = benchmark_rounds.Workload(name, clients)
    contenders = workload.contenders(against)
    with contextlib.ExitStack() as stack:
      if 'torch' in against:
        np.save(folder / 'tokens.npy', tokens)
        rounds = torch_contender.running(torch_python, name, folder / 'tokens.npy', num_cores)
        contenders = {benchmark_rounds.PLAIN_TORCH: stack.enter_context(rounds)} | contenders
      seconds = benchmark_rounds.alternate(contenders, repeats)
    _print_speed(name, seconds, repeats, _round_flops(workload.task) / peak)
    terminal.show(step_profile.table(workload.task, _batch(), benchmark_rounds.CLIENT_LR))


def _print_speed(name: str, seconds: dict[str, float], repeats: int, seconds_at_peak: float) -> None:
  print(
    f'{name}: {_CLIENTS} clients x {_EXAMPLES} sequences of {_LENGTH} tokens, batch {_BATCH_SIZE}, median of {repeats} rounds'
  )
  for contender, value in seconds.items():
    print(
      f'  {contender:<33} {value:6.2f} s a round {_CLIENTS * _EXAMPLES / value:6.0f} sequences/s '
      f'{100.0 * seconds_at_peak / value:4.0f} % of the peak'
    )
  for other in benchmark_rounds.AGAINST.values():
    if other in seconds:
      print(f'{name} ratio to {other}: {seconds[other] / seconds[benchmark_rounds.SUITE]:.2f} (above 1 is faster)')
  ratio = seconds[benchmark_rounds.EFFICIENT] / seconds[benchmark_rounds.SUITE]
  print(f'{name} round with 8 bits up and 40 % trained to plain round: {ratio:.2f}')


def _round_flops(task: task_lib.Task) -> float:
  """Returns the floating-point operations of the products of a round, all trained."""
  cost = accounting.step_cost(task, [True] * len(task.model.variables), _BATCH_SIZE)
  return (cost.forward_flops + cost.backward_flops) * _CLIENTS * _EXAMPLES / _BATCH_SIZE


def _batch() -> dict[str, np.ndarray]:
  tokens = np.random.default_rng(0).integers(1, keras_workloads.VOCABULARY_SIZE, [_BATCH_SIZE, _LENGTH + 1], np.int32)
  return dict(tokens=tokens, client_key=np.zeros([_BATCH_SIZE], np.int64))


def measure_memory(folder: pathlib.Path, worker: local_runtime.LocalWorker, rounds: int) -> None:
  """Prints the slope of the resident memory of both processes over `rounds` rounds of a tiny model."""
  clients = benchmark_rounds.store_clients(folder / 'memory.sqlite', benchmark_rounds.random_tokens(16))
  task = language_task.build(lstm.lstm(width=16, num_cells=16)(keras_workloads.VOCABULARY_SIZE), _LENGTH)
  advance = benchmark_rounds.suite_round(task, clients)
  memory_slope.print_slopes(advance, [worker], rounds)
