"""The script of the README and of docs/guides/scripts.md runs, on a small text, without flags."""

import ast
import json
import os

from examples import own_script
from tests import binaries

_SCRIPT = f"""
import pathlib, sys
import {own_script.__name__} as own_script
from data import catalog
from experiments.federated import run
source = catalog.DATASETS['text'](path=sys.argv[1], vocabulary=60)
config = run.Config(pathlib.Path(sys.argv[2]), rounds=2, clients_per_round=3)
print(own_script.train(source, config))
"""


def test_trains(tmp_path):
  for client in 'abcdef':
    (tmp_path / 'text' / client).mkdir(parents=True)
    (tmp_path / 'text' / client / 'x.txt').write_text('A cat sat on a mat.\nA dog ran into a house.\n')
  (tmp_path / 'script.py').write_text(_SCRIPT)
  process = binaries.run(
    str(tmp_path / 'script.py'),
    [str(tmp_path / 'text'), str(tmp_path / 'run')],
    os.environ | {'LEANFED_CACHE': str(tmp_path / 'cache')},
  )
  assert process.returncode == 0, process.stderr
  printed = ast.literal_eval(process.stdout)
  assert printed['rounds'] == 2
  assert printed == json.loads((tmp_path / 'run' / 'summary.json').read_text())
