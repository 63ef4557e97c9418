"""The worker process ends with its program in every way a program can end, and keeps quiet, small and reachable till then."""

from collections.abc import Callable
from collections.abc import Iterator
from concurrent import futures
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments.command import tied_process
from experiments.workers import local_runtime

_ROOT = pathlib.Path(__file__).parents[3]
_PROGRAM_SECONDS = 90  # Importing TFF takes 3 to 20 s, depending on what else the machine does.

# Prints its worker's pid and a sum that a federated computation made, then ends in the given way, or computes for ever.
_PROGRAM = """
import os, pathlib, signal, sys
import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from experiments.workers import local_runtime as runtime

ending, log_path = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell's background job inherits that it is ignored.

@tff.federated_computation(tff.FederatedType(np.int32, tff.CLIENTS))
def total(values):
  return tff.federated_sum(values)

@tff.tensorflow.computation(np.int64)
def count_for_ever(step):
  return tf.while_loop(lambda i: i < 2**62, lambda i: [i + step], [tf.constant(0, tf.int64)])

with runtime.local_runtime(pathlib.Path(log_path)) as worker:
  print(worker.pid, total([1, 2, 3]), flush=True)
  if ending == 'exception':
    raise ValueError('planted')
  if ending == 'os_exit':
    os._exit(3)
  if ending == 'signal':
    count_for_ever(1)
"""

# What only a worker prints: its own sources, and TensorFlow's as they were compiled into it.
_WORKER_CHATTER = ('tensorflow_federated/cc/', 'external/org_tensorflow')


def _environment(directory: pathlib.Path) -> dict[str, str]:
  # JAX, which TFF imports, lowers an unset log level for the program and so for its worker: this keeps the worker chatty.
  return os.environ | {'PYTHONPATH': str(_ROOT), 'TF_CPP_MIN_LOG_LEVEL': '0', 'TMPDIR': str(directory)}


def _is_running(worker_pid: int) -> bool:
  try:
    # Empty for a zombie, which holds nothing and is its new parent's to collect.
    return b'worker_binary' in pathlib.Path(f'/proc/{worker_pid}/cmdline').read_bytes()
  except FileNotFoundError:
    return False


def _happens_soon(condition: Callable[[], bool]) -> bool:
  deadline = time.monotonic() + 5
  while not condition():
    if time.monotonic() > deadline:
      return False
    time.sleep(0.05)
  return True


class Ending:
  """What a program that ended in a given way left behind."""

  def __init__(self, directory: pathlib.Path, name: str, signal_number: int | None = None):
    program = directory / 'program.py'
    log = directory / f'{name}.log'
    stderr = directory / f'{name}.stderr'
    temporary = directory / name
    temporary.mkdir()
    with open(stderr, 'wb') as stderr_file:
      process = subprocess.Popen(
        [sys.executable, str(program), 'signal' if signal_number else name, str(log)],
        stdout=subprocess.PIPE,
        stderr=stderr_file,
        env=_environment(temporary),
        start_new_session=True,
      )
    first_line = process.stdout.readline()
    worker_pid = int(first_line.split()[0]) if first_line else 0
    self.worker_was_running = _is_running(worker_pid)
    if signal_number:
      time.sleep(1)  # Till the endless computation runs.
      # As from the terminal: to the whole process group, of which the worker is no part.
      os.killpg(process.pid, signal_number)
    rest, _ = process.communicate(timeout=_PROGRAM_SECONDS)
    self.stdout = (first_line + rest).decode()
    self.stderr = stderr.read_text()
    self.log = log.read_text()
    self.exit_status = process.returncode
    self.worker_is_gone = _happens_soon(lambda: not _is_running(worker_pid))
    self.socket_is_gone = _happens_soon(lambda: not list(temporary.glob('leanfed-*')))


def _last_line_through_pipe(directory: pathlib.Path) -> str:
  command = f'"{sys.executable}" "{directory}/program.py" os_exit "{directory}/pipe.log" 2>&1 | tail -1'
  return subprocess.run(
    command,
    shell=True,
    env=_environment(directory),
    timeout=_PROGRAM_SECONDS,
    stdout=subprocess.PIPE,
    text=True,
    check=True,
  ).stdout


