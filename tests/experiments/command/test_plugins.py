"""Plug-ins: what they add is known everywhere, what they break is said in one line, and nothing of it stays."""

import hashlib
import json
import pathlib
import shutil

import pytest

from experiments.command import codec_specs
from experiments.command import failures
from experiments.command import plugin_tables
from experiments.command import plugins
from experiments.command import spec
from experiments.costs import client_round
from experiments.costs import measured_case
from experiments.results import run_files
from experiments.sweeping import binary_flags
from experiments.sweeping import sweep_file
from tests import binaries
from tests import language_model_runs as runs

_ROOT = pathlib.Path(__file__).parents[3]
_EXAMPLE, _CODEC = _ROOT / 'examples/own_plugin.py', _ROOT / 'examples/own_codec.py'


@pytest.fixture
def unloaded(monkeypatch):
  """Catalogues and plug-ins are afterwards what they were."""
  monkeypatch.setattr(plugins, '_loaded', {})
  before = [(table.builders, dict(table.builders)) for table in plugin_tables.tables().values()]
  yield
  for builders, content in before:
    builders.clear()
    builders.update(content)


def _written(folder: pathlib.Path, text: str) -> str:
  path = folder / 'plugin.py'
  path.write_text(text)
  return str(path)


_STAGE = """
from compression import stage
class Nothing(stage.Stage):
  def form(self, form):
    return form
  def encode(self, x, form, client_seed, shared_seed):
    return x, ()
  def decode(self, x, side, form, shared_seed):
    return x
"""


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('1 / 0', 'raises ZeroDivisionError in line 1: division by zero'),
    ('x = 1\nx = = 2', 'raises SyntaxError in line 2: invalid syntax'),
    ('import no_such_module', "raises ModuleNotFoundError in line 1: No module named 'no_such_module'"),
    ('raise SystemExit(0)', 'raises SystemExit in line 1: 0'),
    ('x = 1', "adds nothing: give it a table such as STAGES = {'name': Builder}; the tables are STAGES, ADAPTIVE,"),
    ('STAGE = {}', 'adds nothing (did you mean STAGES?)'),
    ('STAGES = [1]', "STAGES is no table: write STAGES = {'name': Builder}"),
    ('STAGES = {"a b": dict}', "'a b' of STAGES is no name: use letters, digits and _"),
    ('STAGES = {"lambda": dict}', "'lambda' of STAGES is no name"),
    ('STAGES = {3: dict}', '3 of STAGES is no name'),
    ('STAGES = {"mine": 3}', "STAGES['mine'] is no builder: give a class or a function"),
    ('STAGES = {"uniform": dict}', "'uniform' of STAGES exists among the codecs: rename it"),
    ('STAGES = {"concat": dict}', "'concat' of STAGES exists among the codecs"),
    ('STAGES = {"rate_distortion": dict}', "'rate_distortion' of STAGES exists among the codecs"),
    ('STAGES = {"help": dict}', "'help' of STAGES exists among the codecs"),
    ('DATASETS = {"digits": dict}', "'digits' of DATASETS exists among the data sets"),
    ('VISION_MODELS = {"lstm": dict}', "'lstm' of VISION_MODELS exists among the models"),
    ('POLICIES = {"layerwise": dict}', "'layerwise' of POLICIES exists among the policies"),
  ],
)
def test_a_file_that_is_no_plugin_is_refused_in_one_line(text, message, tmp_path, unloaded):
  before = {name: list(table.builders) for name, table in plugin_tables.tables().items()}
  path = _written(tmp_path, f'{text}\nPOLICIES = {{"new": dict}}' if text.startswith('STAGES = {"u') else text)
  with pytest.raises(failures.UsageError) as raised:
    plugins.load(path)
  assert f'--plugin={path}' in str(raised.value) and message in str(raised.value)
  assert {name: list(table.builders) for name, table in plugin_tables.tables().items()} == before
  assert plugins.settings() == {}


