"""Whatever happens to a run from outside, nothing is lost and it ends with a clear word, or goes on."""

from collections.abc import Callable
import contextlib
import functools
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from experiments.results import metrics
from experiments.workers import worker_connection
from tests import binaries
from tests import language_model_runs as runs

_ROUNDS = 12  # So many that a test which looks now and then finds a run still under way.
_CRASHING = pathlib.Path(__file__).with_name('crashing_codec.py')
_command = functools.partial(runs.command, rounds=_ROUNDS, runtime='worker')
_in_both = pytest.mark.parametrize('runtime', runs.RUNTIMES)


@pytest.fixture(scope='module')
def finished(text, environment, tmp_path_factory) -> Callable[[str], pathlib.Path]:
  """Returns a function from a runtime to the folder of a run that nothing disturbed."""

  @functools.cache
  def of(runtime: str) -> pathlib.Path:
    output_dir = tmp_path_factory.mktemp('runs') / 'finished'
    process = runs.finish(_command(text, output_dir, runtime=runtime), environment)
    assert process.returncode == 0, process.stderr
    return output_dir

  return of


def _answers(socket_path: str) -> bool:
  with worker_connection.connect(f'unix:{socket_path}') as channel:
    return worker_connection.answers(channel, timeout_seconds=20)


def _retries(output_dir: pathlib.Path) -> int:
  return sum(row['round_retries'] for row in metrics.read(output_dir / 'metrics.csv'))


def test_a_killed_worker_is_replaced_and_its_round_repeated(finished, text, environment, tmp_path):
  output_dir = tmp_path / 'run'
  with runs.running(_command(text, output_dir), environment) as process:
    assert runs.wait_for(lambda: runs.num_rounds(output_dir) >= 0, process), process.stderr.read()
    os.kill(runs.worker_pids(process.pid)[0], signal.SIGKILL)
    assert process.wait(timeout=200) == 0, process.stderr.read()
  assert runs.repeatable(output_dir) == runs.repeatable(finished('worker'))
  assert _retries(output_dir) == 1


def test_workers_that_die_again_and_again_end_the_run_with_what_it_had(finished, text, environment, tmp_path):
  output_dir = tmp_path / 'run'
  command = _command(text, output_dir, rounds_per_checkpoint=_ROUNDS)

  def kill_all(process: binaries.Running) -> None:
    while process.poll() is None:
      for pid in runs.worker_pids(process.pid):
        with contextlib.suppress(ProcessLookupError):
          os.kill(pid, signal.SIGKILL)
      time.sleep(0.01)  # A worker that starts needs far longer, so that none lives to end a round.

  with runs.running(command, environment) as process:
    assert runs.wait_for(lambda: runs.num_rounds(output_dir) >= 1, process), process.stderr.read()
    threading.Thread(target=kill_all, args=(process,), daemon=True).start()
    assert process.wait(timeout=200) == 1
    assert 'error: ' in (stderr := process.stderr.read()) and 'Traceback' not in stderr, stderr
  assert (output_dir / 'checkpoints' / f'round_{runs.num_rounds(output_dir)}.safetensors').exists()
  resumed = runs.finish(command, environment)
  assert resumed.returncode == 0, resumed.stderr
  assert runs.repeatable(output_dir) == runs.repeatable(finished('worker'))


def test_a_remote_worker_that_dies_changes_no_bit(text, environment, tmp_path):
  local, output_dir = tmp_path / 'local', tmp_path / 'remote'
  process = runs.finish(_command(text, local, deterministic=True), environment)
  assert process.returncode == 0, process.stderr
  sockets = [str(tmp_path / f'{name}.sock') for name in 'ab']
  with contextlib.ExitStack() as started:
    offers = [
      started.enter_context(runs.running([sys.executable, '-m', 'experiments.worker', f'--socket={path}'], environment))
      for path in sockets
    ]
    for offer, path in zip(offers, sockets, strict=True):
      assert runs.wait_for(lambda path=path: _answers(path), offer), offer.stderr.read()
    spec = f'remote(workers={[f"unix:{path}" for path in sockets]})'
    command = _command(text, output_dir, deterministic=True, runtime=spec)
    process = started.enter_context(runs.running(command, environment))
    assert runs.wait_for(lambda: runs.num_rounds(output_dir) >= 1, process), process.stderr.read()
    os.kill(runs.worker_pids(offers[0].pid)[0], signal.SIGKILL)
    assert process.wait(timeout=200) == 0, process.stderr.read()
    assert 'the run goes on with 1 of 2 workers' in process.stderr.read()
  assert runs.repeatable(output_dir) == runs.repeatable(local)
  assert runs.weights(output_dir) == runs.weights(local)


