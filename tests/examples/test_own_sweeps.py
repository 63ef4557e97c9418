"""The sweeps of the examples: they are read, and their specs are built with the plug-ins of the examples."""

import pathlib

import pytest

from experiments.command import codec_specs
from experiments.command import device_specs
from experiments.command import plugins
from experiments.sweeping import sweep_file

_ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize('name', ['examples/own_gru.toml', 'examples/own_texts.toml'])
def test_the_sweeps_of_the_examples_are_read_with_their_plugins(name):
  with plugins.using([str(_ROOT / 'examples/own_codec.py'), str(_ROOT / 'examples/own_plugin.py')]):
    cells = sweep_file.read(_ROOT / name).cells
    assert {cell.flags['seed'] for cell in cells} == {'0', '1', '2'} and all(cell.candidates for cell in cells)
    for cell in cells:
      codec_specs.build(cell.flags.get('upload', 'identity'))
      device_specs.build(cell.flags.get('trainable', 'all'))
