"""Where a flag takes a spec, a script may give an object: it is recorded, told apart, used again, or refused."""

import dataclasses
import os
import threading
import types

import pytest
import tensorflow as tf

from compression import codec
from compression import stage
from compression import update_codec
from compression.stages import uniform
from data.sources import text as text_lib
from experiments import suite
from experiments.command import given_objects
from experiments.command import object_names
from experiments.command import spec
from experiments.limits import device_limits
from models import catalog
from models import lstm
from optimizers import devices
from optimizers import fed_opt
from optimizers import policies
from tests.experiments import every_table


@pytest.fixture(autouse=True)
def _cache(environment, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', environment['LEANFED_CACHE'])


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
    (dict(log_to=lambda row: row['round']), suite.UsageError, r'raises TypeError .* write suite.each_row\(function\)'),
    (dict(log_to=print), suite.UsageError, r'makes no block around a run: write suite.each_row\(function\)'),
    (dict(model=lambda: 3), spec.SpecError, 'model is a function of a vocabulary size: too many positional arguments'),
    (dict(model=lambda size: size), spec.SpecError, r'what the model function makes takes a spec .* or Model, not \d+'),
    (dict(runtime=lambda *_, **__: None), suite.UsageError, 'the runtime makes no block around a run'),
    (dict(devices=[]), suite.UsageError, r'devices=\[\] is not what --devices takes'),
    (dict(upload=Halved), spec.SpecError, 'not <class .*Halved.>: call it'),
    (dict(output_dir=None), suite.UsageError, '--output_dir is missing'),
  ],
)
def test_bad_input_is_a_clear_exception(given, others, error, message, tmp_path):
  with pytest.raises(error, match=message) as raised:
    suite.language_model(**given | dict(output_dir=tmp_path / 'run') | others)
  assert isinstance(raised.value, ValueError) and '\n' not in str(raised.value)
  assert not (tmp_path / 'run').exists()


def test_a_function_that_is_called_like_a_builder_of_the_suite_is_not_taken_for_it(given, tmp_path):
  def lstm():
    return lambda size: catalog.LANGUAGE_MODELS['lstm'](width=8, num_cells=8)(size)

  run = suite.language_model(**given | dict(rounds=0, model=lstm()), output_dir=tmp_path / 'run')
  assert run.settings['model'].endswith("lstm()')")
  with pytest.raises(ValueError, match='was an object of a script'):
    suite.generate(pretrained=os.fspath(run), prompt='The cat')
  assert suite.generate(pretrained=run, prompt='The cat', num_tokens=1)


def test_only_the_objects_of_the_run_that_is_read_are_used(of_objects, given, tmp_path):
  flags = dict(pretrained=of_objects, dataset=given['dataset'])
  other = suite.RunFolder(tmp_path / 'scores', model=lstm.lstm(width=9, num_cells=8), trainable=policies.Head())
  assert suite.evaluate(**flags, output_dir=other) == suite.evaluate(**flags)


def test_two_objects_of_a_list_that_call_themselves_alike_are_refused(of_objects, tmp_path):
  other = type('Halved', (Halved,), dict(decode=lambda self, x, *_: 0.0 * x))
  with pytest.raises(
    spec.SpecError, match=r'codecs has two entries called Halved\(\): let them say what they differ in'
  ):
    suite.compare(what='codecs', run=of_objects, codecs=[Halved(), other()], output_dir=tmp_path / 'compared')


class Scaled(Halved):
  """Sends a multiple of each value."""

  def __init__(self, scale):
    self._scale = tf.constant(scale)

  def encode(self, x, form, client_seed, shared_seed):
    return self._scale * x, ()


def test_what_an_object_holds_is_part_of_its_name():
  first, second, again = (given_objects.recorded(Scaled(scale)) for scale in (0.5, 0.25, 0.5))
  assert first == again != second and first.startswith('object(name="Scaled(scale=\'')


def test_objects_are_called_by_what_they_hold():
  names = [
    object_names.called(update_codec.UpdateCodec(codec.Codec([uniform.Uniform(bits=bits)]))) for bits in (2, 8, 8)
  ]
  assert names[0] != names[1] == names[2] and 'Uniform(num_levels=256)' in names[1]
  long = [object_names.called(every_table.small_bert(max_length=length)) for length in (512, 513)]
  assert long[0] != long[1] and all(len(name) < 140 for name in long)


