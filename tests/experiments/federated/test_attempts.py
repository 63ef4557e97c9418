"""What is begun again, without whom, and what ends a run; the worker is a double."""

import os
import signal
import threading
import time

from absl.testing import absltest

from experiments.command import launch
from experiments.federated import attempts
from experiments.federated import supervision


class _Worker:
  """Answers until it is broken; records what is done to it."""

  def __init__(self):
    self.is_well = True
    self.can_restart = True
    self.killed = threading.Event()
    self.num_restarts = 0

  def responds(self, timeout_seconds):
    del timeout_seconds
    return self.is_well

  def kill(self):
    self.killed.set()

  def restart(self):
    if not self.can_restart:
      raise RuntimeError('no worker to be had')
    self.num_restarts += 1
    self.is_well = True
    self.killed.clear()

  def lose(self):
    self.is_well = False
    raise RuntimeError('worker ended')


def _none(client_ids):
  return []


class AttemptsTest(absltest.TestCase):
  def setUp(self):
    super().setUp()
    self.worker = _Worker()
    self.supervisor = supervision.Supervisor(self.worker, probe_seconds=0.01, hang_seconds=0.01)

  def _on_clients(self, compute, clients, find_unreadable=_none):
    return attempts.on_clients(self.supervisor, compute, clients, find_unreadable)

  def test_nothing_happens(self):
    self.assertEqual(self._on_clients(lambda ids: ','.join(ids), ['a', 'b']), ('a,b', 0, 0))

  def test_a_lost_worker_is_replaced_and_the_computation_begun_again(self):
    calls = []

    def compute(ids):
      calls.append(list(ids))
      return self.worker.lose() if len(calls) < 3 else 'done'

    self.assertEqual(self._on_clients(compute, ['a', 'b']), ('done', 0, 2))
    self.assertEqual(calls, [['a', 'b']] * 3)
    self.assertEqual(self.worker.num_restarts, 2)

  def test_a_hung_worker_is_killed_and_replaced(self):
    hung = []

    def compute(ids):
      if hung:
        return 'done'
      hung.append(True)
      self.worker.is_well = False
      self.assertTrue(self.worker.killed.wait(timeout=20))
      raise RuntimeError('worker ended by signal 9')

    self.assertEqual(self._on_clients(compute, ['a']), ('done', 0, 1))

  def test_three_lost_workers_end_the_run(self):
    with self.assertRaisesRegex(launch.RunEnded, 'gave up after 3 lost workers, the last one so: worker ended'):
      self._on_clients(lambda ids: self.worker.lose(), ['a'])
    self.assertEqual(self.worker.num_restarts, 3)

  def test_no_new_worker_ends_the_run(self):
    self.worker.can_restart = False
    with self.assertRaisesRegex(launch.RunEnded, 'no worker to be had'):
      self._on_clients(lambda ids: self.worker.lose(), ['a'])

  def test_an_error_of_the_computation_itself_is_not_hidden(self):
    with self.assertRaises(ZeroDivisionError):
      self._on_clients(lambda ids: 1 // 0, ['a'])

  def test_unreadable_clients_are_skipped(self):
    def compute(ids):
      if 'c' in ids:
        raise ValueError('cannot parse')
      return ids

    clients = ['a', 'b', 'c', 'd']
    outcome = self._on_clients(compute, clients, lambda ids: [i for i in ids if i == 'c'])
    self.assertEqual(outcome, (['a', 'b', 'd'], 1, 0))

  def test_a_client_that_kills_the_worker_is_skipped(self):
    def compute(ids):
      return self.worker.lose() if 'c' in ids else ids

    outcome = self._on_clients(compute, list('abcd'), lambda ids: [i for i in ids if i == 'c'])
    self.assertEqual(outcome, (['a', 'b', 'd'], 1, 1))

  def test_too_many_unreadable_clients_end_the_run(self):
    def compute(ids):
      raise ValueError('cannot parse')

    with self.assertRaisesRegex(launch.RunEnded, 'the data of 2 of 4 clients cannot be read, for example of b'):
      self._on_clients(compute, list('abcd'), lambda ids: [i for i in ids if i in 'bc'])

  def test_a_signal_abandons_what_is_computed_and_what_would_come_next(self):
    def compute(ids):
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(20)

    with self.supervisor.handling_signals():
      started = time.monotonic()
      with self.assertRaisesRegex(launch.Stopped, 'SIGTERM') as caught:
        self._on_clients(compute, ['a'])
      self.assertLess(time.monotonic() - started, 5)
      self.assertTrue(self.worker.killed.is_set())
      self.assertEqual(caught.exception.exit_code, 143)
      with self.assertRaises(launch.Stopped):
        self._on_clients(lambda ids: 'never', ['a'])

  def test_a_signal_between_computations_waits_for_the_next(self):
    before = signal.getsignal(signal.SIGTERM)
    with self.supervisor.handling_signals():
      os.kill(os.getpid(), signal.SIGTERM)
      self.assertFalse(self.worker.killed.is_set())
      with self.assertRaises(launch.Stopped):
        self._on_clients(lambda ids: 'never', ['a'])
    self.assertEqual(signal.getsignal(signal.SIGTERM), before)
