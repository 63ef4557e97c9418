"""The measurements behind `--what=training`: seconds a round against others, where they go, and memory over many rounds."""

import contextlib
import os
import pathlib
import statistics
import time

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from data import store
from experiments import benchmark_rounds
from experiments import keras_workloads
from experiments import memory_slope
from experiments import runtime
from experiments import step_profile
from experiments import torch_contender
from models import accounting
from models import language_task
from models import lstm
from models import task as task_lib

_CLIENTS, _EXAMPLES = 10, 128
_LENGTH, _BATCH_SIZE = keras_workloads.SEQUENCE_LENGTH, benchmark_rounds.BATCH_SIZE


def compare_speed(folder: pathlib.Path, repeats: int, against: list[str], torch_python: str) -> None:
  """Prints seconds and sequences a second of each contender on each workload, their ratios, and a profile of a step.

  Args:
    folder: Takes the examples.
    repeats: Measured rounds of each contender.
    against: Names in `benchmark_rounds.AGAINST`.
    torch_python: Runs PyTorch, if that is one of them.
  """
  tokens = _tokens(_EXAMPLES)
  clients = _clients(folder / 'speed.sqlite', tokens)
  num_cores = len(os.sched_getaffinity(0))
  peak = num_cores * step_profile.peak_flops(num_threads=1)
  print(f'{num_cores} cores, {peak / 1e9:.0f} GFLOP/s in products of float32 matrices, a thread on each')
  for name in keras_workloads.WORKLOADS:
    workload = benchmark_rounds.Workload(name, clients)
    contenders = workload.contenders(against)
    with contextlib.ExitStack() as stack:
      if 'torch' in against:
        np.save(folder / 'tokens.npy', tokens)
        rounds = torch_contender.running(torch_python, name, folder / 'tokens.npy', num_cores)
        contenders = {benchmark_rounds.PLAIN_TORCH: stack.enter_context(rounds)} | contenders
      seconds = alternate(contenders, repeats)
    _print_speed(name, seconds, repeats, _round_flops(workload.task) / peak)
    print(step_profile.table(workload.task, _batch(), benchmark_rounds.CLIENT_LR), flush=True)


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


def measure_memory(folder: pathlib.Path, worker: runtime.LocalWorker, rounds: int) -> None:
  """Prints the slope of the resident memory of both processes over `rounds` rounds of a tiny model."""
  clients = _clients(folder / 'memory.sqlite', _tokens(16))
  task = language_task.build(lstm.lstm(width=16, num_cells=16)(keras_workloads.VOCABULARY_SIZE), _LENGTH)
  advance = benchmark_rounds.suite_round(task, clients)
  memory_slope.print_slopes(advance, [worker], rounds)


def _tokens(num_examples: int) -> np.ndarray:
  """Returns the random tokens of all clients: int32 [clients, examples, length + 1]."""
  shape = [_CLIENTS, num_examples, _LENGTH + 1]
  return np.random.default_rng(0).integers(1, keras_workloads.VOCABULARY_SIZE, shape, np.int32)


def _clients(database: pathlib.Path, tokens: np.ndarray) -> tff.simulation.datasets.ClientData:
  """Writes clients with their tokens the way the suite stores them."""
  writer = store.Writer(database)
  for client, examples in enumerate(tokens):
    for example in examples:
      writer.add_example('train', f'client {client}', example)
  writer.finish({})
  spec = dict(tokens=tf.TensorSpec([_LENGTH + 1], tf.int32), client_key=tf.TensorSpec([], tf.int64))
  return tff.simulation.datasets.load_and_parse_sql_client_data(str(database), spec, 'train')


def alternate(contenders: dict[str, benchmark_rounds.Round], repeats: int) -> dict[str, float]:
  """Returns the median seconds of each contender's `repeats` rounds; they take turns after one unmeasured round each."""
  seconds: dict[str, list[float]] = {name: [] for name in contenders}
  for repeat in range(repeats + 1):
    for name, advance in contenders.items():
      started = time.perf_counter()
      advance()
      if repeat:
        seconds[name].append(time.perf_counter() - started)
  return {name: statistics.median(values) for name, values in seconds.items()}
