"""The notebook of first steps runs, as a notebook does in an event loop, and holds what it printed and drew."""

import json
import pathlib

from tests import binaries

_NOTEBOOK = pathlib.Path(__file__).parents[2] / 'examples' / 'first_steps.ipynb'
_RUNNER = """
import asyncio, json, os, sys
import matplotlib
matplotlib.use('agg')
os.chdir(sys.argv[1])

async def run(cells):
  names = {}
  for cell in cells:
    exec(compile(cell, 'cell', 'exec'), names)
  return names

names = asyncio.run(run(json.loads(sys.stdin.read())))
print(names['own'].summary['upload_bytes_total'], names['four'].summary['upload_bytes_total'], names['full'].folder)
"""


def _cells() -> list[dict]:
  return [cell for cell in json.loads(_NOTEBOOK.read_text())['cells'] if cell['cell_type'] == 'code']


def test_it_runs_with_few_rounds(tmp_path):
  sources = [''.join(cell['source']) for cell in _cells()]
  assert sources[0].count('rounds = 30') == 1
  sources[0] = sources[0].replace('rounds = 30', 'rounds = 1').replace('clients_per_round=10', 'clients_per_round=2')
  sources[0] = sources[0].replace('eval_clients=50', 'eval_clients=4')
  (tmp_path / 'runner.py').write_text(_RUNNER)
  (tmp_path / 'cells.json').write_text(json.dumps(sources))
  done = binaries.run(str(tmp_path / 'runner.py'), [str(tmp_path)], stdin=str(tmp_path / 'cells.json'))
  assert done.returncode == 0, done.stderr
  own, four, folder = done.stdout.splitlines()[-1].split()
  assert folder == 'runs/first_steps/full' and (tmp_path / folder / 'perplexity.png').exists()
  assert (tmp_path / 'runs/first_steps/compared/index.html').exists()
  assert 1.9 < int(own) / int(four) < 2.1  # Eight bits a value against four.


def test_it_holds_what_it_printed_and_drew():
  outputs = [output for cell in _cells() for output in cell['outputs']]
  assert [output for output in outputs if output['output_type'] == 'error'] == []
  shown = [output['data'] for output in outputs if 'data' in output]
  assert sum(''.join(data.get('text/html', '')).count('<img ') for data in shown) == 5  # Of a run, and of a comparison.
  assert sum('image/png' in data for data in shown) == 1
  text = json.dumps(outputs)
  assert 'round 30/30' in text and 'MaxScaled' in text and 'Returns the' in text
  assert str(pathlib.Path.home()) not in text and 'INFO' not in text