@pytest.fixture(scope='module')
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, futures.Future]]:
  """Programs that end in every way, by its name; 'pipe' is the last line that one printed into a pipe."""
  directory = tmp_path_factory.mktemp('programs')
  (directory / 'program.py').write_text(_PROGRAM)
  # Each program spends most of its time importing TFF: two at a time.
  with futures.ThreadPoolExecutor(2) as pool:
    found = {name: pool.submit(Ending, directory, name) for name in ('normal', 'exception', 'os_exit')}
    for name in ('SIGINT', 'SIGTERM', 'SIGKILL'):
      found[name] = pool.submit(Ending, directory, name, getattr(signal, name))
    found['pipe'] = pool.submit(_last_line_through_pipe, directory)
    yield found


@pytest.mark.parametrize(
  ('name', 'exit_status'),
  [
    pytest.param('normal', 0, id='normal'),
    pytest.param('exception', 1, id='exception'),
    pytest.param('os_exit', 3, id='os_exit'),
    pytest.param('SIGINT', -signal.SIGINT, id='ctrl_c'),
    pytest.param('SIGTERM', -signal.SIGTERM, id='sigterm'),
    pytest.param('SIGKILL', -signal.SIGKILL, id='sigkill'),
  ],
)
def test_worker_ends_with_program(name, exit_status, programs):
  ending = programs[name].result()
  assert ending.exit_status == exit_status, ending.stderr
  assert re.search(r'^\d+ 6\n$', ending.stdout)
  if exit_status < 0:  # Any other program may have ended before this could be seen.
    assert ending.worker_was_running
  assert ending.worker_is_gone
  assert ending.socket_is_gone


@pytest.mark.parametrize('name', ['normal', 'exception', 'os_exit', 'SIGINT', 'SIGTERM', 'SIGKILL'])
def test_worker_prints_to_its_log_only(name, programs):
  ending = programs[name].result()
  for chatter in _WORKER_CHATTER:
    assert chatter in ending.log
    assert chatter not in ending.stderr


@pytest.mark.parametrize(('name', 'last_line'), [('exception', 'ValueError: planted'), ('SIGINT', 'KeyboardInterrupt')])
def test_traceback_is_the_last_thing_printed(name, last_line, programs):
  assert programs[name].result().stderr.splitlines()[-1] == last_line


def test_pipe_to_tail_ends(programs):
  assert re.search(r'^\d+ 6\n$', programs['pipe'].result())


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
  launcher = [sys.executable, '-I', '-S', tied_process.__file__]
  return subprocess.run([*launcher, *arguments], capture_output=True, text=True, timeout=20)


def test_runs_command_with_arguments():
  assert _run(str(os.getpid()), 'echo', 'a b', '--c').stdout == 'a b --c\n'


def test_does_not_start_for_a_parent_that_is_gone():
  result = _run('1', 'echo', 'started')
  assert (result.returncode, result.stdout) == (1, '')
  assert result.stderr == 'tied_process: the parent 1 is gone\n'


def test_names_a_command_that_cannot_run():
  result = _run(str(os.getpid()), '/no/such/command')
  assert result.returncode == 1
  assert result.stderr == 'tied_process: cannot run /no/such/command: No such file or directory\n'


@pytest.mark.parametrize(
  ('command', 'message'),
  [
    pytest.param(['/bin/false'], r"^TFF's worker ended with exit status 1; see \S+worker\.log$", id='ends'),
    pytest.param(['/no/such/binary'], r"^TFF's worker ended with exit status 1; see \S+worker\.log$", id='is_missing'),
    pytest.param(
      ['sleep', '60'], r"^TFF's worker did not answer within 0\.5 seconds; see \S+worker\.log$", id='never_answers'
    ),
  ],
)
def test_one_line_for_a_worker_that(command, message, tmp_path, monkeypatch):
  log_path = tmp_path / 'worker.log'
  monkeypatch.setattr(local_runtime, 'worker_command', lambda *arguments, **keywords: command)
  monkeypatch.setattr(local_runtime, '_START_SECONDS', 0.5 if command[0] == 'sleep' else 60.0)
  with pytest.raises(RuntimeError, match=message):
    local_runtime.LocalWorker(log_path)


def test_start_refuses_a_limit_below_one():
  with pytest.raises(ValueError, match='max_concurrent_calls must be at least 1, not 0'):
    local_runtime.LocalWorker(pathlib.Path('/dev/null'), max_concurrent_calls=0)


