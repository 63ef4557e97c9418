"""TFF's runtime for one program: a worker process that never outlives it.

TFF's default context starts the same worker, but lets it run on after the program (with the inherited stdout, so that
`program | tail` never ends).
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import socket
import sys
import time
from typing import Protocol
from typing import runtime_checkable

import tensorflow_federated as tff

from experiments.command import process_memory
from experiments.workers import default_context
from experiments.workers import execution
from experiments.workers import worker_connection
from experiments.workers import worker_process

_WORKER_BINARY = pathlib.Path(tff.__file__).with_name('data') / 'worker_binary'
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02


@runtime_checkable
class Runtime(Protocol):
  """What a run asks of the workers that compute for it; `LocalWorker` and `remote_runtime.RemoteWorkers` give it."""

  def rss_bytes(self) -> int | None:
    """Returns the memory the workers hold now (resident set size); `None` if it is not measured."""

  def peak_rss_bytes(self) -> int | None:
    """Returns the most memory they have held; `None` if it is not measured."""

  def responds(self, timeout_seconds: float) -> bool:
    """Whether every worker in use gives a sign of life within this time."""

  def kill(self) -> None:
    """Makes the computation that another thread waits for fail soon."""

  def restart(self) -> None:
    """Makes computing possible again after a failure; raises `RuntimeError` if it cannot."""

  def check(self, computation: tff.Computation) -> None:
    """Raises `failures.UsageError` if the workers cannot run this computation, whatever its arguments."""

  def check_data(self, database: pathlib.Path, dataset_hash: str) -> None:
    """Raises `failures.UsageError` if a worker finds no data set, or another one, at this path."""


class LocalWorker:
  """A TFF worker process on this machine that ends when `stop` is called or the program ends, in whatever way.

  Where the system allows it, no other process can reach the worker; where not, a line on stderr says so.

  Create, restart and use it in one thread (in practice the main one): the worker also ends with the thread that started
  it. Other threads may call `kill` and the methods that only ask.
  """

  def __init__(
    self,
    log_path: pathlib.Path,
    max_concurrent_calls: int | None = None,
    num_groups: int | None = None,
    threads_per_call: int = 1,
  ):
    """Starts a worker and waits until it answers.

    Args:
      log_path: The file that everything the worker prints is appended to.
      max_concurrent_calls: How many calls of one computation (how many clients, for the work of a client) the worker
        runs at a time; as many as this process has processors if `None`. All at once, as TFF would have it, made
        rounds up to three times longer on two processors and the worker's memory larger.
      num_groups: If given, computations will be split into so many groups of clients: see `local_runtime`.
      threads_per_call: Threads that share a TensorFlow operation. With 1, and a client for each processor, a round of a
        small Transformer took two thirds of the time that it took with 2.

    Raises:
      RuntimeError: If the worker ends, or does not answer within a minute.
      ValueError: If the limit is not positive.
    """
    if max_concurrent_calls is not None and max_concurrent_calls < 1:
      raise ValueError(f'max_concurrent_calls must be at least 1, not {max_concurrent_calls}')
    self._log_path = log_path
    self._max_concurrent_calls = max_concurrent_calls
    self._num_groups = num_groups
    self._threads_per_call = threads_per_call
    self.executor_factory = worker_connection.ClosingExecutorFactory(self._build_executor)
    self._start()
    if self._process.exposed_because:
      print(
        f"warning: TFF's worker listens on port {self._process.address.rpartition(':')[2]} to all who reach this machine: "
        f'no network namespace ({self._process.exposed_because})',
        file=sys.stderr,
      )

  @property
  def pid(self) -> int:
    """The process id of the worker."""
    return self._process.pid

  @property
  def is_isolated(self) -> bool:
    """Whether this process alone can reach the worker."""
    return not self._process.exposed_because

  def rss_bytes(self) -> int:
    """Returns the memory the worker holds now (resident set size); raises `RuntimeError` if it has ended."""
    return self._memory(process_memory.resident_bytes)

  def peak_rss_bytes(self) -> int:
    """Returns the most memory the worker has held since its last start; raises `RuntimeError` if it has ended."""
    return self._memory(process_memory.peak_bytes)

  def is_alive(self) -> bool:
    """Whether the worker runs and can be reached; it may hang nevertheless, see `responds`."""
    return not self._process.ending()

  def responds(self, timeout_seconds: float) -> bool:
    """Asks the worker for a sign of life, which a busy worker gives within milliseconds; no computation is involved.

    Args:
      timeout_seconds: How long to wait for it. While 84 MB travel on a loaded machine it takes up to a second.

    Returns:
      Whether it came. At once `False` if the worker has ended, and after the time if its process hangs. A computation that
      never ends looks like one that takes long: this cannot tell them apart.
    """
    return self.is_alive() and worker_connection.answers(self._channel, timeout_seconds)

  def kill(self) -> None:
    """Ends the worker, so that the computation another thread waits for fails soon: the way out if it hangs."""
    self._process.kill()

  def restart(self) -> None:
    """Replaces the worker, dead or alive, by a new one that runs the computations of the same execution context.

    What the worker held is lost, so repeat the round from its start.

    Raises:
      RuntimeError: If the new worker ends, or does not answer within a minute.
    """
    self.stop()
    self._start()

  def stop(self) -> None:
    """Ends the worker at once, and with it any computation that still runs; returns when it is gone."""
    self._process.stop()
    # Only now: a busy worker would keep these requests waiting, to a dead one they fail at once. A value that outlives
    # its executor is never sent to a worker again.
    self.executor_factory.close()
    self._channel.close()

  def check(self, computation: tff.Computation) -> None:
    """Accepts every computation, but with groups only one that can be split; see `Runtime`."""
    if self._num_groups:
      execution.check_mergeable(computation)

  def check_data(self, database: pathlib.Path, dataset_hash: str) -> None:
    """Has nothing to compare: the worker reads the very file that the program has opened; see `Runtime`."""

  def _start(self) -> None:
    with reserved_port() as port:
      command = worker_command(port, self._max_concurrent_calls, self._threads_per_call)
      self._process = worker_process.start(command, port, self._log_path)
      self._channel = worker_connection.connect(self._process.address)
      self._stub = worker_connection.Stub(self._channel)
      try:
        self._wait_until_ready()
      except BaseException:
        self.stop()
        raise

  def _build_executor(self, cardinalities: tff.framework.CardinalitiesType) -> tff.framework.RemoteExecutor:
    # TFF retries for ever when a worker cannot be reached. This check, which every retry passes, is what ends it.
    self._check_alive()
    return worker_connection.build_executor(self._stub, cardinalities)

  def _wait_until_ready(self) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not worker_connection.answers(self._channel, timeout_seconds=0.5, may_be_starting=True):
      self._check_alive()
      if time.monotonic() > deadline:
        raise RuntimeError(f"TFF's worker did not answer within {_START_SECONDS:g} seconds; see {self._log_path}")
      time.sleep(_POLL_SECONDS)

  def _check_alive(self) -> None:
    if ending := self._process.ending():
      raise RuntimeError(f"TFF's {ending}; see {self._log_path}")

  def _memory(self, read: Callable[[int], int]) -> int:
    self._check_alive()
    try:
      return read(self.pid)
    except RuntimeError as error:
      raise RuntimeError(f"TFF's worker is ending; see {self._log_path}") from error


@contextlib.contextmanager
def local_runtime(
  log_path: pathlib.Path,
  max_concurrent_calls: int | None = None,
  num_groups: int | None = None,
  threads_per_call: int = 1,
) -> Iterator[LocalWorker]:
  """Runs this thread's TFF computations on a `LocalWorker` (see there for the arguments), which ends with the block.

  After the outermost block its context stays TFF's default, so that a computation called there raises a `RuntimeError`
  and does not start a worker that nobody ends. TFF keeps a default context for each thread: others are not affected. With
  `num_groups` the clients are computed one group after the other, see `execution.build_spread_context`.
  """
  worker = LocalWorker(log_path, max_concurrent_calls, num_groups, threads_per_call)
  try:
    context = execution.build_execution_context(worker.executor_factory)
    if num_groups:
      context = execution.build_spread_context([execution.InOwnThread(context)], num_groups)
    with default_context.as_default(context):
      yield worker
  finally:
    worker.stop()


def worker_command(port: int, max_concurrent_calls: int | None, threads_per_call: int = 1) -> list[str]:
  """Returns what runs TFF's worker in the foreground, listening on a TCP port; see `LocalWorker` for the limits."""
  limit = len(os.sched_getaffinity(0)) if max_concurrent_calls is None else max_concurrent_calls
  threads = f'TF_NUM_INTRAOP_THREADS={threads_per_call}'
  return ['env', threads, str(_WORKER_BINARY), f'--port={port}', f'--max_concurrent_computation_calls={limit}']


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
  """Yields a free port that no program can take by chance inside the block; gRPC alone may bind to it, as it shares ports.

  Without the reservation two workers started at once could get one port: gRPC would share it between them, silently.
  """
  dual_stack = socket.has_dualstack_ipv6()
  with socket.socket(socket.AF_INET6 if dual_stack else socket.AF_INET, socket.SOCK_STREAM) as reservation:
    if dual_stack:
      reservation.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reservation.bind(('', 0))
    yield reservation.getsockname()[1]
