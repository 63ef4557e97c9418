"""The measurements behind `--what=round`: what a round costs apart from its steps, and how busy it keeps the processors."""

from collections.abc import Callable
from concurrent import futures
import pathlib
import subprocess
import sys
import time
from typing import Any

import numpy as np
import psutil
import tensorflow as tf
import tensorflow_federated as tff

from experiments.benchmarks import keras_workloads
from experiments.benchmarks import rounds as benchmark_rounds
from experiments.workers import execution
from experiments.workers import local_runtime
from models import model as model_lib
from models import task as task_lib
from models import transformer
from optimizers import evaluation
from optimizers import federated_types
from optimizers import local_batches

_STEPS = (1, 8, 16)
_OVERLAP_STEPS = 8
_LARGE_VOCABULARY = 10_000


def print_parts(folder: pathlib.Path, worker: local_runtime.LocalWorker, repeats: int) -> None:
  """Prints what starting costs; for each workload, the fixed cost of a round and what overlaps; then reading and large states.

  Args:
    folder: Takes the examples.
    worker: Runs the rounds.
    repeats: How often each is measured, after one that is not counted; the median is printed.
  """
  _print_imports()
  clients = {}
  for steps in _STEPS:
    tokens = benchmark_rounds.random_tokens(steps * benchmark_rounds.BATCH_SIZE)
    clients[steps] = benchmark_rounds.store_clients(folder / f'{steps}.sqlite', tokens)
  for name in keras_workloads.WORKLOADS:
    task = benchmark_rounds.Workload(name, clients[_STEPS[0]]).task
    _print_start(name, task, clients[_STEPS[0]])
    _print_fixed(name, task, clients, repeats)
    _print_overlap(name, task, clients[_OVERLAP_STEPS], worker, repeats)
  _print_reading(clients, repeats)
  _print_crossing(transformer.transformer(size='large')(_LARGE_VOCABULARY), repeats)


def _print_imports() -> None:
  started = time.perf_counter()
  subprocess.run([sys.executable, '-c', 'import experiments.language_model'], check=True, capture_output=True)
  print(f'a process that imports an experiment takes {time.perf_counter() - started:.1f} s', flush=True)


def _print_start(name: str, task: task_lib.Task, clients: benchmark_rounds.Clients) -> None:
  """Times the tracing of the learning process, and the first round, which TFF compiles and the worker prepares."""
  started = time.perf_counter()
  advance = benchmark_rounds.suite_round(task, clients)
  traced = time.perf_counter()
  advance()
  done = time.perf_counter()
  print(f'{name}: traced in {traced - started:.1f} s, first round of one step in {done - traced:.1f} s', flush=True)


def _print_fixed(name: str, task: task_lib.Task, clients: dict[int, benchmark_rounds.Clients], repeats: int) -> None:
  """Fits a line through the seconds of rounds of different lengths."""
  rounds = {str(steps): benchmark_rounds.suite_round(task, each) for steps, each in clients.items()}
  seconds = list(benchmark_rounds.alternate(rounds, repeats).values())
  per_step, fixed = np.polyfit(_STEPS, seconds, 1)
  shown = ', '.join(f'{value:.2f}' for value in seconds)
  print(
    f'{name}: {benchmark_rounds.NUM_CLIENTS} clients, {", ".join(rounds)} steps each: {shown} s a round; '
    f'least squares: {fixed:.2f} s and {1000.0 * per_step:.0f} ms a step of all',
    flush=True,
  )


def _print_overlap(
  name: str, task: task_lib.Task, clients: benchmark_rounds.Clients, worker: local_runtime.LocalWorker, repeats: int
) -> None:
  """Compares a round and an evaluation one after the other with both at once."""
  train = benchmark_rounds.suite_round(task, clients)
  evaluate = _evaluation(task, clients)
  for what, call in (('a round', train), ('an evaluation', evaluate)):
    call()
    print(
      f'{name}: {what} of {_OVERLAP_STEPS} steps keeps {_processors(call, worker, repeats):.2f} processors busy',
      flush=True,
    )
  with (
    futures.ThreadPoolExecutor(1, initializer=_use, initargs=[worker]) as trainer,
    futures.ThreadPoolExecutor(1, initializer=_use, initargs=[worker]) as evaluator,
  ):

    def one_by_one() -> None:
      trainer.submit(train).result()
      evaluator.submit(evaluate).result()

    def at_once() -> None:
      both = trainer.submit(train), evaluator.submit(evaluate)
      for each in both:
        each.result()

    first, second = benchmark_rounds.alternate({'one by one': one_by_one, 'at once': at_once}, repeats).values()
  print(f'{name}: a round, then an evaluation {first:.2f} s, both at once {second:.2f} s', flush=True)


