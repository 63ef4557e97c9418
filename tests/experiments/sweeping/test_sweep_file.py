"""Sweep files become named runs with flags that the binary has, or one line of complaint."""

import pathlib
import re

import pytest

from experiments import language_model
from experiments import layerwise_ssl
from experiments.command import algorithm_specs
from experiments.command import codec_specs
from experiments.command import device_specs
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import spec
from experiments.limits import device_limits
from experiments.limits import methods
from experiments.limits import model_family
from experiments.sweeping import binary_flags
from experiments.sweeping import sweep_file
from models import catalog as models_catalog
from optimizers import selection
from optimizers import stages

_ROOT = pathlib.Path(__file__).parents[3]
_SHIPPED = sorted((_ROOT / 'experiments' / 'sweeps').glob('*.toml'))
_GRID = """
[flags]
rounds = 3
[grid]
seed = [0, 1]
upload = ['uniform(bits=8)', 'clip(stddevs=2.5) | uniform(bits=4)']
model = ["lstm"]
"""


def _read(tmp_path, text, overrides=()):
  (tmp_path / 'sweep.toml').write_text(text)
  return sweep_file.read(tmp_path / 'sweep.toml', overrides)


def test_a_grid_is_the_product_named_by_what_varies(tmp_path):
  sweep = _read(tmp_path, _GRID)
  assert sweep.binary == 'language_model'
  assert [cell.name for cell in sweep.cells] == [
    'seed=0-upload=uniform-bits=8',
    'seed=0-upload=clip-stddevs=2.5-uniform-bits=4',
    'seed=1-upload=uniform-bits=8',
    'seed=1-upload=clip-stddevs=2.5-uniform-bits=4',
  ]
  upload = 'clip(stddevs=2.5) | uniform(bits=4)'
  assert sweep.cells[3].flags == {'rounds': '3', 'seed': '1', 'upload': upload, 'model': 'lstm'}


def test_runs_take_part_in_the_grid_and_override_flags(tmp_path):
  runs = '[[runs]]\nname = "full"\n[[runs]]\nname = "short"\nrounds = 1\nmeasure_distortion = true\n'
  sweep = _read(tmp_path, f'[flags]\nrounds = 9\n[grid]\nseed = [4, 5]\n{runs}')
  assert [(cell.name, dict(cell.flags)) for cell in sweep.cells] == [
    ('full-seed=4', {'rounds': '9', 'seed': '4'}),
    ('full-seed=5', {'rounds': '9', 'seed': '5'}),
    ('short-seed=4', {'rounds': '1', 'seed': '4', 'measure_distortion': 'true'}),
    ('short-seed=5', {'rounds': '1', 'seed': '5', 'measure_distortion': 'true'}),
  ]


def test_set_goes_before_everything_and_ends_variation(tmp_path):
  runs = '[[runs]]\nname = "a"\nrounds = 7\n'
  sweep = _read(tmp_path, f'[flags]\nrounds = 9\n[grid]\nseed = [4, 5]\n{runs}', ['rounds=1', 'seed=8'])
  assert sweep.cells == [sweep_file.Cell('a', {'rounds': '1', 'seed': '8'})]


def test_names_are_safe_and_unique_whatever_the_values(tmp_path):
  values = ['x|y', 'x/y', '../x', 'a' * 300, 'a' * 301]
  cells = _read(tmp_path, f'[grid]\nupload = {values}').cells
  names = [cell.name for cell in cells]
  assert len(set(names)) == 5
  assert all(len(name) < 200 and '/' not in name and not name.startswith('.') for name in names)
  assert [cell.flags['upload'] for cell in cells] == values


def test_a_file_of_nothing_is_one_run(tmp_path):
  assert _read(tmp_path, '').cells == [sweep_file.Cell('run', {})]


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('[gird]\nseed = [0]', "unknown key 'gird' (did you mean 'grid'?); it takes binary, flags, grid, search, runs"),
    ('[grid]\nseed = []', 'seed in [grid] of .* is an empty list'),
    ('[grid]\nseed = 3', 'seed in [grid] of .* is no list'),
    ('grid = 3', 'grid of .* is no table'),
    ('runs = 3', 'runs of .* is no list of tables'),
    ('runs = []', 'runs of .* is an empty list'),
    ('[[runs]]\nseed = 1', "has the name ''"),
    ('[[runs]]\nname = "../up"', "has the name '../up'"),
    ('[[runs]]\nname = "logs"', "the name 'logs', which a sweep needs itself"),
    ('[[runs]]\nname = "a"\n[[runs]]\nname = "a"\nseed = 1', "two runs of the name 'a'"),
    ('[grid]\nseed = [1, 1]', "seed in [grid] of .* lists '1' twice: list a value once"),
    ('[flags]\nseed = [1]', 'seed in [flags] of .* is [1]: a flag takes text in quotes'),
    ('[flags]\nwhen = 2020-01-01', 'a flag takes text in quotes'),
    ('[flags]\nseed = 1\n[grid]\nseed = [1]', r'varies seed in [grid] and sets it in [flags]'),
    ('[grid]\nseed = [1]\n[[runs]]\nname = "a"\nseed = 2', "varies seed in [grid] and sets it in run 'a'"),
    ('[flags]\noutput_dir = "x"', 'output_dir in [flags] of'),
    ('binary = "langauge_model"', "binary of .* is 'langauge_model', but there is no experiments.langauge_model"),
    ('binary = "../x"', "binary of .* is '../x': name a binary"),
    ('[flags', 'is not TOML'),
  ],
)
def test_refuses_a_file(text, expected, tmp_path):
  pattern = '.*'.join(map(re.escape, expected.split('.*')))
  with pytest.raises(failures.UsageError, match=pattern) as error:
    _read(tmp_path, text)
  assert '\n' not in str(error.value)


