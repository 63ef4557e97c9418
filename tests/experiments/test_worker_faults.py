"""A worker that died or hangs is told from one that is busy, and can be replaced."""

from collections.abc import Iterator
import os
import pathlib
import signal
import threading
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments.workers import local_runtime
from tests import isolated_server


@pytest.fixture
def own_worker(tmp_path: pathlib.Path) -> Iterator[local_runtime.LocalWorker]:
  """A worker of this test alone, which may be killed."""
  with local_runtime.local_runtime(tmp_path / 'worker.log') as worker:
    yield worker


def _is_in_state(pid: int, state: str) -> bool:
  return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == state


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


@tff.tensorflow.computation(np.int64)
def _count_for_ever(step):
  return tf.while_loop(lambda i: i < 2**62, lambda i: [i + step], [tf.constant(0, tf.int64)])


def test_dead_worker_does_not_respond(own_worker):
  assert own_worker.responds(timeout_seconds=20)
  own_worker.kill()
  assert isolated_server.happens_soon(lambda: not own_worker.is_alive())
  started = time.monotonic()
  assert not own_worker.responds(timeout_seconds=20)
  assert time.monotonic() - started < 10


def test_hung_worker_does_not_respond(own_worker):
  os.kill(own_worker.pid, signal.SIGSTOP)
  assert isolated_server.happens_soon(lambda: _is_in_state(own_worker.pid, 'T'))
  assert own_worker.is_alive()
  assert not own_worker.responds(timeout_seconds=0.3)
  os.kill(own_worker.pid, signal.SIGCONT)
  assert own_worker.responds(timeout_seconds=20)


def test_busy_worker_responds_and_a_killed_one_frees_who_waits(own_worker):
  responses = []

  def watch():
    time.sleep(1)  # Till the endless computation runs.
    responses.append(own_worker.responds(timeout_seconds=20))
    own_worker.kill()

  watcher = threading.Thread(target=watch)
  watcher.start()
  started = time.monotonic()
  with pytest.raises(RuntimeError, match=r"^TFF's worker ended by signal 9"):
    _count_for_ever(1)
  watcher.join()
  assert time.monotonic() - started < 20
  assert responses == [True]


def test_restarted_worker_serves_the_same_context(own_worker):
  assert _total([1, 2]) == 3
  first_pid = own_worker.pid
  os.kill(first_pid, signal.SIGSTOP)
  started = time.monotonic()
  own_worker.restart()
  assert time.monotonic() - started < 4  # A channel that failed once would not try again for five seconds.
  assert own_worker.pid != first_pid
  assert _total([1, 2, 4]) == 7
  own_worker.kill()
  with pytest.raises(RuntimeError, match=r"^TFF's worker ended by signal 9"):
    _total([1, 2])
  own_worker.restart()
  assert _total([1, 2]) == 3
  assert own_worker.rss_bytes() > 10**7
