"""The measurements behind `--what=scale`: rounds of more and more clients of a large generated population, and memory."""

from collections.abc import Sequence
import contextlib
import dataclasses
import os
import pathlib
import statistics
import time
from typing import Any

import numpy as np
import tensorflow_federated as tff

from compression import update_codec
from data import federated_text
from data import generated_population
from data import partitions
from data import prepare
from data.sources import stackoverflow
from experiments.command import process_memory
from experiments.results import markdown_table
from experiments.results import picture
from experiments.results import terminal
from experiments.workers import offered_worker
from experiments.workers import remote_runtime
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches

CLIENTS_PER_ROUND = (10, 50, 200, 800)
MEMORY_CLIENTS = 50  # Of each round of the memory measurement.
SPREAD_CLIENTS = 50  # Of each round that one and two workers share.
_VOCABULARY, _LENGTH, _BATCH_SIZE = 2000, 20, 16
_HEADER = (
  'workers',
  'clients a round',
  's a round',
  'low to high',
  'clients/s',
  'this process MB',
  'worker MB',
  'peak MB',
)


@dataclasses.dataclass(frozen=True)
class ScaleRow:
  """What rounds of one size cost.

  Attributes:
    workers: How many worker processes share the clients of a round.
    clients_per_round: Clients of a round.
    seconds: What each measured round took.
    main_bytes: Resident memory of this process afterwards.
    worker_bytes: That of all workers together.
    worker_peak_bytes: The most that the workers have held since they started, added up.
  """

  workers: int
  clients_per_round: int
  seconds: tuple[float, ...]
  main_bytes: int
  worker_bytes: int
  worker_peak_bytes: int

  def cells(self) -> list[str]:
    """Renders the row for a table of `_HEADER`."""
    median = statistics.median(self.seconds)
    megabytes = (self.main_bytes, self.worker_bytes, self.worker_peak_bytes)
    return [
      str(self.workers),
      str(self.clients_per_round),
      f'{median:.2f}',
      f'{min(self.seconds):.2f} to {max(self.seconds):.2f}',
      f'{self.clients_per_round / median:.1f}',
      *(f'{each / 1e6:.0f}' for each in megabytes),
    ]


class Simulation:
  """Rounds of FedAvg of a small LSTM on clients that are drawn anew for each round.

  The workers get client ids and read the clients' examples themselves. Create it inside the runtime that runs it.
  """

  def __init__(self, text: federated_text.FederatedText):
    task = language_task.build(lstm.lstm(width=64, num_cells=128)(text.vocabulary_size), text.sequence_length)
    clients = text.clients('train')
    process = fed_opt.fed_avg(client_lr=0.1)(
      task, algorithms.Communication(upload=update_codec.UpdateCodec()), local_batches.LocalBatches(_BATCH_SIZE), 0
    )
    self.num_parameters = task.model.num_parameters
    self.num_clients = len(clients.client_ids)
    self._process = tff.simulation.compose_dataset_computation_with_learning_process(
      clients.dataset_computation, process
    )
    self._draw = tff.simulation.build_uniform_sampling_fn(clients.client_ids, random_seed=0)
    self._state: Any = self._process.initialize()
    self._round = 0

  def advance(self, clients_per_round: int) -> None:
    """Runs one round."""
    self._round += 1
    self._state = self._process.next(self._state, self._draw(self._round, clients_per_round)).state


def prepared_population(num_clients: int, cache_dir: pathlib.Path | None = None) -> federated_text.FederatedText:
  """Returns a generated population of `num_clients` training clients, tokenised, from the cache if it is there.

  Raises:
    DataError: If the number is out of range or the cache folder cannot be written.
  """
  database = generated_population.cached(num_clients, cache_dir=cache_dir)
  source = stackoverflow.stackoverflow(
    path=str(database), max_clients=None, vocabulary=_VOCABULARY, sequence_length=_LENGTH
  )
  return prepare.prepare(source, partitions.natural(), cache_dir)


