"""What plug-ins and scripts make is looked at where it is made: what is wrong is one line, and no run begins with it."""

import contextlib
import json
import pathlib
import sys

import pytest

from experiments import suite
from experiments.command import failures
from experiments.command import plugins
from experiments.command import spec
from experiments.command import spec_list
from experiments.limits import device_limits
from experiments.limits import domains
from experiments.limits import methods
from experiments.limits import model_family
from experiments.limits import planning
from experiments.loggers import logger
from experiments.results import plugins_of_run
from experiments.workers import runtimes
from optimizers import policies
from optimizers import stages
from tests.experiments import tiny_family


def _stage(number: int, num_blocks: int = 1, num_trained_blocks: int = 1) -> stages.TrainingStage:
  return stages.TrainingStage(number, num_blocks, num_trained_blocks)


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    ((), 'there must be one at least'),
    (None, 'there must be one at least'),
    ((_stage(1), _stage(1)), 'stage 2 must be a TrainingStage of number=2'),
    ((3,), 'stage 1 must be a TrainingStage'),
    ((_stage(1, num_blocks=4),), 'num_blocks must be a whole number from 1 to 3, not 4'),
    ((_stage(1, num_trained_blocks=2),), 'num_trained_blocks must be a whole number from 1 to 1'),
  ],
)
def test_stages_that_grow_no_encoder_are_refused(given, message):
  with pytest.raises(ValueError, match=message):
    stages.check(given, 3)
  stages.check((_stage(1), _stage(2, 3, 2)), 3)


@contextlib.contextmanager
def _gives(value):
  yield value


@pytest.mark.parametrize(
  ('start', 'message'),
  [
    (lambda: _gives(None), 'called as runtimes.start_worker.*it takes other arguments'),
    (lambda *_, **__: _gives(None), 'the block of the runtime gives NoneType'),
    (lambda *_, **__: None, 'makes no block'),
  ],
)
def test_a_runtime_that_is_none_is_refused(start, message, tmp_path):
  with (
    pytest.raises(failures.UsageError, match=message),
    runtimes.build(start, deterministic=False)(tmp_path / 'log', 1, 1),
  ):
    pass


@pytest.mark.parametrize('value', [None, 3, lambda: None])
def test_a_logger_whose_block_gives_no_function_of_a_row_is_refused(value, tmp_path):
  with (
    pytest.raises(failures.UsageError, match='the block of log_to must give a function of a row'),
    logger.around(lambda folder: _gives(value), tmp_path),
  ):
    pass


@pytest.mark.parametrize('on_row', [[].append, {}.update, print, lambda row: None])
def test_functions_that_take_a_row_are_taken(on_row, tmp_path):
  with logger.around(lambda folder: _gives(on_row), tmp_path) as taken:
    assert taken == on_row


@pytest.mark.parametrize(
  ('sizes', 'layers', 'message'),
  [
    (lambda depth: None, lambda depth, size: 1.0, 'has no list of sizes for 1 blocks'),
    (3, lambda depth, size: 1.0, 'has no list of sizes'),
    (lambda depth: [], lambda depth, size: 1.0, 'has no list of sizes'),
    (lambda depth: [1], lambda depth, size: float('nan'), r'suffix\(blocks=1\) counts as nan layers'),
    (lambda depth: [1], lambda depth, size: None, 'counts as None layers'),
  ],
)
def test_a_method_without_sizes_or_layers_is_refused(sizes, layers, message, tmp_path):
  family = model_family.ModelFamily(domains.LANGUAGE, tiny_family.write(tmp_path, (1,)))
  cheap = planning.client_costs.ClientCost(0.0, 0, 0.0)
  with pytest.raises(failures.UsageError, match=message):
    planning.choose(
      family,
      methods.Method('suffix', 'blocks', sizes, layers),
      device_limits.build('tiers(shares=[1.0])'),
      lambda *_: cheap,
    )


@pytest.fixture
def plugin(tmp_path: pathlib.Path) -> pathlib.Path:
  """A plug-in whose builder leaves the program."""
  path = tmp_path / 'leaves.py'
  path.write_text(
    'import sys\nfrom optimizers import policies\n\n\ndef leaves():\n  sys.exit(0)\n\nPOLICIES = {"leaves": leaves}\n'
  )
  return path


def test_a_plugin_that_leaves_the_program_has_failed(plugin):
  with (
    pytest.raises(failures.UsageError, match=r'leaves\.py raises SystemExit in line 6: 0'),
    plugins.using([str(plugin)]),
    plugins.blamed(),
  ):
    spec.build('leaves', policies_table(), 'trainable')
  with pytest.raises(SystemExit), plugins.using([str(plugin)]), plugins.blamed():
    sys.exit(3)  # Not in the plug-in.


def policies_table():
  """Returns the table of policies as it is now."""
  from optimizers import catalog

  return catalog.POLICIES


def test_what_reads_a_run_says_that_its_plugin_was_changed(plugin, tmp_path, capsys):
  made_with = plugins.fixed(str(plugin))
  (tmp_path / 'config.json').write_text(json.dumps(dict(settings=dict(plugin=[made_with]))))
  with plugins.using([str(plugin)]):
    plugins_of_run.say_if_others(tmp_path)
  assert capsys.readouterr().err == ''
  plugin.write_text(plugin.read_text() + '\n')
  with plugins.using([str(plugin)]):
    for _ in range(2):  # One command may read a run several times.
      plugins_of_run.say_if_others(tmp_path)
  said = capsys.readouterr().err
  assert said.count('warning: ') == 1
  assert f'was made with leaves.py {plugins.content_hash(made_with)[:8]}, and this is leaves.py' in said
  plugins_of_run.say_if_others(tmp_path)  # Without plug-ins what is missing is told where it is.
  plugins_of_run.say_if_others(tmp_path / 'nothing')
  assert capsys.readouterr().err == ''


class head:
  """Nothing that trains."""


@pytest.mark.parametrize('listed', [[head(), 'head()'], ['head()', head()], [head(), head()]])
def test_entries_of_one_name_that_differ_are_refused_in_any_order(listed):
  with pytest.raises(spec.SpecError, match=r'has two entries called head\(\)'):
    spec_list.read(listed, 'policies', lambda each: each)


def test_entries_that_are_equal_count_once():
  equal = [policies.Suffix(blocks=1), policies.Suffix(blocks=1), ' all', 'all ']
  assert list(spec_list.read(equal, 'policies', lambda each: each)) == ['Suffix(blocks=1)', 'all']


def test_objects_are_those_of_the_run_that_is_read(tmp_path):
  one, other = (suite.RunFolder(tmp_path / name, model=len) for name in 'ab')
  assert suite._objects_of([one, None, str(tmp_path), other]) == dict(model=len)
  with pytest.raises(suite.UsageError, match='two runs are read here, each with its own object for model'):
    suite._objects_of([one, suite.RunFolder(tmp_path / 'b', model=max)])
  (tmp_path / 'a').mkdir()
  (tmp_path / 'a' / 'config.json').write_text('{"settings": {"model": "lstm"}}')
  with pytest.raises(suite.UsageError, match='the run had no object for model; it had none'):
    suite._objects_of([one])


def test_errors_of_scripts_are_one_line():
  for kind in (failures.UsageError, spec.SpecError):
    assert str(kind('a value of\n   two lines')) == 'a value of two lines'
