"""TFF's runtime for one program: a worker process that never outlives it, and the execution context that talks to it.

TFF's default context starts the same worker, but lets it run on after the program (with the inherited stdout, so that
`program | tail` never ends). Private imports of TFF live in this file only.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import pathlib
import socket
import sys
import time

import grpc
import tensorflow_federated as tff
from tensorflow_federated.python.core.backends.native import compiler
from tensorflow_federated.python.core.environments.tensorflow_frontend import tensorflow_computation

from experiments import worker_process

_WORKER_BINARY = pathlib.Path(tff.__file__).with_name('data') / 'worker_binary'
_START_SECONDS = 60.0
_POLL_SECONDS = 0.02
_EXECUTORS_KEPT = 10  # TFF's own number.
_MAX_MESSAGE_BYTES = 2**31 - 1  # Protocol buffers end here too.
_CHANNEL_OPTIONS = [
  ('grpc.max_receive_message_length', _MAX_MESSAGE_BYTES),
  ('grpc.max_send_message_length', _MAX_MESSAGE_BYTES),
  # The worker is on this machine: a proxy named in the environment could not reach it.
  ('grpc.enable_http_proxy', 0),
  # gRPC would wait a second before it tries again to reach a worker that is still starting.
  ('grpc.initial_reconnect_backoff_ms', 100),
  ('grpc.min_reconnect_backoff_ms', 100),
]


class ClosingExecutorFactory(tff.framework.ExecutorFactory):
  """Keeps an executor for each of the last few numbers of clients and closes every executor it drops.

  TFF's `ResourceManagingExecutorFactory` drops without closing: when the number of clients varies over more than ten
  values, the worker keeps about three copies of a computation's arguments and results for each round, for good.
  """

  def __init__(self, build_executor: Callable[[tff.framework.CardinalitiesType], tff.framework.RemoteExecutor]):
    self._build_executor = build_executor
    self._executors: collections.OrderedDict[frozenset, tff.framework.RemoteExecutor] = collections.OrderedDict()

  def create_executor(self, cardinalities: tff.framework.CardinalitiesType) -> tff.framework.RemoteExecutor:
    """Returns the executor for these numbers of clients, which stays valid until ten others have been asked for."""
    key = frozenset(cardinalities.items())
    if key not in self._executors:
      self._executors[key] = self._build_executor(cardinalities)
    self._executors.move_to_end(key)
    while len(self._executors) > _EXECUTORS_KEPT:
      self._executors.popitem(last=False)[1].close()
    return self._executors[key]

  def clean_up_executor(self, cardinalities: tff.framework.CardinalitiesType) -> None:
    """Closes the executor for these numbers of clients, if there is one."""
    executor = self._executors.pop(frozenset(cardinalities.items()), None)
    if executor is not None:
      executor.close()

  def close(self) -> None:
    """Closes all executors."""
    while self._executors:
      self._executors.popitem()[1].close()


class LocalWorker:
  """A TFF worker process on this machine that ends when `stop` is called or the program ends, in whatever way.

  Where the system allows it, no other process can reach the worker; where not, a line on stderr says so.

  Create, restart and use it in one thread (in practice the main one): the worker also ends with the thread that started
  it. Other threads may call `kill` and the methods that only ask.
  """

  def __init__(self, log_path: pathlib.Path, max_concurrent_calls: int | None = None):
    """Starts a worker and waits until it answers.

    Args:
      log_path: The file that everything the worker prints is appended to.
      max_concurrent_calls: How many calls of one computation (how many clients, for the work of a client) the worker
        runs at a time; as many as this process has processors if `None`. All at once, as TFF would have it, made
        rounds up to three times longer on two processors and the worker's memory larger.

    Raises:
      RuntimeError: If the worker ends, or does not answer within a minute.
      ValueError: If the limit is not positive.
    """
    if max_concurrent_calls is not None and max_concurrent_calls < 1:
      raise ValueError(f'max_concurrent_calls must be at least 1, not {max_concurrent_calls}')
    self._log_path = log_path
    self._max_concurrent_calls = max_concurrent_calls
    self.executor_factory = ClosingExecutorFactory(self._build_executor)
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
    return self._status_bytes('VmRSS')

  def peak_rss_bytes(self) -> int:
    """Returns the most memory the worker has held since its last start; raises `RuntimeError` if it has ended."""
    return self._status_bytes('VmHWM')

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
    if not self.is_alive():
      return False
    try:
      self._ask_nothing(b'', timeout=timeout_seconds)
    except grpc.RpcError as error:
      # The worker knows no such method, which took a worker to find out.
      return error.code() == grpc.StatusCode.UNIMPLEMENTED
    return True

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

  def _start(self) -> None:
    with _reserved_port() as port:
      self._process = worker_process.start(_worker_command(port, self._max_concurrent_calls), port, self._log_path)
      self._channel = grpc.insecure_channel(self._process.address, _CHANNEL_OPTIONS)
      self._stub = tff.framework.RemoteExecutorGrpcStub(self._channel)
      self._ask_nothing = self._channel.unary_unary('/leanfed.Probe/AskNothing')
      try:
        self._wait_until_ready()
      except BaseException:
        self.stop()
        raise

  def _build_executor(self, cardinalities: tff.framework.CardinalitiesType) -> tff.framework.RemoteExecutor:
    # TFF retries for ever when a worker cannot be reached. This check, which every retry passes, is what ends it.
    self._check_alive()
    # By TFF's default up to 19 finished values, each of which may be a whole model, wait in the worker for a twentieth:
    # 190 MB instead of 85 MB with a state of 10 MB.
    executor = tff.framework.RemoteExecutor(self._stub, dispose_batch_size=1)
    executor.set_cardinalities({tff.CLIENTS: 0} | cardinalities)
    return executor

  def _wait_until_ready(self) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not self._stub.is_ready:
      self._check_alive()
      if time.monotonic() > deadline:
        raise RuntimeError(f"TFF's worker did not answer within {_START_SECONDS:g} seconds; see {self._log_path}")
      time.sleep(_POLL_SECONDS)

  def _check_alive(self) -> None:
    if ending := self._process.ending():
      raise RuntimeError(f"TFF's {ending}; see {self._log_path}")

  def _status_bytes(self, field: str) -> int:
    self._check_alive()
    for line in pathlib.Path(f'/proc/{self.pid}/status').read_text().splitlines():
      name, _, value = line.partition(':')
      if name == field:
        return int(value.removesuffix('kB')) * 1024
    raise RuntimeError(f"TFF's worker is ending; see {self._log_path}")


def build_execution_context(worker: LocalWorker) -> tff.framework.SyncExecutionContext:
  """Returns a context that runs TFF computations on `worker`, compiled and converted as TFF's own default does."""
  return tff.framework.SyncExecutionContext(
    executor_fn=worker.executor_factory,
    compiler_fn=compiler.desugar_and_transform_to_native,
    transform_args=tensorflow_computation.transform_args,
    transform_result=tensorflow_computation.transform_result,
  )


@contextlib.contextmanager
def local_runtime(log_path: pathlib.Path, max_concurrent_calls: int | None = None) -> Iterator[LocalWorker]:
  """Runs this thread's TFF computations on a `LocalWorker` (see there for the arguments), which ends with the block.

  The worker's context stays TFF's default after the block, so that a computation called there raises a `RuntimeError`
  and does not start a worker that nobody ends. TFF keeps a default context for each thread: others are not affected.
  """
  worker = LocalWorker(log_path, max_concurrent_calls)
  try:
    tff.framework.set_default_context(build_execution_context(worker))
    yield worker
  finally:
    worker.stop()


def _worker_command(port: int, max_concurrent_calls: int | None) -> list[str]:
  limit = len(os.sched_getaffinity(0)) if max_concurrent_calls is None else max_concurrent_calls
  return [str(_WORKER_BINARY), f'--port={port}', f'--max_concurrent_computation_calls={limit}']


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
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
