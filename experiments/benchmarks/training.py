"""The measurements behind `--what=training`: seconds a round against others, where they go, and memory over many rounds."""

from collections.abc import Iterator
import contextlib
import functools
import os
import pathlib

import numpy as np

from experiments.benchmarks import keras_contender
from experiments.benchmarks import keras_workloads
from experiments.benchmarks import memory_slope
from experiments.benchmarks import rounds as benchmark_rounds
from experiments.benchmarks import step_profile
from experiments.benchmarks import torch_contender
from experiments.results import terminal
from experiments.workers import execution
from experiments.workers import in_process
from experiments.workers import local_runtime
from models import accounting
from models import language_task
from models import lstm
from models import task as task_lib

_EXAMPLES = 128
_CLIENTS_FILE, _TOKENS_FILE = 'speed.sqlite', 'tokens.npy'
_CLIENTS, _LENGTH, _BATCH_SIZE = (
  benchmark_rounds.NUM_CLIENTS,
  keras_workloads.SEQUENCE_LENGTH,
  benchmark_rounds.BATCH_SIZE,
)


def compare_speed(
  folder: pathlib.Path, worker: local_runtime.LocalWorker, repeats: int, against: list[str], torch_python: str
) -> None:
  """Prints seconds and sequences a second of each contender on each workload, their ratios, and a profile of a step.

  Rounds of the suite are computed in this process, those of stock TFF, and the suite's once more, in the worker.

  Args:
    folder: Takes the examples.
    worker: Runs as many clients at a time as there are processors.
    repeats: Measured rounds of each contender.
    against: Names in `benchmark_rounds.AGAINST`.
    torch_python: Runs PyTorch, if that is one of them.
  """
  tokens = benchmark_rounds.random_tokens(_EXAMPLES)
  clients = benchmark_rounds.store_clients(folder / _CLIENTS_FILE, tokens)
  np.save(folder / _TOKENS_FILE, tokens)
  num_cores = len(os.sched_getaffinity(0))
  peak = step_profile.peak_flops(num_cores)
  print(f'{num_cores} cores, {peak / 1e9:.0f} GFLOP/s in products of float32 matrices, a thread on each')
  in_worker = execution.build_execution_context(worker.executor_factory)
  for name in keras_workloads.WORKLOADS:
    workload = benchmark_rounds.Workload(name, clients)
    with _others(name, folder, against, torch_python) as others, in_process.in_process(num_cores):
      contenders = others | workload.contenders(in_worker, with_stock='tff' in against)
      seconds = benchmark_rounds.alternate(contenders, repeats)
    _print_speed(name, seconds, repeats, _round_flops(workload.task) / peak)
    terminal.show(step_profile.table(workload.task, _batch(), benchmark_rounds.CLIENT_LR))


@contextlib.contextmanager
def _others(
  workload: str, folder: pathlib.Path, against: list[str], torch_python: str
) -> Iterator[dict[str, benchmark_rounds.Round]]:
  """Yields what does a round outside TFF, by name; each is a process of its own, which ends with the block."""
  num_cores = len(os.sched_getaffinity(0))
  blocks = {}
  if 'torch' in against:
    start = functools.partial(torch_contender.running, torch_python, workload, folder / _TOKENS_FILE, num_cores)
    blocks |= {benchmark_rounds.PLAIN_TORCH: start(), benchmark_rounds.TORCH_BFLOAT16: start(precision='bfloat16')}
  if 'keras' in against:
    blocks[benchmark_rounds.KERAS_LOOP] = keras_contender.running(workload, folder / _CLIENTS_FILE)
  with contextlib.ExitStack() as stack:
    yield {name: stack.enter_context(block) for name, block in blocks.items()}


def _print_speed(name: str, seconds: dict[str, float], repeats: int, seconds_at_peak: float) -> None:
  print(
    f'{name}: {_CLIENTS} clients x {_EXAMPLES} sequences of {_LENGTH} tokens, batch {_BATCH_SIZE}, median of {repeats} rounds'
  )
  for contender, value in seconds.items():
    print(
      f'  {contender:<33} {value:6.2f} s a round {_CLIENTS * _EXAMPLES / value:6.0f} sequences/s '
      f'{100.0 * seconds_at_peak / value:4.0f} % of the peak'
    )
  suite, bfloat16 = seconds[benchmark_rounds.SUITE], seconds[benchmark_rounds.BFLOAT16]
  print(f'{name} ratio to the worker: {seconds[benchmark_rounds.IN_WORKER] / suite:.2f} (above 1 is faster)')
  for other in benchmark_rounds.AGAINST.values():
    if other in seconds:
      print(f'{name} ratio to {other}: {seconds[other] / suite:.2f} (above 1 is faster)')
  if other := seconds.get(benchmark_rounds.TORCH_BFLOAT16):
    print(f'{name} ratio to plain PyTorch, both in bfloat16: {other / bfloat16:.2f} (above 1 is faster)')
  ratio = seconds[benchmark_rounds.EFFICIENT] / suite
  print(f'{name} round with 8 bits up and 40 % trained to plain round: {ratio:.2f}')


def _round_flops(task: task_lib.Task) -> float:
  """Returns the floating-point operations of the products of a round, all trained."""
  cost = accounting.step_cost(task, [True] * len(task.model.variables), _BATCH_SIZE)
  return (cost.forward_flops + cost.backward_flops) * _CLIENTS * _EXAMPLES / _BATCH_SIZE


def _batch() -> dict[str, np.ndarray]:
  tokens = np.random.default_rng(0).integers(1, keras_workloads.VOCABULARY_SIZE, [_BATCH_SIZE, _LENGTH + 1], np.int32)
  return dict(tokens=tokens, client_key=np.zeros([_BATCH_SIZE], np.int64))


def measure_memory(folder: pathlib.Path, worker: local_runtime.LocalWorker, rounds: int) -> None:
  """Prints the slopes of resident memory over `rounds` rounds of a tiny model: in the worker, which is the default, then here."""
  clients = benchmark_rounds.store_clients(folder / 'memory.sqlite', benchmark_rounds.random_tokens(16))
  task = language_task.build(lstm.lstm(width=16, num_cells=16)(keras_workloads.VOCABULARY_SIZE), _LENGTH)
  print(f'{rounds} rounds in the worker', flush=True)
  memory_slope.print_slopes(benchmark_rounds.suite_round(task, clients), [worker], rounds)
  print(f'{rounds} rounds in process', flush=True)
  with in_process.in_process():
    memory_slope.print_slopes(benchmark_rounds.suite_round(task, clients), [], rounds)