@_in_both
def test_a_signal_saves_what_there_is_and_ends_soon(runtime, finished, text, environment, tmp_path):
  output_dir = tmp_path / 'run'
  command = _command(text, output_dir, rounds_per_checkpoint=_ROUNDS, runtime=runtime)
  for number, after in ((signal.SIGTERM, 1), (signal.SIGINT, 5)):
    with runs.running(command, environment) as process:
      assert runs.wait_for(lambda wanted=after: runs.num_rounds(output_dir) >= wanted, process), process.stderr.read()
      process.send_signal(number)
      assert process.wait(timeout=30) == 128 + number  # On a machine with nothing else to do, 10 are enough.
      stderr = process.stderr.read()
    reached = runs.num_rounds(output_dir)
    said = f'stopped by {number.name}; the same command goes on after round {reached}'
    assert said in stderr and 'Traceback' not in stderr, stderr
    assert (output_dir / 'checkpoints' / f'round_{reached}.safetensors').exists()
  resumed = runs.finish(command, environment)
  assert resumed.returncode == 0, resumed.stderr
  assert runs.repeatable(output_dir) == runs.repeatable(finished(runtime))
  assert runs.weights(output_dir) == runs.weights(finished(runtime))


# A worker is replaced twice; this process ends.
@pytest.mark.parametrize(
  ('runtime', 'exit_code', 'last_words'),
  [('worker', 1, 'error: gave up after 3 lost workers'), ('in_process', -signal.SIGABRT, 'the codec crashes')],
)
def test_a_codec_that_crashes_tensorflow_ends_a_run_that_goes_on_without(
  runtime, exit_code, last_words, finished, text, environment, tmp_path
):
  output_dir, file = tmp_path / 'run', tmp_path / 'crash'
  upload = f'uniform(bits=8)|crash(file={str(file)!r})'
  command = _command(text, output_dir, runtime=runtime, plugin=_CRASHING, upload=upload)
  with runs.running(command, environment) as process:
    assert runs.wait_for(lambda: runs.num_rounds(output_dir) >= 3, process), process.stderr.read()
    file.touch()
    assert process.wait(timeout=200) == exit_code, process.stderr.read()
    assert last_words in process.stderr.read()
  file.unlink()
  resumed = runs.finish(command, environment)
  assert resumed.returncode == 0, resumed.stderr
  assert runs.repeatable(output_dir) == runs.repeatable(finished(runtime))
  assert runs.weights(output_dir) == runs.weights(finished(runtime))


def test_a_second_process_on_one_folder_is_refused(text, environment, tmp_path):
  command = _command(text, tmp_path / 'run', rounds=10_000)
  with runs.running(command, environment) as process:
    assert runs.wait_for(lambda: (tmp_path / 'run' / 'config.json').exists(), process), process.stderr.read()
    second = runs.finish(command, environment)
  assert second.returncode == 2
  assert 'another process writes to' in second.stderr


@_in_both
def test_a_corrupt_checkpoint_costs_only_the_rounds_since_the_one_before(
  runtime, finished, text, environment, tmp_path
):
  output_dir = shutil.copytree(finished(runtime), tmp_path / 'run')
  data = output_dir / 'checkpoints' / f'round_{_ROUNDS}.safetensors'
  data.write_bytes(data.read_bytes()[:-20])
  process = runs.finish(_command(text, output_dir, runtime=runtime), environment)
  assert process.returncode == 0, process.stderr
  assert (
    f'the checkpoint of round {_ROUNDS}' in process.stderr
    and 'is damaged: looking for the one before' in process.stderr
  )
  assert runs.repeatable(output_dir) == runs.repeatable(finished(runtime))


