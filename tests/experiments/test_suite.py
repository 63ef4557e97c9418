"""The suite in Python does what its binaries do, also in an event loop, in a thread and when interrupted."""

import asyncio
import inspect
import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments import suite
from experiments.command import plugin_tables
from experiments.command import plugins
from experiments.federated import checkpoints
from experiments.results import run_files
from experiments.workers import graph_rewrites
from experiments.workers import local_runtime
from tests import language_model_runs


@pytest.fixture(autouse=True)
def _cache(environment, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', environment['LEANFED_CACHE'])


@pytest.fixture
def rewritten_graphs():
  """Lets TensorFlow rewrite graphs outside of rounds, as in a process of one's own; see tests/conftest.py."""
  options = tf.config.optimizer.get_experimental_options()
  tf.config.optimizer.set_experimental_options({name: not name.startswith('disable') for name in options})
  yield
  graph_rewrites.leave_out()


def test_a_run_is_that_of_the_binary(given, tmp_path, environment, rewritten_graphs):
  run = suite.language_model(**given, upload='uniform(bits=8)', output_dir=tmp_path / 'script')
  command = [f'--{name}={value}' for name, value in given.items()]
  done = language_model_runs.finish(
    [
      *(sys.executable, '-m', 'experiments.language_model', *command),
      *('--upload=uniform(bits=8)', f'--output_dir={tmp_path / "binary"}'),
    ],
    environment,
  )
  assert done.returncode == 0, done.stderr
  assert language_model_runs.weights(tmp_path / 'script') == language_model_runs.weights(tmp_path / 'binary')
  of_script, of_binary = (run_files.read_config(tmp_path / name) for name in ('script', 'binary'))
  for config in (of_script, of_binary):
    del config['settings']['output_dir']
  assert of_script == of_binary and of_script['binary'] == 'language_model'
  assert os.fspath(run) == str(tmp_path / 'script') and [row['round'] for row in run.rows] == [0, 1, 2]
  assert run.summary['upload_bytes_total'] == run.rows[-1]['upload_bytes_total'] > 0
  assert run.settings['rounds'] == 2


def test_names_of_a_plugin_are_there_for_a_call(given, tmp_path):
  plugin = tmp_path / 'mine.py'
  plugin.write_text('from models import lstm\ndef small():\n  return lstm.lstm(width=8, num_cells=8)\n')
  with plugin.open('a') as file:
    file.write('LANGUAGE_MODELS = {"small": small}\n')
  before = plugin_tables.tables()['LANGUAGE_MODELS'].builders.copy()
  run = suite.language_model(**given | dict(model='small', rounds=1), plugin=plugin, output_dir=tmp_path / 'run')
  assert run.settings['plugin'] == [plugins.fixed(str(plugin))]
  assert plugin_tables.tables()['LANGUAGE_MODELS'].builders == before and plugins.settings() == {}
  with pytest.raises(ValueError, match="unknown model 'small'"):
    suite.generate(pretrained=run, prompt='The cat')
  assert suite.generate(pretrained=run, prompt='The cat', plugin=plugin, num_tokens=1)


def test_an_editor_can_list_the_flags():
  parameters = inspect.signature(suite.language_model).parameters
  assert parameters['upload'].default == 'identity' and 'version' not in parameters and 'plugin' in parameters
  assert inspect.signature(suite.text_classification).parameters['rounds'].default == 20
  assert 'upload: How updates are encoded' in suite.language_model.__doc__
  assert 'trainable' not in inspect.signature(suite.layerwise_ssl).parameters


def test_it_runs_in_an_event_loop_and_in_a_thread(given, tmp_path):
  async def in_loop():
    return suite.language_model(**given | dict(rounds=1), output_dir=tmp_path / 'loop')

  runs = [asyncio.run(in_loop())]
  thread = threading.Thread(
    target=lambda: runs.append(suite.language_model(**given | dict(rounds=1), output_dir=tmp_path / 'thread'))
  )
  thread.start()
  thread.join()
  assert language_model_runs.weights(runs[0].folder) == language_model_runs.weights(runs[1].folder)


_INTERRUPTED = """
import sys
from data.sources import text as text_lib
from experiments import suite
given = dict(rounds=500, rounds_per_checkpoint=500, clients_per_round=5, model='lstm(width=8, num_cells=8)')
try:
  suite.language_model(**given, dataset=sys.argv[1], output_dir=sys.argv[2])
except KeyboardInterrupt as stopped:
  print('interrupted', stopped)
"""


def test_an_interrupt_ends_the_round_and_saves(text, tmp_path, environment):
  folder = tmp_path / 'run'
  arguments = [f'text(path={str(text)!r}, vocabulary=60)', str(folder)]
  process = subprocess.Popen(
    [sys.executable, '-c', _INTERRUPTED, *arguments],
    cwd=language_model_runs.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
  )  # fmt: skip
  assert language_model_runs.wait_for(lambda: language_model_runs.num_rounds(folder) >= 3, process)
  process.send_signal(signal.SIGINT)
  printed, errors = process.communicate(timeout=60)
  assert process.returncode == 0, errors
  assert 'interrupted SIGINT: the same call goes on after round ' in printed
  assert 'INFO' not in printed + errors and 'Traceback' not in errors
  saved = checkpoints.Checkpoints(folder / 'checkpoints').newest_round()
  assert saved >= 3 and saved == language_model_runs.num_rounds(folder)


def test_a_loop_of_ones_own_leaves_no_worker(tmp_path):
  script = tmp_path / 'loop.py'
  script.write_text(
    'from experiments import suite\n'
    'import tensorflow as tf, tensorflow_federated as tff\n'
    '@tff.tensorflow.computation(tf.int32)\n'
    'def twice(x): return 2 * x\n'
    'with suite.runtime("worker") as worker:\n'
    '  print(twice(4), worker.pid, flush=True)\n'
    'try:\n'
    '  twice(4)\n'
    'except RuntimeError as error:\n'
    '  print(error)\n'
  )
  done = subprocess.run(
    [sys.executable, str(script)], cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(language_model_runs.ROOT)},
    capture_output=True, text=True, check=False, timeout=120,
  )  # fmt: skip
  first, second = done.stdout.splitlines()
  assert first.startswith('8 ') and "TFF's worker" in second, done.stderr
  assert not pathlib.Path('/proc', first.split()[1]).exists()


