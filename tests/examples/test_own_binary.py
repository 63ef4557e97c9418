"""The binary of docs/extending/binary.md trains, and refuses as those of the suite do."""

import json
import os
import pathlib
import re

import pytest

from tests import binaries

_ROOT = pathlib.Path(__file__).parents[2]
_MODEL = '--model=vit(width=8, mlp_width=8, num_layers=1, num_heads=2, patch_size=4)'


@pytest.fixture(name='environment', scope='module')
def _environment(tmp_path_factory):
  return os.environ | {'LEANFED_CACHE': str(tmp_path_factory.mktemp('cache'))}


def test_trains(tmp_path, environment):
  flags = [_MODEL, '--clients_per_round=2', '--rounds=1', '--upload=bfloat16', f'--output_dir={tmp_path / "run"}']
  process = binaries.run('examples.own_binary', flags, environment)
  assert process.returncode == 0, process.stderr
  assert 'accuracy on held-out clients' in process.stdout
  summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  # Two clients, each with two bytes a parameter, a bit for each of at most 24 variables, and a weight.
  values = 2 * 2 * summary['num_parameters']
  assert values + 2 * 4 < summary['upload_bytes_total'] <= values + 2 * (4 + 3)


@pytest.mark.parametrize(
  ('argument', 'said'),
  [
    ('--pretrained=folder', 'does not apply: clients begin with random weights'),
    ('--model=vit(patch_size=3)', 'patch_size=3 must divide images of 8 x 8 pixels'),
    ('--dataset=docstrings', 'docstrings'),
  ],
)
def test_refuses_in_one_line(argument, said, tmp_path, environment):
  process = binaries.run('examples.own_binary', [argument, f'--output_dir={tmp_path / "run"}'], environment)
  assert process.returncode == 2
  assert said in process.stderr.splitlines()[-1]


def test_it_is_the_one_of_the_page():
  (code,) = re.findall(r'```python\n(.*?)```', (_ROOT / 'docs/extending/binary.md').read_text(), re.DOTALL)
  assert code == (_ROOT / 'examples/own_binary.py').read_text()
