"""What is begun again, without whom, and what ends a run; the worker is a double."""

import os
import signal
import threading
import time

import pytest

from experiments.command import failures
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


@pytest.fixture
def double() -> _Worker:
  return _Worker()


@pytest.fixture
def supervisor(double: _Worker) -> supervision.Supervisor:
  return supervision.Supervisor(double, probe_seconds=0.01, hang_seconds=0.01)


def _on_clients(supervisor, compute, clients, find_unreadable=_none):
  return attempts.on_clients(supervisor, compute, clients, find_unreadable)


def test_nothing_happens(supervisor):
  assert _on_clients(supervisor, lambda ids: ','.join(ids), ['a', 'b']) == ('a,b', 0, 0)


def test_a_lost_worker_is_replaced_and_the_computation_begun_again(double, supervisor):
  calls = []

  def compute(ids):
    calls.append(list(ids))
    return double.lose() if len(calls) < 3 else 'done'

  assert _on_clients(supervisor, compute, ['a', 'b']) == ('done', 0, 2)
  assert calls == [['a', 'b']] * 3
  assert double.num_restarts == 2


def test_a_hung_worker_is_killed_and_replaced(double, supervisor):
  hung = []

  def compute(ids):
    if hung:
      return 'done'
    hung.append(True)
    double.is_well = False
    assert double.killed.wait(timeout=20)
    raise RuntimeError('worker ended by signal 9')

  assert _on_clients(supervisor, compute, ['a']) == ('done', 0, 1)


def test_three_lost_workers_end_the_run(double, supervisor):
  with pytest.raises(failures.RunEnded, match='gave up after 3 lost workers, the last one so: worker ended'):
    _on_clients(supervisor, lambda ids: double.lose(), ['a'])
  assert double.num_restarts == 3


def test_no_new_worker_ends_the_run(double, supervisor):
  double.can_restart = False
  with pytest.raises(failures.RunEnded, match='no worker to be had'):
    _on_clients(supervisor, lambda ids: double.lose(), ['a'])


def test_an_error_of_the_computation_itself_is_not_hidden(supervisor):
  with pytest.raises(ZeroDivisionError):
    _on_clients(supervisor, lambda ids: 1 // 0, ['a'])


def test_unreadable_clients_are_skipped(supervisor):
  def compute(ids):
    if 'c' in ids:
      raise ValueError('cannot parse')
    return ids

  clients = ['a', 'b', 'c', 'd']
  outcome = _on_clients(supervisor, compute, clients, lambda ids: [i for i in ids if i == 'c'])
  assert outcome == (['a', 'b', 'd'], 1, 0)


def test_a_client_that_kills_the_worker_is_skipped(double, supervisor):
  def compute(ids):
    return double.lose() if 'c' in ids else ids

  outcome = _on_clients(supervisor, compute, list('abcd'), lambda ids: [i for i in ids if i == 'c'])
  assert outcome == (['a', 'b', 'd'], 1, 1)


def test_too_many_unreadable_clients_end_the_run(supervisor):
  def compute(ids):
    raise ValueError('cannot parse')

  with pytest.raises(failures.RunEnded, match='the data of 2 of 4 clients cannot be read, for example of b'):
    _on_clients(supervisor, compute, list('abcd'), lambda ids: [i for i in ids if i in 'bc'])


def test_a_signal_abandons_what_is_computed_and_what_would_come_next(double, supervisor):
  def compute(ids):
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)

  with supervisor.handling_signals():
    started = time.monotonic()
    with pytest.raises(failures.Stopped, match='SIGTERM') as caught:
      _on_clients(supervisor, compute, ['a'])
    assert time.monotonic() - started < 5
    assert double.killed.is_set()
    assert caught.value.exit_code == 143
    with pytest.raises(failures.Stopped):
      _on_clients(supervisor, lambda ids: 'never', ['a'])


def test_a_signal_between_computations_waits_for_the_next(double, supervisor):
  before = signal.getsignal(signal.SIGTERM)
  with supervisor.handling_signals():
    os.kill(os.getpid(), signal.SIGTERM)
    assert not double.killed.is_set()
    with pytest.raises(failures.Stopped):
      _on_clients(supervisor, lambda ids: 'never', ['a'])
  assert signal.getsignal(signal.SIGTERM) == before