def test_a_table_of_another_binary_adds_nothing_here(tmp_path, unloaded, monkeypatch):
  monkeypatch.setattr(plugin_tables, '_of_wings', {})
  plugin = plugins.load(_written(tmp_path, 'METHODS = {"mine": dict}'))
  assert plugin.names == {} and plugins.settings() == {'plugin': [plugin.text]}


def test_a_file_that_is_not_there_is_refused(tmp_path):
  with pytest.raises(
    failures.UsageError, match=r'no\.py cannot be read: No such file or directory; name a Python file'
  ):
    plugins.load(str(tmp_path / 'no.py'))


def test_names_of_two_tables_of_one_kind_differ_too(tmp_path, unloaded):
  plugins.load(_written(tmp_path, f'{_STAGE}\nSTAGES = {{"nothing": Nothing}}'))
  (tmp_path / 'other.py').write_text(f'{_STAGE}\nSTAGES = {{"nothing": Nothing}}')
  with pytest.raises(failures.UsageError, match="'nothing' of STAGES exists among the codecs"):
    plugins.load(str(tmp_path / 'other.py'))


def test_a_plugin_is_run_once_and_a_changed_one_refused(tmp_path, unloaded):
  path = _written(tmp_path, f'{_STAGE}\nSTAGES = {{"nothing": Nothing}}')
  first = plugins.load(path)
  assert plugins.load(path) is first and str(codec_specs.build('nothing|uniform(bits=4)').codec) == 'nothing|uniform'
  assert first.text == f'{path}#sha256={hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()}'
  assert plugins.fixed(path) == first.text
  with pytest.raises(failures.UsageError, match='has changed since it was loaded: start a new process'):
    plugins.load(_written(tmp_path, '\n'))
  with pytest.raises(failures.UsageError, match=r'has the SHA-256 01ba4719\w+, not [0-9a-f]+: it was changed'):
    plugins.load(first.text)


_REMEMBERS = """
import tensorflow as tf
from compression import stage
class Remembers(stage.Stage):
  def form(self, form):
    return form
  def encode(self, x, form, client_seed, shared_seed):
    self.scale = tf.reduce_max(x)
    return x / self.scale, ()
  def decode(self, x, side, form, shared_seed):
    return x * self.scale
class Half(Remembers):
  def encode(self, x, form, client_seed, shared_seed):
    return x[:form.size // 2], ()
  def decode(self, x, side, form, shared_seed):
    return x
class Keeps(Remembers):
  def __init__(self):
    self.scale = tf.Variable(0.0)
  def encode(self, x, form, client_seed, shared_seed):
    self.scale.assign(tf.reduce_max(x))
    return x / self.scale, ()
class Python(Remembers):
  def encode(self, x, form, client_seed, shared_seed):
    return tf.ensure_shape(tf.numpy_function(lambda x: x, [x], tf.float32), x.shape), ()
  def decode(self, x, side, form, shared_seed):
    return x
class Infinite(Python):
  def encode(self, x, form, client_seed, shared_seed):
    return x / 0.0, ()
class Two(Remembers):
  gives = stage.Kind.LEVELS
  def form(self, form):
    return stage.Form(stage.Kind.LEVELS, form.size, 2)
  def encode(self, x, form, client_seed, shared_seed):
    return tf.cast(tf.sign(x), tf.int32) + 1, ()
  def decode(self, x, side, form, shared_seed):
    return tf.cast(x - 1, tf.float32)
STAGES = {'remembers': Remembers, 'half': Half, 'keeps': Keeps, 'python': Python, 'infinite': Infinite, 'two': Two}
"""


