"""TFF computations in this process: clients on a thread each, added up in their order, the state never copied."""

import collections
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import contextlib
import functools
import itertools
import os
import pathlib
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import cancellation
import tensorflow_federated as tff

from experiments.workers import default_context
from experiments.workers import graph_rewrites
from experiments.workers import hardware
from experiments.workers import split_computation

_AHEAD = 2  # Clients that may be computed or wait to be added, for each thread.
_KEPT = 32  # Computations.


class InProcess(tff.framework.SyncContext):
  """Runs computations on threads of this process; see `experiments.workers.local_runtime.Runtime`.

  A sum over clients has the order of the clients, so that it does not depend on the threads. Of several devices each
  client in turn has the next, and the first has the sums.

  Attributes:
    threads: How many clients are computed at a time.
    devices: On which devices, see `hardware.devices`.
  """

  def __init__(self, threads: int, devices: Sequence[str]):
    """Takes how many clients are computed at a time, and on which devices, at least one."""
    self.threads, self.devices = threads, devices
    self._pool = futures.ThreadPoolExecutor(threads, thread_name_prefix='client')
    self._loaded = functools.lru_cache(_KEPT)(split_computation.load)
    self._cancellation = cancellation.CancellationManager()  # Of one sum: TensorFlow cancels it if a client fails.
    self._is_killed = self._is_closed = False

  def invoke(self, comp: tff.Computation, arg: Any) -> Any:
    """Returns what a computation returns; raises `RuntimeError` after the block, see `in_process`."""
    if self._is_closed:
      raise RuntimeError('the block in which this process computes has ended')
    loaded = self._loaded(comp)
    if isinstance(loaded, split_computation.Split):
      state, clients = arg
      return loaded(state, clients, self._sum_up)
    return loaded(arg)

  def rss_bytes(self) -> int | None:
    """Returns None: there is no worker that has memory of its own."""

  def peak_rss_bytes(self) -> int | None:
    """Returns None, likewise."""

  def responds(self, timeout_seconds: float) -> bool:
    """Returns whether nobody has killed it: threads of this process do not vanish."""
    del timeout_seconds
    return not self._is_killed

  def kill(self) -> None:
    """Makes what clients compute now fail, and what they would next."""
    self._is_killed = True
    self._cancellation.start_cancel()

  def restart(self) -> None:
    """Makes computing possible again."""
    self._is_killed = False

  def check(self, computation: tff.Computation) -> None:
    """Raises `failures.UsageError` if a computation cannot be split."""
    self._loaded(computation)

  def check_data(self, database: pathlib.Path, dataset_hash: str) -> None:
    """Has nothing to compare: this process has opened the file."""

  def close(self) -> None:
    """Ends the threads."""
    self._is_closed = True
    self._loaded.cache_clear()
    self._pool.shutdown(cancel_futures=True)

  def _sum_up(
    self,
    zero: tf.Tensor,
    work: Callable[[split_computation.Leaves], tf.Tensor],
    add: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    clients: Sequence[split_computation.Leaves],
  ) -> tf.Tensor:
    waiting: collections.deque[futures.Future] = collections.deque()
    scopes = self.devices if len(self.devices) > 1 else [None]
    remaining, total = zip(clients, itertools.cycle(scopes)), zero
    self._cancellation = cancellation.CancellationManager()
    if self._is_killed:
      self._cancellation.start_cancel()
    with cancellation.CancellationManagerContext(self._cancellation):
      try:
        for client, scope in itertools.islice(remaining, _AHEAD * self.threads):
          waiting.append(self._pool.submit(_on, scope, work, client))
        while waiting:
          total = _on(scopes[0], add, total, waiting.popleft().result())
          waiting.extend(
            self._pool.submit(_on, scope, work, client) for client, scope in itertools.islice(remaining, 1)
          )
        return total
      except tf.errors.CancelledError:
        _raise_first_failure(waiting)
        raise
      finally:
        for each in waiting:
          each.cancel()
        futures.wait(waiting)


def _on(scope: str | None, compute: Callable[..., tf.Tensor], *given: Any) -> tf.Tensor:
  """Returns what is computed on a device; None leaves the choice to TensorFlow."""
  with tf.device(scope) if scope else contextlib.nullcontext():
    return compute(*given)


def _raise_first_failure(waiting: Sequence[futures.Future]) -> None:
  """Raises the error of the first client that failed by itself; TensorFlow then cancels the others."""
  for each in waiting:
    error = None if each.cancel() else each.exception()
    if error and not isinstance(error, tf.errors.CancelledError):
      raise error


@contextlib.contextmanager
def in_process(threads: int = 0) -> Iterator[InProcess]:
  """Runs this thread's TFF computations here; `threads` clients at a time, 0 for one a processor."""
  context = InProcess(threads or len(os.sched_getaffinity(0)), hardware.devices())
  try:
    with default_context.as_default(context), graph_rewrites.left_out():
      yield context
  finally:
    context.close()


def share_operations(threads: int = 1) -> None:
  """Sets how many threads share an operation, where TensorFlow has not begun to compute; by default they are left to clients."""
  with contextlib.suppress(
    RuntimeError
  ):  # It has, in a notebook: rounds then take longer, and their last bits may differ.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