def test_stages_of_another_object_are_refused(tmp_path):
  given = dict(
    model='vit(width=8, mlp_width=8, num_layers=1, num_heads=2, patch_size=4)', stages='end_to_end', rounds=1,
    clients_per_round=1, local_epochs=1, probe_examples=20, output_dir=tmp_path / 'run',
  )  # fmt: skip
  suite.layerwise_ssl(**given, upload=Halved())
  other = type('Halved', (Halved,), dict(decode=lambda self, x, *_: 0.0 * x))
  with pytest.raises(ValueError, match='holds a run with computations_sha256='):
    suite.layerwise_ssl(**given, upload=other())


def test_a_data_set_given_as_an_object_is_known_by_its_content(given, text, tmp_path):
  source = text_lib.text(path=str(text), vocabulary=60)
  run = suite.language_model(**given | dict(rounds=0, dataset=source), output_dir=tmp_path / 'run')
  assert run.settings['dataset'] == 'object(name="TextSource(\'text\')")'


def test_a_central_training_goes_on_with_an_equal_object_only(text, tmp_path):
  given = dict(
    dataset=f'text(path={str(text)!r}, vocabulary=60)', corpus=f'text(path={str(text)!r})', steps=1, batch_size=4,
    output_dir=tmp_path / 'run',
  )  # fmt: skip

  def called_alike(build):
    hidden = types.ModuleType('hidden')  # No name tells what a module holds.
    hidden.build = build
    return lambda size: hidden.build(size)

  def begun_at_zero(model):
    return dataclasses.replace(
      model,
      variables=[
        dataclasses.replace(each, initializer=lambda shape, seed: tf.zeros(shape)) for each in model.variables
      ],
    )

  small = lstm.lstm(width=8, num_cells=8)
  suite.pretrain(model=called_alike(small), **given)
  assert suite.pretrain(model=called_alike(small), **given | dict(steps=1)).summary['steps'] == 1
  dropped = lstm.lstm(width=8, num_cells=8, dropout=0.5)
  for other in (dropped, lambda size: begun_at_zero(small(size))):  # In training, in the start.
    with pytest.raises(ValueError, match='holds a run with computations_sha256='):
      suite.pretrain(model=called_alike(other), **given)


@pytest.mark.parametrize(
  ('tiers', 'message'),
  [
    ([device_limits.Tier(1, 1.0, {})], r'tiers are numbered from 0 on, not \[1\]'),
    ([device_limits.Tier(0, 0.5, {})], 'shares'),
    ([device_limits.Tier(0, 1.0, dict(memory=3.0))], "'memory' is no limit; limits are memory_mb, upload_mb, gflops"),
    (
      [device_limits.Tier(0, 0.5, dict(gflops=1.0)), device_limits.Tier(1, 0.5, {})],
      'tier 1 has no gflops, which another limits: limit all tiers by the same',
    ),
    ([device_limits.Tier(0, 1.0, None)], 'what limits tier 0 takes a spec .* or dict, not None'),
    (devices.ALIKE, 'devices, as a list, takes a spec .* or Tier, not Devices'),
  ],
)
def test_limits_that_make_no_sense_are_refused(tiers, message):
  with pytest.raises(spec.SpecError, match=message):
    device_limits.build(tiers)


class Locked(Halved):
  """Holds what no process can send."""

  def __init__(self):
    self.held = threading.Lock()


class Lost(Halved):
  """Becomes nothing where it arrives."""

  def __reduce__(self):
    return int, ('nothing',)


@pytest.mark.parametrize(
  ('upload', 'reason'), [(Locked(), "cannot pickle '_thread.lock'"), (Lost(), 'invalid literal')]
)
def test_an_object_that_cannot_travel_is_refused_where_processes_measure_it(upload, reason, tmp_path):
  small = dict(model='lstm(width=8, num_cells=8)', vocabulary_size=20, batch_size=2, num_steps=2)
  with pytest.raises(
    suite.UsageError, match=rf'must travel there, and of all one cannot \({reason}.*: name it by a plug-in'
  ):
    suite.client_cost(**small, policies='all', upload=upload, output_dir=tmp_path / 'cost')
  assert not list(tmp_path.rglob('*.*'))