@pytest.mark.parametrize(
  ('codec', 'message'),
  [
    ('remembers', "'remembers': 100 values cannot be encoded and decoded"),
    ('remembers', 'decode has what encode returns, its form and the shared seed, and nothing else'),
    ('concat|remembers|uniform(bits=8)', '100 values cannot be encoded and decoded'),
    ('small_as(codec="remembers", size=9)|uniform(bits=8)', '100 values cannot be encoded and decoded'),
    ('hadamard|remembers|uniform(bits=8)|rans', '100 values cannot be encoded and decoded'),
    ('half', 'of 100 floats decode makes float32 of shape (50,)'),
    ('two', 'a stage makes 100 levels from 0 to 2, where its form declares 100 from 0 to 1'),
    ('hadamard|two', 'where its form declares 128 from 0 to 1'),
    ('keeps', 'it keeps a variable, which does not travel between clients and server'),
    ('concat|keeps|uniform(bits=8)', 'it keeps a variable'),
    ('small_as(codec="keeps", size=9)|uniform(bits=8)', 'it keeps a variable'),
    ('python', 'it runs Python, which does not travel'),
    ('infinite', 'of 100 floats from -1 to 1 decode makes some that are not finite'),
  ],
)
def test_a_stage_whose_decode_needs_what_did_not_travel_is_refused(codec, message, tmp_path, unloaded):
  plugins.load(_written(tmp_path, _REMEMBERS))
  with pytest.raises(spec.SpecError) as raised:
    codec_specs.build(codec, 'upload')
  assert message in str(raised.value) and '\n' not in str(raised.value)
  with pytest.raises(spec.SpecError, match=r'^download '):
    codec_specs.build_download(codec)


_ADAPTS = """
from compression import rate_distortion
class Coarse(rate_distortion.RateDistortion):
  pass
ADAPTIVE = {'coarse': Coarse}
"""


def test_what_adapts_is_refused_where_it_cannot_be(tmp_path, unloaded):
  plugins.load(_written(tmp_path, _ADAPTS))
  with pytest.raises(spec.SpecError, match='is a whole codec, which stands alone'):
    codec_specs.build('small_as(codec="coarse", size=9)|uniform(bits=8)')
  with pytest.raises(spec.SpecError, match='it stands alone'):
    codec_specs.build('concat|coarse')
  with pytest.raises(spec.SpecError, match='follows the votes of clients on their uploads: use it for --upload'):
    codec_specs.build_download('coarse')


_OF_OTHER_KINDS = """
from models import lstm
class Plain:
  '''Nothing of the suite.'''
def none():
  '''Returns nothing.'''
def layers():
  return lambda vocabulary_size: Plain()
TABLES
"""


def test_what_a_builder_returns_must_be_of_the_kind_of_its_table(tmp_path, unloaded):
  adds = '\n'.join(
    f'{table} = {{"plain_{n}": Plain, "none_{n}": none}}' for n, table in enumerate(plugin_tables.tables())
  )
  path = _written(tmp_path, _OF_OTHER_KINDS.replace('TABLES', f'{adds}\nLANGUAGE_MODELS["layers"] = layers'))
  plugins.load(path)
  for number, (name, table) in enumerate(plugin_tables.tables().items()):
    for builder, made in ((f'plain_{number}', 'Plain'), (f'none_{number}', 'NoneType')):
      with pytest.raises(failures.UsageError, match=rf"{name}\['{builder}'\] makes {made}, not [a-z]"):
        table.builders[builder]()
  with pytest.raises(failures.UsageError, match=r"what .*\['layers'\] returns makes Plain, not models.model.Model"):
    plugin_tables.tables()['LANGUAGE_MODELS'].builders['layers']()(9)
  assert plugins.entries()['links']['plain_0']['summary'] == 'Nothing of the suite.'


def test_an_error_of_its_code_is_said_in_one_line(tmp_path):
  path = _written(tmp_path, 'def broken():\n  return lambda size: size / 0\nLANGUAGE_MODELS = {"broken": broken}\n')
  flags = [f'--plugin={path}', '--model=broken', '--policies=all', f'--output_dir={tmp_path / "out"}']
  done = binaries.run('experiments.client_cost', flags)
  assert done.returncode == 2
  assert done.stderr == f'error: --plugin={path} raises ZeroDivisionError in line 2: division by zero\n'


