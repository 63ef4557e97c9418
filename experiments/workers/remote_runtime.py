"""Computing on several machines: the clients of a round are spread over workers that `experiments.worker` offers there.

TFF's mergeable execution context gives each worker an equal share of the clients, merges what they have added up, two at a
time, and lets one worker do the rest of the round. All that travels goes through Unix sockets, which ssh carries.
"""

from collections.abc import Iterator
from collections.abc import Sequence
from concurrent import futures
import contextlib
import pathlib
import re
import sys

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import failures
from experiments.workers import execution
from experiments.workers import remote_worker

_ANSWER_SECONDS = 10.0
_FREE_SECONDS = 3.0  # So that a signal ends a run within ten.
_HASH_QUERY = "SELECT value FROM meta WHERE key = 'dataset_hash'"


class RemoteWorkers:
  """Workers that other programs run, as one runtime (see `runtime.Runtime`); those that are lost are done without.

  Create, restart and use it in one thread. Other threads may call `kill` and `responds`.
  """

  def __init__(self, addresses: Sequence[str], num_groups: int | None = None):
    """Connects to workers and makes them this thread's default for TFF computations.

    Args:
      addresses: For each worker `unix:` and the path of its socket.
      num_groups: If given, one worker computes so many groups of clients in turn, the others stand by for it, and sums are
        the same to the last bit whichever worker it is; if `None`, all workers share the clients.

    Raises:
      UsageError: If one of them does not answer.
    """
    self._num_groups = num_groups
    self._workers = [remote_worker.RemoteWorker(address) for address in addresses]
    for worker, answers in zip(self._workers, _answers(self._workers, _ANSWER_SECONDS), strict=True):
      if not answers:
        for each in self._workers:
          each.hang_up()
        raise failures.UsageError(
          f'no worker answers at {worker.address}: run python -m experiments.worker on its machine and carry its socket '
          'here with ssh -N -L'
        )
    self._compute_on_workers()

  def rss_bytes(self) -> None:
    """Measures nothing: the memory is that of other machines."""

  def peak_rss_bytes(self) -> None:
    """Measures nothing; see `rss_bytes`."""

  def responds(self, timeout_seconds: float) -> bool:
    """Asks all workers in use at once for a sign of life; no computation is involved.

    Args:
      timeout_seconds: How long to wait for it; allow several seconds over a slow line.

    Returns:
      Whether it came from every one. A computation that never ends looks like one that takes long.
    """
    return all(_answers(self._workers, timeout_seconds))

  def kill(self) -> None:
    """Hangs up on all workers: the computation under way fails soon."""
    for worker in self._workers:
      worker.hang_up()

  def restart(self) -> None:
    """Goes on with those workers that answer; a line on stderr names each of the others.

    What the workers held is lost, so repeat the round from its start. A worker that still computes for the old one answers,
    and begins the new one only when it has finished: one that never finishes must be ended on its own machine.

    Raises:
      RuntimeError: If none answers.
    """
    before = self._workers
    after = [remote_worker.RemoteWorker(worker.address) for worker in before]
    answers = _answers(after, _ANSWER_SECONDS)
    self._workers = [worker for worker, is_there in zip(after, answers, strict=True) if is_there]
    for old, new, is_there in zip(before, after, answers, strict=True):
      old.dispose(_FREE_SECONDS if is_there else 0.0)
      if not is_there:
        new.hang_up()
        left = f'{len(self._workers)} of {len(before)} workers'
        print(f'warning: worker {old.address} is gone; the run goes on with {left}', file=sys.stderr)
    if not self._workers:
      raise RuntimeError('no worker is left')
    self._compute_on_workers()

  def stop(self) -> None:
    """Hangs up on all workers, which go on waiting for other runs; again is no error."""
    for worker in self._workers:
      worker.dispose(_FREE_SECONDS)

  def check(self, computation: tff.Computation) -> None:
    """Tries whether the computation can be spread over workers.

    Raises:
      UsageError: If it cannot.
    """
    execution.check_mergeable(computation)

  def check_data(self, database: pathlib.Path, dataset_hash: str) -> None:
    """Asks every worker for the hash of the data set it finds at the path.

    Args:
      database: The SQLite file, see `data.store`; read under this very path.
      dataset_hash: The hash of the file here.

    Raises:
      UsageError: If a worker finds none there, or another one.
      RuntimeError: If a worker is gone.
    """
    path = str(database)
    stored_hash, pattern = _build_stored_hash(), re.sub(r'([*?\[\\])', r'\\\1', path)
    for worker in self._workers:
      try:
        found = worker.invoke(stored_hash, path, pattern).decode()
      except remote_worker.WorkerError as error:
        if not worker.answers(_ANSWER_SECONDS):
          raise
        raise failures.UsageError(_no_data(worker.address, path, 'no data set')) from error
      if not found:
        raise failures.UsageError(_no_data(worker.address, path, 'nothing'))
      if found != dataset_hash:
        others = f'another data set (its hash starts with {found[:12]}, here with {dataset_hash[:12]})'
        raise failures.UsageError(_no_data(worker.address, path, others))

  def _compute_on_workers(self) -> None:
    # TFF merges groups in the order in which workers finish them: to have them in order, one worker computes them all.
    workers = self._workers[:1] if self._num_groups else self._workers
    contexts = [worker.context for worker in workers]
    tff.framework.set_default_context(execution.build_spread_context(contexts, self._num_groups))


@contextlib.contextmanager
def remote_runtime(addresses: Sequence[str], num_groups: int | None = None) -> Iterator[RemoteWorkers]:
  """Runs this thread's TFF computations on `RemoteWorkers` (see there for the arguments), until the end of the block.

  The context stays TFF's default after the block, so that a computation called there raises a `RuntimeError`.
  """
  workers = RemoteWorkers(addresses, num_groups)
  try:
    yield workers
  finally:
    workers.stop()


def _answers(workers: Sequence[remote_worker.RemoteWorker], timeout_seconds: float) -> list[bool]:
  """Asks all at once."""
  with futures.ThreadPoolExecutor(max(1, len(workers))) as pool:
    return list(pool.map(lambda worker: worker.answers(timeout_seconds), workers))


def _build_stored_hash() -> tff.Computation:
  """Builds the computation from a path, twice: as it is and as a pattern, to the hash stored there; empty without file."""

  @tff.tensorflow.computation(np.str_, np.str_)
  def stored_hash(path, pattern):
    def read():
      rows = tf.data.experimental.SqlDataset('sqlite', path, _HASH_QUERY, (tf.string,))
      return rows.reduce(tf.constant(''), lambda _, value: value)

    # The query would make an empty file where there is none.
    return tf.cond(tf.size(tf.io.matching_files(pattern)) > 0, read, lambda: tf.constant(''))

  return stored_hash


def _no_data(address: str, path: str, found: str) -> str:
  return f'worker {address} finds {found} at {path}: copy the file from here to the same path there'