@pytest.mark.parametrize('damage', ['torn', 'missing', 'a row lost'])
def test_damaged_metrics_are_refused(damage, finished, text, environment, tmp_path):
  output_dir = shutil.copytree(finished('worker'), tmp_path / 'run')
  path = output_dir / 'metrics.csv'
  lines = path.read_text().splitlines(keepends=True)
  if damage == 'missing':
    path.unlink()
  else:
    path.write_text(''.join(lines)[:-100] if damage == 'torn' else ''.join(lines[:2] + lines[3:]))
  process = runs.finish(_command(text, output_dir, rounds=_ROUNDS + 1), environment)
  assert process.returncode == 2
  assert f'has not all rows up to round {_ROUNDS}' in process.stderr and 'Traceback' not in process.stderr


def _damage(cache: pathlib.Path, num_clients: int) -> None:
  """Overwrites an example of that many training clients."""
  database = next(cache.glob('*.sqlite'))
  with sqlite3.connect(database) as connection:
    query = "SELECT DISTINCT client_id FROM examples WHERE split_name = 'train' ORDER BY client_id"
    for (client_id,) in connection.execute(query).fetchmany(num_clients):
      connection.execute(
        "UPDATE examples SET serialized_example_proto = x'ff00' WHERE rowid ="
        ' (SELECT min(rowid) FROM examples WHERE client_id = ?)',
        (client_id,),
      )


@_in_both
@pytest.mark.parametrize(('num_clients', 'exit_code'), [(1, 0), (12, 1)])
def test_clients_that_cannot_be_read_are_skipped_and_counted(
  num_clients, exit_code, runtime, finished, text, environment, tmp_path
):
  cache, output_dir = tmp_path / 'cache', tmp_path / 'run'
  finished(runtime)  # Has prepared the data.
  shutil.copytree(environment['LEANFED_CACHE'], cache)
  command = _command(text, output_dir, rounds=4, clients_per_round=15, runtime=runtime)
  _damage(cache, num_clients)
  process = runs.finish(command, runs.environment(cache))
  assert process.returncode == exit_code, process.stderr
  if exit_code:
    assert 'of 15 clients cannot be read' in process.stderr and 'Traceback' not in process.stderr, process.stderr
    return
  rows = metrics.read(output_dir / 'metrics.csv')[1:]
  assert {row['num_clients'] + row['skipped_clients'] for row in rows} == {15}
  assert sum(row['skipped_clients'] for row in rows) > 0


# $1 is where the disk is mounted, $2 where the run's folder is put in the end, the rest the command.
_ON_A_SMALL_DISK = """
disk=$1 after=$2; shift 2
mount -t tmpfs -o size=20m tmpfs "$disk" || exit 77
(until [ "$(wc -l < "$disk/run/metrics.csv")" -ge 4 ]; do sleep 0.05; done; cat /dev/zero > "$disk/filler") >/dev/null 2>&1 &
filling=$!
"$@"; code=$?
kill $filling 2>/dev/null
rm -f "$disk/filler"; cp -r "$disk/run" "$after"; exit $code
"""


@_in_both
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(runtime, finished, text, environment, tmp_path):
  disk, after = tmp_path / 'disk', tmp_path / 'after'
  disk.mkdir()
  command = _command(text, disk / 'run', rounds=20, runtime=runtime)
  script = [
    'unshare',
    '--user',
    '--map-root-user',
    '--mount',
    'sh',
    '-c',
    _ON_A_SMALL_DISK,
    'sh',
    str(disk),
    str(after),
  ]
  process = subprocess.run(
    [*script, *command], cwd=runs.ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
  )
  if process.returncode == 77 or 'unshare' in process.stderr:
    pytest.skip('the system allows no mount in a namespace')
  assert process.returncode == 1, process.stderr
  assert 'cannot write to' in process.stderr and 'Traceback' not in process.stderr, process.stderr
  resumed = runs.finish(_command(text, after, rounds=20, runtime=runtime), environment)
  assert resumed.returncode == 0, resumed.stderr
  assert runs.num_rounds(after) == 20
  assert runs.repeatable(after)[: _ROUNDS + 1] == runs.repeatable(finished(runtime))