def test_refuses_an_override_that_is_none(tmp_path):
  with pytest.raises(failures.UsageError, match='--set=rounds is not understood'):
    _read(tmp_path, '', ['rounds'])


_MODELS = {
  'language_model': models_catalog.LANGUAGE_MODELS,
  'text_classification': models_catalog.ENCODERS,
  'constrained_finetuning': model_family.FAMILIES,
  'layerwise_ssl': models_catalog.VISION_MODELS | models_catalog.ENCODERS,
}
_TRAINABLE = {
  'language_model': lambda text: device_specs.build(text, 'alike'),
  'text_classification': lambda text: device_specs.build(text, 'alike'),
  'constrained_finetuning': lambda text: spec.build(text, methods.METHODS, 'trainable'),
  'layerwise_ssl': lambda text: spec.build(text, {}, 'trainable'),  # --stages says what is trained.
}


def _build_download(text):
  if text.startswith('select('):
    spec.build(text, {'select': selection.Selection}, 'download')
  else:
    codec_specs.build_download(text)


@pytest.mark.parametrize('path', _SHIPPED, ids=lambda path: path.stem)
def test_shipped_sweeps_build_and_say_what_to_expect(path):
  sweep = sweep_file.read(path)
  models, build_trainable = _MODELS[sweep.binary], _TRAINABLE[sweep.binary]
  assert path.read_text().startswith('# ') and 'minutes' in path.read_text().splitlines()[0]
  assert f' {len(sweep.cells)} runs' in path.read_text().splitlines()[0]
  assert len({cell.flags.get('seed') for cell in sweep.cells}) == (1 if 'one seed' in path.read_text() else 3)
  for what, build in (
    ('model', lambda text: spec.build(text, models, 'model')),
    ('algorithm', algorithm_specs.build),
    ('trainable', build_trainable),
    ('upload', codec_specs.build),
    ('download', _build_download),
    ('objective', lambda text: spec.build(text, models_catalog.OBJECTIVES, 'objective')),
    ('stages', lambda text: spec.build(text, stages.GROWTHS, 'stages')),
  ):
    written = {cell.flags[what] for cell in sweep.cells if what in cell.flags}
    for text in written.union(*(cell.candidates.get(what, ()) for cell in sweep.cells)):
      build(text)
  for cell in sweep.cells:
    if 'devices' in cell.flags:
      _build_devices(sweep.binary, cell.flags)


def _build_devices(binary, flags):
  if binary == 'constrained_finetuning':
    return device_limits.build(flags['devices'])
  return device_specs.build(flags['trainable'], flags['devices'])


def test_the_binary_has_the_flags_of_all_shipped_sweeps_and_records_them_alike():
  sweeps = [one for one in map(sweep_file.read, _SHIPPED) if one.binary != 'layerwise_ssl']  # That has more flags.
  found = binary_flags.settings(sweep_file.Sweep('language_model', [cell for one in sweeps for cell in one.cells]))
  cell = sweeps[0].cells[0]
  language_model.FLAGS.parse(['test', *(f'--{name}={value}' for name, value in cell.flags.items())])
  recorded = language_model.FLAGS.parsed()
  assert found[0] == {name: value for name, value in recorded.items() if name not in ('output_dir', 'plugin')}


def _table(defaults_for=lambda given: {}, **defaults):
  table = flag_table.FlagTable('b', defaults_for=defaults_for)
  for name, default in defaults.items():
    table.integer(name, default, '', lower_bound=0)
  return table


def _resolved(table, cells):
  return [
    {name: value for name, value in values.items() if name != 'plugin'} for values in binary_flags.resolve(table, cells)
  ]


def test_flags_of_a_run_are_read_as_the_binary_would():
  assert _resolved(_table(rounds=9, seed=0), [('a', {'rounds': '3'}), ('c', {})]) == [
    {'rounds': 3, 'seed': 0},
    {'rounds': 9, 'seed': 0},
  ]


def test_defaults_may_depend_on_what_is_given():
  cells = [('a', {'rounds': '3'}), ('c', {'seed': '1'})]
  table = _table(lambda given: dict(epochs=len(given) + 4, rounds=7), rounds=9, seed=0, epochs=1)
  found = _resolved(table, cells)
  assert found == [{'rounds': 3, 'seed': 0, 'epochs': 5}, {'rounds': 7, 'seed': 1, 'epochs': 5}]


def test_stages_of_texts_have_defaults_of_their_own():
  cells = [(name, dict(dataset=name)) for name in ('docstring_packages', 'digits')]
  of_texts, of_images = binary_flags.resolve(layerwise_ssl.FLAGS, cells)
  assert of_texts['objective'] == 'masked_language' and of_texts['local_epochs'] == 2
  assert of_images['objective'].startswith('simclr(') and of_images['local_epochs'] == 10


@pytest.mark.parametrize(
  ('texts', 'expected'),
  [
    ({'round': '3'}, r"run 'a': experiments.b has no flag 'round' \(did you mean 'rounds'\?\); it has plugin, rounds"),
    ({'rounds': '-3'}, "run 'a': rounds='-3' is not what --rounds takes"),
    ({'rounds': 'many'}, "run 'a': rounds='many' is not what --rounds takes"),
  ],
)
def test_refuses_flags_of_a_run(texts, expected):
  with pytest.raises(failures.UsageError, match=expected):
    binary_flags.resolve(_table(rounds=9), [('a', texts)])
