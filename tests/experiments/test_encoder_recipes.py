"""The recipes of small encoders: followed on other text for two steps, they make models that are scored and exported."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from data import text as text_lib
from experiments import central_evaluation
from experiments import encoder_start
from experiments import launch
from experiments import metrics
from experiments import pretrained
from experiments import pretraining_task
from models import bert
from models import checkpoint

_ROOT = pathlib.Path(__file__).parents[2]
_RECIPES = _ROOT / 'experiments/flagfiles/encoders'


def _pretrain(recipe: str, path: str, folder: pathlib.Path, cache: pathlib.Path, **flags) -> str:
  """Follows a recipe for a few steps, on other text; returns the last line it prints."""
  flags |= dict(dataset=f'text(path={path!r}, vocabulary=40, sequence_length=12)', corpus=f'text(path={path!r})')
  flags |= dict(output_dir=folder, steps=2, batch_size=8)
  settings = [f'--{name}={value}' for name, value in flags.items()]
  command = [sys.executable, '-m', 'experiments.pretrain', f'--flagfile={_RECIPES / recipe}.flags', *settings]
  environment = os.environ | {'LEANFED_CACHE': str(cache)}
  finished = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
  assert finished.returncode == 0, finished.stderr
  lines = finished.stdout.splitlines()
  assert lines[-2].startswith('perplexity of hidden tokens on held-out clients ')
  return lines[-1]


def test_the_recipes_make_encoders_that_are_scored_and_exported(tmp_path, monkeypatch):
  for client in 'abcdefgh':
    (tmp_path / 'text' / client).mkdir(parents=True)
    (tmp_path / 'text' / client / 'x.txt').write_text('A cat sat on a mat. A dog ran to the cat. ' * 3)
  path, cache = str(tmp_path / 'text'), tmp_path / 'cache'
  _pretrain('bert', path, tmp_path / 'bert', cache)
  last = _pretrain('distilbert', path, tmp_path / 'student', cache, teacher=tmp_path / 'bert')
  assert last.endswith(f'by python -m experiments.text_classification --pretrained={tmp_path / "student"}')
  assert pretraining_task.named(checkpoint.load(tmp_path / 'student').description.model, 64) == bert.distilbert()

  monkeypatch.setenv('LEANFED_CACHE', str(cache))
  source = text_lib.text(path=path, sequence_length=12)
  measured = central_evaluation.evaluate(tmp_path / 'student', source, 100, 0)
  row = metrics.read(tmp_path / 'student' / 'metrics.csv')[-1]
  assert measured['eval/perplexity'] == pytest.approx(row['eval/perplexity'], rel=1e-5)
  long = text_lib.text(path=path, sequence_length=200)
  with pytest.raises(launch.UsageError, match='128 positions, but examples have 201 tokens'):
    central_evaluation.evaluate(tmp_path / 'student', long, 100, 0)

  exported = pretrained.export(tmp_path / 'student', tmp_path / 'model')
  found = encoder_start.load(str(tmp_path / 'model'), bert.distilbert(), source)
  assert found.tokenizer.serialized == b'own\n' + exported.description.tokenizer
  for name, value in found.weights.items():
    np.testing.assert_array_equal(value, exported.weights[name])


@pytest.mark.parametrize('recipe', ['albert', 'bert', 'distilbert'])
def test_a_recipe_names_an_encoder(recipe):
  lines = (_RECIPES / f'{recipe}.flags').read_text().splitlines()
  assert lines[0].startswith('# ')
  flags = dict(line.removeprefix('--').split('=', 1) for line in lines[1:])
  assert pretraining_task.is_encoder(pretraining_task.named(flags['model'], 64))
  assert flags['model'].startswith(recipe)