def test_a_function_of_ones_own_is_told_each_row(given, tmp_path):
  rows = []
  run = suite.language_model(**given | dict(rounds=1), log_to=suite.each_row(rows.append), output_dir=tmp_path / 'run')
  assert [row['round'] for row in rows] == [0, 1] and rows[1]['upload_bytes'] == run.rows[1]['upload_bytes']


def test_plugins_of_two_threads_do_not_mix(given, tmp_path):
  plugin, entered, done = tmp_path / 'mine.py', threading.Event(), threading.Event()
  plugin.write_text(
    'from models import lstm\ndef small():\n  return lstm.lstm(width=8)\nLANGUAGE_MODELS = {"small": small}\n'
  )

  def hold():
    with plugins.using([str(plugin)]):
      entered.set()
      done.wait(60)

  thread = threading.Thread(target=hold)
  thread.start()
  assert entered.wait(60)
  try:
    with pytest.raises(ValueError, match='another thread runs with other plug-ins: give both the same, or wait for it'):
      suite.language_model(**given, output_dir=tmp_path / 'run')
    with plugins.using([str(plugin)]):
      assert plugins.settings() == {'plugin': [plugins.fixed(str(plugin))]}
  finally:
    done.set()
    thread.join()
  assert 'small' not in plugin_tables.tables()['LANGUAGE_MODELS'].builders


@pytest.mark.parametrize(('where', 'is_worker'), [('worker', True), ('in_process(threads=2)', False)])
def test_a_loop_of_ones_own_computes_where_it_says(where, is_worker):
  @tff.tensorflow.computation(tf.int32)
  def twice(x):
    return 2 * x

  with suite.runtime(where) as started:
    assert twice(3) == 6
    assert isinstance(started, local_runtime.LocalWorker) == is_worker
  with pytest.raises(ValueError, match="unknown runtime 'nowhere'"), suite.runtime('nowhere'):
    pass


def test_a_runtime_around_another_goes_on():
  @tff.tensorflow.computation(tf.int32)
  def twice(x):
    return 2 * x

  with suite.runtime():
    with suite.runtime():
      assert twice(3) == 6
    assert twice(4) == 8