def test_operations_of_a_keras_model_whose_shapes_are_unknown_are_not_counted(unloaded):
  plugins.load(str(_EXAMPLE))
  case = measured_case.Case(
    'gru(width=4)', 'body', 'identity', vocabulary_size=9, sequence_length=5, batch_size=2, num_steps=1
  )
  one = client_round.ClientRound(case)
  with pytest.raises(spec.SpecError, match=r"operations of 'gru\(width=4\)' cannot be counted"):
    one.step_cost(one.traffic())


def test_its_names_answer_help():
  done = binaries.run('experiments.language_model', [f'--plugin={_CODEC}', '--upload=help(max_scaled)'])
  assert done.returncode == 0 and 'Rounds 127 x / max|x| to the nearest whole number.' in done.stdout, done.stderr
  done = binaries.run('experiments.client_cost', ['--plugin', str(_EXAMPLE), '--model', 'help'])
  assert done.returncode == 0 and 'gru' in done.stdout and 'lstm' in done.stdout, done.stderr
  done = binaries.run('experiments.language_model', [f'--plugin={_EXAMPLE}', '--model=help(gru)'])
  assert 'gru(width=64)' in done.stdout and 'Numbers in an embedding, and units.' in done.stdout, done.stdout


def test_runs_of_a_sweep_name_it_with_its_hash(tmp_path):
  named = sweep_file.Cell('named', {'plugin': str(_CODEC), 'upload': 'max_scaled'})
  found = binary_flags.settings(sweep_file.Sweep('language_model', [named, sweep_file.Cell('none', {})]))
  assert found[0]['plugin'] == [plugins.fixed(str(_CODEC))]
  assert 'plugin' not in found[1]


def test_a_run_records_it_and_goes_on_with_it_as_it_was(text, environment, tmp_path):
  plugin, output_dir = shutil.copy(_EXAMPLE, tmp_path / 'mine.py'), tmp_path / 'run'
  flags = dict(plugin=plugin, model='gru(width=8)', trainable='body', upload='max_scaled|rans', rounds=2)
  both = [f'--plugin={_CODEC}']
  done = runs.finish(runs.command(text, output_dir, **flags) + both, environment)
  assert done.returncode == 0, done.stderr
  recorded = plugins.fixed(str(plugin))
  assert run_files.read_config(output_dir)['settings']['plugin'] == [recorded, plugins.fixed(str(_CODEC))]
  assert f'--plugin={recorded}\n' in (output_dir / 'run.flags').read_text()
  # By the flags that it left, from another place, for a round more; 8 of its width and the head travel.
  moved = shutil.copy(plugin, tmp_path / 'moved.py')
  more = runs.finish(runs.command(text, output_dir, **flags | dict(plugin=moved, rounds=3)) + both, environment)
  assert more.returncode == 0 and runs.num_rounds(output_dir) == 3, more.stderr
  summary = json.loads((output_dir / 'summary.json').read_text())
  assert summary['rounds'] == 3 and summary['upload_bytes_total'] > 0

  scored = binaries.run(
    'experiments.evaluate',
    [f'--plugin={moved}', f'--pretrained={output_dir}', f'--dataset=text(path={str(text)!r})'],
    environment,
  )
  assert scored.returncode == 0, scored.stderr
  assert json.loads(scored.stdout)['eval/perplexity'] == pytest.approx(summary['eval/perplexity'], rel=1e-5)
  without = binaries.run('experiments.evaluate', [f'--pretrained={output_dir}'], environment)
  assert without.returncode == 2 and "unknown model 'gru'" in without.stderr and '--plugin' in without.stderr

  moved.write_text(moved.read_text() + '\n')
  changed = runs.finish(runs.command(text, output_dir, **flags | dict(plugin=moved, rounds=4)) + both, environment)
  assert changed.returncode == 2 and 'holds a run with plugin=' in changed.stderr, changed.stderr
  again = binaries.run('experiments.language_model', [f'--flagfile={output_dir / "run.flags"}'], environment)
  assert again.returncode == 2 and 'it was changed; bring back what it was' in again.stderr
  assert runs.num_rounds(output_dir) == 3