def test_reserved_port_is_taken_for_all_others():
  with local_runtime.reserved_port() as port, local_runtime.reserved_port() as other_port:
    assert port != other_port
    with socket.socket() as stranger, pytest.raises(OSError, match='Address already in use'):
      stranger.bind(('127.0.0.1', port))


@tff.federated_computation(tff.FederatedType(tff.SequenceType(np.int64), tff.CLIENTS))
def _sum_of_sequences(sequences):
  reduce = tff.tensorflow.computation(lambda data: data.reduce(np.int64(0), lambda a, b: a + b))
  return tff.federated_sum(tff.federated_map(reduce, sequences))


@pytest.fixture
def own_worker(tmp_path: pathlib.Path) -> Iterator[local_runtime.LocalWorker]:
  """A worker of this test alone, which may be killed."""
  with local_runtime.local_runtime(tmp_path / 'worker.log', max_concurrent_calls=2, threads_per_call=3) as worker:
    yield worker


def test_runs_an_operation_on_so_many_threads(own_worker):
  settings = pathlib.Path(f'/proc/{own_worker.pid}/environ').read_bytes().split(b'\0')
  assert b'TF_NUM_INTRAOP_THREADS=3' in settings


@pytest.mark.usefixtures('own_worker')
def test_runs_data_sets_of_more_clients_than_the_limit():
  assert _sum_of_sequences([tf.data.Dataset.range(n) for n in range(6)]) == 20  # 0 + 0 + 1 + 3 + 6 + 10


@pytest.mark.usefixtures('own_worker')
def test_reads_client_data_in_the_worker(tmp_path):
  path = str(tmp_path / 'clients.sqlite')
  data = tff.simulation.datasets.TestClientData({'a': {'x': [0, 1, 2]}, 'b': {'x': [0, 1, 2, 3, 4]}})
  tff.simulation.datasets.save_to_sql_client_data(data.client_ids, data.create_tf_dataset_for_client, path)
  stored = tff.simulation.datasets.load_and_parse_sql_client_data(path, {'x': tf.TensorSpec((), tf.int32)})
  stored = stored.preprocess(lambda data: data.map(lambda example: tf.cast(example['x'], tf.int64)))
  from_ids = tff.simulation.compose_dataset_computation_with_computation(stored.dataset_computation, _sum_of_sequences)
  assert from_ids(['a', 'b', 'a']) == 16  # 3 + 10 + 3


def test_local_runtime_reports_memory(own_worker):
  assert own_worker.rss_bytes() > 10**7
  assert own_worker.peak_rss_bytes() >= own_worker.rss_bytes()


def test_memory_is_flat_when_the_number_of_clients_varies(own_worker):
  state_type = tff.TensorType(np.float32, [10**6])

  @tff.federated_computation(tff.FederatedType(state_type, tff.SERVER), tff.FederatedType(np.float32, tff.CLIENTS))
  def next_state(state, updates):
    add = tff.tensorflow.computation(lambda state, update: state + update)
    return tff.federated_map(add, (state, tff.federated_sum(updates)))

  rss_bytes = []
  for _ in range(3):
    for num_clients in range(1, 16):
      next_state(np.zeros(10**6, np.float32), [1.0] * num_clients)
    rss_bytes.append(own_worker.rss_bytes())
  # TFF's own executor factory adds three states of 4 MB at each of these 30 calls: 360 MB.
  assert rss_bytes[-1] - rss_bytes[0] < 60 * 10**6


def test_dead_worker_is_an_error_and_no_endless_retry(own_worker):
  assert _sum_of_sequences([tf.data.Dataset.range(3)]) == 3
  os.kill(own_worker.pid, signal.SIGKILL)
  with pytest.raises(RuntimeError, match=r"^TFF's worker ended by signal 9; see \S+worker\.log$"):
    _sum_of_sequences([tf.data.Dataset.range(3)])
  with pytest.raises(RuntimeError, match=r"^TFF's worker ended by signal 9"):
    own_worker.rss_bytes()


def test_computation_after_the_block_is_an_error(own_worker):
  own_worker.stop()
  with pytest.raises(RuntimeError, match=r"^TFF's worker ended by signal 9"):
    _sum_of_sequences([tf.data.Dataset.range(3)])
