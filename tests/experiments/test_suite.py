"""The suite in Python does what its binaries do, also with objects, in an event loop, in a thread and when interrupted."""

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

from compression import stage
from compression.stages import uniform
from data.sources import text as text_lib
from experiments import suite
from experiments.command import given_objects
from experiments.command import plugin_tables
from experiments.command import plugins
from experiments.command import spec
from experiments.results import run_files
from models import catalog
from models import lstm
from optimizers import devices
from optimizers import fed_opt
from optimizers import policies
from tests import language_model_runs


class Halved(stage.Stage):
  """Sends half of each value."""

  def form(self, form):
    return form

  def encode(self, x, form, client_seed, shared_seed):
    return 0.5 * x, ()

  def decode(self, x, side, form, shared_seed):
    return 2.0 * x


class Forgetful(Halved):
  """Decodes by what it has kept."""

  def encode(self, x, form, client_seed, shared_seed):
    self.kept = tf.reduce_max(x)
    return x, ()

  def decode(self, x, side, form, shared_seed):
    return x * self.kept


@pytest.fixture(autouse=True)
def _cache(environment, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', environment['LEANFED_CACHE'])


@pytest.fixture(scope='module')
def given(text):
  """What makes a run small."""
  return dict(
    dataset=f'text(path={str(text)!r}, vocabulary=60)',
    model='lstm(width=8, num_cells=8)',
    rounds=2,
    clients_per_round=5,
    rounds_per_eval=1,
  )


@pytest.fixture(scope='module')
def of_objects(given, tmp_path_factory, environment):
  """A run of objects."""
  with pytest.MonkeyPatch.context() as patched:
    patched.setenv('LEANFED_CACHE', environment['LEANFED_CACHE'])
    folder = tmp_path_factory.mktemp('objects') / 'run'
    return suite.language_model(**given | _objects(), output_dir=folder)


def _objects(**others):
  found = dict(
    model=lstm.lstm(width=8, num_cells=8),
    upload=[Halved(), uniform.Uniform(bits=8)],
    algorithm=fed_opt.fed_adam(server_lr=0.1),
    trainable=policies.Head(),
  )
  return found | others


def test_a_run_is_that_of_the_binary(given, tmp_path, environment):
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


def test_objects_are_recorded_and_goes_on_with_equal_ones(given, of_objects):
  settings = of_objects.settings
  assert settings['upload'] == "object(name='Halved()')|object(name='Uniform(num_levels=256)')"
  assert settings['trainable'] == "object(name='Head()')" and settings['model'].startswith('object(name="lstm(')
  more = suite.language_model(**given | _objects(rounds=3), output_dir=of_objects)
  assert more.summary['rounds'] == 3
  with pytest.raises(ValueError, match='holds a run with upload='):
    suite.language_model(**given | _objects(rounds=4, upload=Halved()), output_dir=of_objects)
  # Called alike, but it is another.
  other = type('Halved', (Forgetful,), dict(encode=Halved.encode, decode=lambda self, x, *_: 1.5 * x))
  with pytest.raises(ValueError, match='holds a run with computations_sha256='):
    suite.language_model(**given | _objects(rounds=4, upload=[other(), uniform.Uniform(bits=8)]), output_dir=of_objects)
  assert suite.RunFolder(of_objects).summary['rounds'] == 3


def test_a_model_of_objects_is_used(of_objects, given, tmp_path):
  evaluated = suite.evaluate(pretrained=of_objects, dataset=given['dataset'], eval_clients=100)
  assert evaluated['eval/loss'] == pytest.approx(of_objects.summary['eval/loss'], rel=1e-5)
  ((text,),) = suite.generate(pretrained=of_objects, prompt='The cat', num_tokens=3)
  assert text.startswith('The cat')
  exported = suite.export(run=of_objects, output_dir=tmp_path / 'exported')
  assert (exported / 'tokenizer.model').exists()
  with pytest.raises(
    ValueError, match=r'model: lstm\(.* was an object of a script: give it, as every other of its run'
  ):
    suite.generate(pretrained=exported, prompt='The cat')
  again = suite.RunFolder(exported, model=lstm.lstm(width=8, num_cells=8), trainable=policies.Head())
  assert suite.generate(pretrained=again, prompt='The cat', num_tokens=3) == [[text]]
  with pytest.raises(ValueError, match=r"model was lstm\(.*'width': 8.*, and what is given is lstm\(.*'width': 9"):
    suite.generate(
      pretrained=suite.RunFolder(exported, model=lstm.lstm(width=9, num_cells=8), trainable=policies.Head()),
      prompt='The cat',
    )


def test_runs_of_objects_are_compared_by_what_they_call_themselves(of_objects, given, tmp_path):
  plain = suite.language_model(**given | dict(rounds=1), output_dir=tmp_path / 'plain')
  compared = suite.compare(runs=[of_objects, plain], output_dir=tmp_path / 'compared', csv=tmp_path / 'all.csv')
  page = (tmp_path / 'compared' / 'index.html').read_text()
  assert 'Halved + Uniform' in page and 'runs of a script, by suite.language_model' in page
  assert [picture.name for picture in compared.pictures][:2] == ['download.png', 'pareto.png']
  html = compared._repr_html_()
  assert html.count('<img ') == len(compared.pictures) and '<th>setting</th>' in html and 'Halved()' in html
  assert (tmp_path / 'all.csv').read_text().count('\n') > 4


def test_a_name_of_a_catalogue_stands_for_the_object(of_objects, given, tmp_path):
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


@pytest.mark.parametrize(
  ('others', 'error', 'message'),
  [
    (dict(roundz=3), suite.UsageError, r"has no flag 'roundz' \(did you mean 'rounds'\?\)"),
    (dict(upload='unifrom'), spec.SpecError, "did you mean 'uniform'"),
    (dict(upload=Forgetful()), spec.SpecError, 'cannot be encoded and decoded'),
    (dict(upload=fed_opt.fed_adam()), spec.SpecError, "upload takes a spec such as 'name.argument=value.' or Identity"),
    (dict(algorithm=Halved()), spec.SpecError, r'algorithm takes a spec .* or Algorithm, not <.*Halved'),
    (dict(model=3), suite.UsageError, r'model=3 is not what --model takes'),
    (dict(trainable=policies.Head(), devices='tiers(shares=[1.0])'), spec.SpecError, 'give Devices instead'),
    (dict(trainable='head', devices=devices.ALIKE), spec.SpecError, "trainable='head' does not apply: the devices"),
    (dict(log_to=print), suite.UsageError, r'makes no block around a run: write suite.each_row\(function\)'),
    (dict(model=lambda: 3), spec.SpecError, 'model is a function of a vocabulary size: too many positional arguments'),
    (dict(model=lambda size: size), spec.SpecError, r'what the model function makes takes a spec .* or Model, not \d+'),
    (dict(upload=Halved), spec.SpecError, 'not <class .*Halved.>: call it'),
    (dict(output_dir=None), suite.UsageError, '--output_dir is missing'),
  ],
)
def test_bad_input_is_a_clear_exception(given, others, error, message, tmp_path):
  with pytest.raises(error, match=message) as raised:
    suite.language_model(**given | dict(output_dir=tmp_path / 'run') | others)
  assert isinstance(raised.value, ValueError) and '\n' not in str(raised.value)
  assert not (tmp_path / 'run').exists()


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
  saved = max(int(path.name.removeprefix('round_')) for path in (folder / 'checkpoints').glob('round_*'))
  assert saved >= 3 and saved == language_model_runs.num_rounds(folder)


def test_a_loop_of_ones_own_leaves_no_worker(tmp_path):
  script = tmp_path / 'loop.py'
  script.write_text(
    'from experiments import suite\n'
    'import tensorflow as tf, tensorflow_federated as tff\n'
    '@tff.tensorflow.computation(tf.int32)\n'
    'def twice(x): return 2 * x\n'
    'with suite.runtime() as worker:\n'
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
  # Who is told may change, as on the command line.
  suite.language_model(**given, log_to=suite.each_row(rows.append), output_dir=run)
  assert [row['round'] for row in rows] == [0, 1, 2]


def test_a_function_that_is_called_like_a_builder_of_the_suite_is_not_taken_for_it(given, tmp_path):
  def lstm():
    return lambda size: catalog.LANGUAGE_MODELS['lstm'](width=8, num_cells=8)(size)

  run = suite.language_model(**given | dict(rounds=0, model=lstm()), output_dir=tmp_path / 'run')
  assert run.settings['model'].endswith("lstm()')")
  with pytest.raises(ValueError, match='was an object of a script'):
    suite.generate(pretrained=os.fspath(run), prompt='The cat')
  assert suite.generate(pretrained=run, prompt='The cat', num_tokens=1)


class Scaled(Halved):
  """Sends a multiple of each value."""

  def __init__(self, scale):
    self._scale = tf.constant(scale)

  def encode(self, x, form, client_seed, shared_seed):
    return self._scale * x, ()


def test_what_an_object_holds_is_part_of_its_name():
  first, second, again = (given_objects.recorded(Scaled(scale)) for scale in (0.5, 0.25, 0.5))
  assert first == again != second and first.startswith('object(name="Scaled(scale=\'')


def test_stages_of_another_object_are_refused(tmp_path):
  given = dict(
    model='vit(width=8, mlp_width=8, num_layers=1, num_heads=2, patch_size=4)', stages='end_to_end', rounds=1,
    clients_per_round=1, local_epochs=1, probe_examples=20, output_dir=tmp_path / 'run',
  )  # fmt: skip
  suite.layerwise_ssl(**given, upload=Halved())
  other = type('Halved', (Halved,), dict(decode=lambda self, x, *_: 0.0 * x))
  with pytest.raises(ValueError, match='holds a run with computations_sha256='):
    suite.layerwise_ssl(**given, upload=other())


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


def test_a_runtime_around_another_goes_on():
  @tff.tensorflow.computation(tf.int32)
  def twice(x):
    return 2 * x

  with suite.runtime():
    with suite.runtime():
      assert twice(3) == 6
    assert twice(4) == 8


def test_a_data_set_given_as_an_object_is_known_by_its_content(given, text, tmp_path):
  source = text_lib.text(path=str(text), vocabulary=60)
  run = suite.language_model(**given | dict(rounds=0, dataset=source), output_dir=tmp_path / 'run')
  assert run.settings['dataset'] == 'object(name="TextSource(\'text\')")'
