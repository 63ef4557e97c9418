"""Every preset names things that exist, and says in its first line what to expect."""

import pathlib

import pytest

from experiments import constrained_finetuning
from experiments import language_model
from experiments.command import command_line
from experiments.federated import run_setup
from experiments.limits import device_limits
from experiments.limits import methods
from experiments.limits import model_family
from optimizers import devices
from tests import binaries

_FOLDER = pathlib.Path(__file__).parents[2] / 'experiments' / 'flagfiles'


_UNDER_LIMITS = _FOLDER / 'constrained_images.flags'
_WITHOUT_LABELS = _FOLDER / 'layerwise_images.flags'
_OF_LANGUAGE = sorted({*_FOLDER.glob('*.flags')} - {_UNDER_LIMITS, _WITHOUT_LABELS})


def _given(table, arguments):
  assert table.parse(['test', *command_line.expanded(arguments)]) == ['test']
  return table.parsed()


@pytest.mark.parametrize('path', _OF_LANGUAGE, ids=lambda path: path.stem)
def test_builds_everything_that_a_preset_names(path, tmp_path):
  assert path.read_text().startswith('# ')
  setup = run_setup.read(_given(language_model.FLAGS, [f'--flagfile={path}', f'--output_dir={tmp_path}']))
  setup.dataset()
  assert setup.model()(4000).num_parameters > 100_000
  assert setup.config.rounds >= 100


def test_builds_what_the_preset_of_limits_names(tmp_path):
  assert _UNDER_LIMITS.read_text().startswith('# ')
  given = _given(constrained_finetuning.FLAGS, [f'--flagfile={_UNDER_LIMITS}', f'--output_dir={tmp_path}'])
  setup = run_setup.read(given, devices=devices.ALIKE)
  family = setup.model(model_family.FAMILIES)
  source, _ = setup.dataset(family.domain.datasets)
  family.check(source)
  assert len(device_limits.build(setup.flags['devices'])) == 3
  assert methods.build(setup.flags['trainable']).argument == 'blocks'
  assert setup.config.rounds == 30


def test_builds_what_the_preset_without_labels_names(tmp_path, environment):
  assert _WITHOUT_LABELS.read_text().startswith('# ')
  flags_given = [f'--flagfile={_WITHOUT_LABELS}', '--rounds=44', f'--output_dir={tmp_path / "run"}']
  process = binaries.run('experiments.layerwise_ssl', flags_given, environment)
  # Whatever else is named has been built by then.
  assert process.returncode == 2 and '--rounds=44 must be a multiple of the 3 stages' in process.stderr
