"""Several workers compute what one does; those that die or hang are done without; what does not fit is refused."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import io
import os
import pathlib
import re
import signal
import sqlite3
import threading
import time
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import failures
from experiments.command import spec
from experiments.workers import local_runtime
from experiments.workers import offered_worker
from experiments.workers import remote_runtime
from experiments.workers import runtimes
from experiments.workers import worker_process
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import tiny_task


@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def _total(values):
  return tff.federated_sum(values)


@tff.tensorflow.computation(np.int64)
def _count(steps):
  return tf.while_loop(lambda i: i < steps, lambda i: [i + 1], [tf.constant(0, tf.int64)])[0]


@tff.federated_computation(tff.FederatedType(np.int64, tff.CLIENTS))
def _slow_total(steps):
  return tff.federated_sum(tff.federated_map(_count, steps))


@tff.tensorflow.computation(np.str_, np.str_)
def _meet(own, other):
  with tf.control_dependencies([tf.io.write_file(own, '')]):
    met = tf.while_loop(
      lambda tries, met: (tries < 10**6) & ~met,
      lambda tries, met: [tries + 1, tf.size(tf.io.matching_files(other)) > 0],
      [tf.constant(0), tf.constant(False)],
    )[1]
  return tf.cast(met, tf.int32)


@tff.federated_computation(tff.FederatedType((np.str_, np.str_), tff.CLIENTS))
def _meeting(paths):
  return tff.federated_sum(tff.federated_map(_meet, paths))


@tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
def _deviations(values):
  deviation = tff.tensorflow.computation(lambda value, mean: tf.abs(value - mean))
  mean = tff.federated_broadcast(tff.federated_mean(values))
  return tff.federated_mean(tff.federated_map(deviation, (values, mean)))


def _round(process: tff.learning.templates.LearningProcess) -> list[np.ndarray]:
  clients = [
    tiny_task.client([[key, 1.0], [2.0, -key], [0.5, key]][: 1 + key % 3], [1.0, -1.0, key][: 1 + key % 3], key)
    for key in range(5)
  ]
  output = process.next(process.initialize(), clients)
  measured = tf.nest.flatten([output.metrics['aggregator'], output.metrics['client_work']])
  return [*output.state.global_model_weights.trainable, *measured]


@tff.federated_computation(tff.FederatedType(np.float32, tff.CLIENTS))
def _float_total(values):
  return tff.federated_sum(values)


@pytest.fixture
def offer(tmp_path: pathlib.Path, stack: contextlib.ExitStack) -> Callable[[int], list[worker_process.WorkerProcess]]:
  """A function that starts so many workers."""

  def start(count):
    started = []
    for number in range(count):
      started.append(offered_worker.start(str(tmp_path / f'{number}.sock')))
      stack.callback(started[-1].stop)
    return started

  return start


@pytest.fixture
def processes(offer: Callable[[int], list[worker_process.WorkerProcess]]) -> list[worker_process.WorkerProcess]:
  """Two workers."""
  return offer(2)


def _connected(
  processes: list[worker_process.WorkerProcess],
) -> contextlib.AbstractContextManager[remote_runtime.RemoteWorkers]:
  return remote_runtime.remote_runtime([process.address for process in processes])


def test_a_round_is_that_of_one_local_worker(tmp_path, processes):
  task = tiny_task.linear_task()
  process = fed_opt.fed_avg()(task, algorithms.Communication(), local_batches.LocalBatches(2, 1, 100), seed=0)
  with local_runtime.local_runtime(tmp_path / 'worker.log'):
    expected = _round(process)
  with _connected(processes) as workers:
    workers.check(process.next)
    found = _round(process)
  for value, wanted in zip(found, expected, strict=True):
    np.testing.assert_allclose(value, wanted, rtol=1e-5, atol=1e-6)


def test_groups_give_the_same_bits_with_any_number_of_workers(tmp_path, offer):
  values = list(np.random.default_rng(0).standard_normal(100).astype(np.float32))
  with local_runtime.local_runtime(tmp_path / 'worker.log'):
    without_groups = _float_total(values)
  with local_runtime.local_runtime(tmp_path / 'worker.log', num_groups=8) as local:
    local.check(_float_total)
    with pytest.raises(failures.UsageError, match='cannot be split between workers or groups'):
      local.check(_deviations)
    expected = _float_total(values)
  np.testing.assert_allclose(expected, without_groups, rtol=1e-5)
  first, second, third = (process.address for process in offer(3))
  for addresses in ([first], [second, first], [third, second, first]):
    with remote_runtime.remote_runtime(addresses, num_groups=8):
      assert _float_total(values).tobytes() == expected.tobytes()


def test_workers_compute_at_the_same_time(tmp_path, processes):
  # Each client waits until the other has begun, which no order of one after the other can satisfy.
  begun = [str(tmp_path / name) for name in ('first', 'second')]
  with _connected(processes):
    assert _meeting([(begun[0], begun[1]), (begun[1], begun[0])]) == 2


@pytest.fixture
def workers(
  processes: list[worker_process.WorkerProcess], monkeypatch: pytest.MonkeyPatch
) -> Iterator[remote_runtime.RemoteWorkers]:
  """A connection to both, over which they have answered."""
  monkeypatch.setattr(remote_runtime, '_ANSWER_SECONDS', 3.0)
  with _connected(processes) as connected:
    assert _total([1, 2, 4]) == 7
    assert connected.responds(20)
    yield connected


def _restart(workers) -> str:
  with contextlib.redirect_stderr(io.StringIO()) as stderr:
    workers.restart()
  return stderr.getvalue()


def test_dead_worker_is_dropped_and_the_round_repeated(processes, workers):
  processes[0].kill()
  with pytest.raises(RuntimeError, match=r'worker unix:.*0.sock is gone'):
    _total([1, 2, 4])
  assert not workers.responds(20)
  assert re.search('^warning: worker unix:.*0.sock is gone; the run goes on with 1 of 2 workers\n$', _restart(workers))
  assert _total([1, 2, 4]) == 7
  assert workers.responds(20)
  processes[1].kill()
  with pytest.raises(RuntimeError, match='no worker is left'):
    _restart(workers)


def test_hung_worker_is_dropped_and_the_round_repeated(processes, workers):
  os.kill(processes[1].pid, signal.SIGSTOP)
  responses = []

  def supervise():
    responses.append(workers.responds(3.0))
    workers.kill()

  supervisor = threading.Thread(target=supervise)
  supervisor.start()
  started = time.monotonic()
  with pytest.raises(RuntimeError, match=r'worker unix:.*1.sock is gone'):
    _total([1, 2, 4])
  supervisor.join()
  assert responses == [False]
  assert re.search('^warning: worker unix:.*1.sock is gone; the run goes on with 1 of 2 workers\n$', _restart(workers))
  assert _total([1, 2, 4]) == 7
  assert time.monotonic() - started < 40


def test_endless_computation_can_be_given_up(workers):
  timer = threading.Timer(1.0, workers.kill)
  timer.start()
  with pytest.raises(RuntimeError, match='is gone'):
    _slow_total([2**62, 2**62])
  timer.join()


def test_what_a_killed_computation_left_in_the_workers_is_freed(workers):
  freed = []
  dispose = tff.framework.RemoteExecutorGrpcStub.dispose_executor

  def note(stub, request):
    dispose(stub, request)
    freed.append(request.executor.id)

  workers.kill()
  with mock.patch.object(tff.framework.RemoteExecutorGrpcStub, 'dispose_executor', note):
    workers.stop()
  assert len(freed) >= 2  # At least one of each worker.


def test_computation_after_the_end_is_an_error(workers):
  workers.stop()
  with pytest.raises(RuntimeError, match='is gone'):
    _total([1, 2, 4])


def test_check_refuses_what_does_not_fit(tmp_path, offer, stack):
  workers = stack.enter_context(_connected(offer(1)))
  with pytest.raises(failures.UsageError, match=r'made of an earlier aggregate of the same round.*--runtime=worker'):
    workers.check(_deviations)
  path = tmp_path / 'a[1].sqlite'
  with pytest.raises(failures.UsageError, match=r'0\.sock finds nothing at .*sqlite: copy the file from here'):
    workers.check_data(path, 'abc')
  assert not path.exists()
  path.write_text('nonsense')
  with pytest.raises(failures.UsageError, match='finds no data set at'):
    workers.check_data(path, 'abc')
  path.unlink()
  with contextlib.closing(sqlite3.connect(path)) as connection:
    connection.execute('CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL)')
    connection.execute("INSERT INTO meta VALUES ('dataset_hash', 'abc')")
    connection.commit()
  workers.check_data(path, 'abc')
  with pytest.raises(failures.UsageError, match=r'another data set .its hash starts with abc, here with xyz'):
    workers.check_data(path, 'xyz')


def test_check_refuses_a_worker_that_is_not_there(tmp_path):
  with pytest.raises(failures.UsageError, match=r'no worker answers at unix:.*none.sock: run python -m'):
    remote_runtime.RemoteWorkers([f'unix:{tmp_path}/none.sock'])


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('remote(workers=[])', 'must be a list of sockets'),
    ('remote(workers="unix:a.sock")', 'must be a list of sockets'),
    ('remote(workers=["host:8000"])', 'Unix socket such as "unix:a.sock", not \'host:8000\''),
    ('remote(workers=["unix:a.sock", "unix:./a.sock"])', 'must differ'),
    ('remote(workers=["unix:/no/such.sock"])', 'there is no socket at /no/such.sock: carry one'),
    ('remot', "did you mean 'remote'"),
  ],
)
def test_check_refuses_spec(text, message):
  with pytest.raises(spec.SpecError, match=message):
    runtimes.build(text, deterministic=False)
