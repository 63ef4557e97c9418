"""A worker that died or hangs is told from one that is busy, and can be replaced."""

import os
import pathlib
import signal
import tempfile
import threading
import time

from absl.testing import absltest
import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from experiments.workers import local_runtime
from tests import isolated_server


def _is_in_state(pid: int, state: str) -> bool:
  return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] == state


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


@tff.tensorflow.computation(np.int64)
def _count_for_ever(step):
  return tf.while_loop(lambda i: i < 2**62, lambda i: [i + step], [tf.constant(0, tf.int64)])


class FaultTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    directory = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    self.worker = self.enter_context(local_runtime.local_runtime(directory / 'worker.log'))

  def test_dead_worker_does_not_respond(self):
    self.assertTrue(self.worker.responds(timeout_seconds=20))
    self.worker.kill()
    self.assertTrue(isolated_server.happens_soon(lambda: not self.worker.is_alive()))
    started = time.monotonic()
    self.assertFalse(self.worker.responds(timeout_seconds=20))
    self.assertLess(time.monotonic() - started, 10)

  def test_hung_worker_does_not_respond(self):
    os.kill(self.worker.pid, signal.SIGSTOP)
    self.assertTrue(isolated_server.happens_soon(lambda: _is_in_state(self.worker.pid, 'T')))
    self.assertTrue(self.worker.is_alive())
    self.assertFalse(self.worker.responds(timeout_seconds=0.3))
    os.kill(self.worker.pid, signal.SIGCONT)
    self.assertTrue(self.worker.responds(timeout_seconds=20))

  def test_busy_worker_responds_and_a_killed_one_frees_who_waits(self):
    responses = []

    def watch():
      time.sleep(1)  # Till the endless computation runs.
      responses.append(self.worker.responds(timeout_seconds=20))
      self.worker.kill()

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.monotonic()
    with self.assertRaisesRegex(RuntimeError, "^TFF's worker ended by signal 9"):
      _count_for_ever(1)
    watcher.join()
    self.assertLess(time.monotonic() - started, 20)
    self.assertEqual(responses, [True])

  def test_restarted_worker_serves_the_same_context(self):
    self.assertEqual(_total([1, 2]), 3)
    first_pid = self.worker.pid
    os.kill(first_pid, signal.SIGSTOP)
    started = time.monotonic()
    self.worker.restart()
    self.assertLess(time.monotonic() - started, 4)  # A channel that failed once would not try again for five seconds.
    self.assertNotEqual(self.worker.pid, first_pid)
    self.assertEqual(_total([1, 2, 4]), 7)
    self.worker.kill()
    with self.assertRaisesRegex(RuntimeError, "^TFF's worker ended by signal 9"):
      _total([1, 2])
    self.worker.restart()
    self.assertEqual(_total([1, 2]), 3)
    self.assertGreater(self.worker.rss_bytes(), 10**7)


if __name__ == '__main__':
  absltest.main()