def _evaluation(task: task_lib.Task, clients: benchmark_rounds.Clients) -> benchmark_rounds.Round:
  evaluate = tff.simulation.compose_dataset_computation_with_computation(
    clients.dataset_computation, evaluation.build_evaluation(task)
  )
  weights = tuple(task.model.initial_weights(0))
  return lambda: evaluate(weights, clients.client_ids)


def _use(worker: local_runtime.LocalWorker) -> None:
  """Has this thread compute on the worker."""
  tff.framework.set_default_context(execution.build_execution_context(worker.executor_factory))


def _processors(call: benchmark_rounds.Round, worker: local_runtime.LocalWorker, repeats: int) -> float:
  """Returns the processors that this process and the worker keep busy, as a mean over the calls."""
  processes = psutil.Process(), psutil.Process(worker.pid)
  before, started = _busy_seconds(processes), time.perf_counter()
  for _ in range(repeats):
    call()
  return (_busy_seconds(processes) - before) / (time.perf_counter() - started)


def _busy_seconds(processes: tuple[psutil.Process, ...]) -> float:
  times = [process.cpu_times() for process in processes]
  return sum(each.user + each.system for each in times)


def _print_reading(clients: dict[int, benchmark_rounds.Clients], repeats: int) -> None:
  """Reads a client's batches here, from its examples as they are stored and from arrays that hold them parsed."""
  for steps, each in clients.items():
    stored = each.create_tf_dataset_for_client(each.client_ids[0])
    arrays = next(iter(stored.batch(steps * benchmark_rounds.BATCH_SIZE)))
    readers = {'stored': _reader(lambda: stored), 'arrays': _reader(lambda: tf.data.Dataset.from_tensor_slices(arrays))}
    seconds = benchmark_rounds.alternate(readers, repeats)
    print(
      f'reading a client of {steps} steps: {1000.0 * seconds["stored"]:.1f} ms, '
      f'from parsed arrays {1000.0 * seconds["arrays"]:.1f} ms',
      flush=True,
    )


def _reader(examples: Callable[[], tf.data.Dataset]) -> benchmark_rounds.Round:
  batches = local_batches.LocalBatches(benchmark_rounds.BATCH_SIZE)

  @tf.function(autograph=False)
  def read() -> tf.Tensor:
    read = batches.of(batches.read(examples()), tf.zeros([2], tf.int64))
    return read.fold(lambda count, _: count + 1, tf.constant(0))

  return read


def _print_crossing(model: model_lib.Model, repeats: int) -> None:
  """Sends the state of FedAdam of a model to the worker, and fetches it."""
  state_type = tff.types.to_type([federated_types.weights(model)] * 3)  # Weights and two moments.
  state = [tuple(np.zeros(variable.shape, np.float32) for variable in model.variables)] * 3

  @tff.tensorflow.computation(state_type)
  def first(state: Any) -> tf.Tensor:
    return tf.reshape(tf.nest.flatten(state)[0], [-1])[0]

  @tff.federated_computation(tff.FederatedType(state_type, tff.SERVER))
  def receive(state):
    return tff.federated_map(first, state)

  @tff.tensorflow.computation
  def zeros() -> Any:
    return [tuple(tf.zeros(variable.shape) for variable in model.variables)] * 3

  @tff.federated_computation
  def fetch():
    return tff.federated_eval(zeros, tff.SERVER)

  seconds = benchmark_rounds.alternate({'in': lambda: receive(state), 'out': fetch}, repeats)
  num_megabytes = 3 * 4 * model.num_parameters / 1e6
  print(
    f'a state of {num_megabytes:.3g} MB: {seconds["in"]:.2f} s to the worker, {seconds["out"]:.2f} s back', flush=True
  )