def measure(simulation: Simulation, worker_pids: Sequence[int], clients_per_round: int, repeats: int) -> ScaleRow:
  """Measures `repeats` rounds after one to warm up.

  Args:
    simulation: Advances in the runtime that is entered.
    worker_pids: The process ids of all workers of that runtime, which are on this machine.
    clients_per_round: Clients of each round.
    repeats: At least 1.

  Returns:
    The row of the table.
  """
  seconds = []
  for _ in range(repeats + 1):
    started = time.perf_counter()
    simulation.advance(clients_per_round)
    seconds.append(time.perf_counter() - started)
  return ScaleRow(
    workers=len(worker_pids),
    clients_per_round=clients_per_round,
    seconds=tuple(seconds[1:]),
    main_bytes=process_memory.resident_bytes(os.getpid()),
    worker_bytes=sum(map(process_memory.resident_bytes, worker_pids)),
    worker_peak_bytes=sum(map(process_memory.peak_bytes, worker_pids)),
  )


def measure_sizes(simulation: Simulation, worker_pid: int, repeats: int) -> list[ScaleRow]:
  """Measures rounds of each size of `CLIENTS_PER_ROUND` that the population has clients for, the smallest first."""
  sizes = [size for size in CLIENTS_PER_ROUND if size <= simulation.num_clients]
  return [measure(simulation, [worker_pid], size, repeats) for size in sizes]


def measure_workers(text: federated_text.FederatedText, folder: pathlib.Path, repeats: int) -> list[ScaleRow]:
  """Measures rounds of `SPREAD_CLIENTS` with one and with two workers behind Unix sockets in a folder."""
  rows = []
  for num_workers in (1, 2):
    with contextlib.ExitStack() as ended:
      processes = [offered_worker.start(str(folder / f'{index}.sock')) for index in range(num_workers)]
      for process in processes:
        ended.callback(process.stop)
      ended.enter_context(remote_runtime.remote_runtime([process.address for process in processes]))
      rows.append(measure(Simulation(text), [process.pid for process in processes], SPREAD_CLIENTS, repeats))
  return rows


def print_table(rows: Sequence[ScaleRow]) -> None:
  """Prints a line for each row."""
  print(f'{len(rows[0].seconds)} rounds a line')
  terminal.show(markdown_table.render(_HEADER, [row.cells() for row in rows]))


def print_line(rows: Sequence[ScaleRow]) -> None:
  """Prints the straight line through the medians of at least two rows."""
  slope, start = line(rows)
  print(f'least squares: {start:.2f} s a round and {1e3 * slope:.1f} ms a client', flush=True)


def line(rows: Sequence[ScaleRow]) -> tuple[float, float]:
  """Returns seconds a client and seconds a round of the line through the medians, by least squares of relative errors."""
  medians = np.array([statistics.median(row.seconds) for row in rows])
  slope, start = np.polyfit([row.clients_per_round for row in rows], medians, 1, w=1 / medians)
  return float(slope), float(start)


def plot(rows: Sequence[ScaleRow], path: pathlib.Path) -> None:
  """Draws seconds a round and memory against the number of clients as a PNG."""
  figure = picture.blank(10, 4)
  times, memory = figure.subplots(1, 2)
  clients = [row.clients_per_round for row in rows]
  medians = np.array([statistics.median(row.seconds) for row in rows])
  spread = [medians - [min(row.seconds) for row in rows], [max(row.seconds) for row in rows] - medians]
  times.errorbar(clients, medians, yerr=spread, marker='.', capsize=3)
  times.set(xlabel='clients a round', ylabel='seconds a round', xscale='log', yscale='log')
  memory.plot(clients, [row.main_bytes / 1e6 for row in rows], marker='.', label='this process')
  memory.plot(clients, [row.worker_peak_bytes / 1e6 for row in rows], marker='.', label='worker, at most')
  memory.set(xlabel='clients a round', ylabel='resident memory, MB', ylim=0)
  memory.legend()
  for axes in (times, memory):
    axes.grid(alpha=0.3, which='both')
  picture.write_numbers(times.xaxis)
  picture.write_numbers(times.yaxis)
  picture.write_numbers(memory.xaxis)
  figure.savefig(path)
