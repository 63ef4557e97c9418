"""The recipes of small encoders: followed on other text for two steps, they make models that are scored and exported."""

import pathlib
import re

import numpy as np
import pytest

from data.sources import text as text_lib
from experiments.central import task
from experiments.central import text_evaluation
from experiments.command import failures
from experiments.results import metrics
from experiments.starts import encoder_finder
from experiments.starts import exporting
from experiments.starts import recipe
from models import bert
from models import checkpoint


@pytest.fixture(name='text')
def _text(tmp_path, monkeypatch) -> str:
  """Returns the folder of some clients' text, and lets a cache of its own be used."""
  for client in 'abcdefgh':
    (tmp_path / 'text' / client).mkdir(parents=True)
    (tmp_path / 'text' / client / 'x.txt').write_text('A cat sat on a mat. A dog ran to the cat. ' * 3)
  monkeypatch.setenv('LEANFED_CACHE', str(tmp_path / 'cache'))
  return str(tmp_path / 'text')


def _short_recipes(folder: pathlib.Path, text: str) -> pathlib.Path:
  """Returns a folder with the recipes, but for the text they use and the number of steps."""
  folder.mkdir()
  for path in recipe.RECIPES.glob('*.flags'):
    lines = [line for line in path.read_text().splitlines() if not re.match('--(dataset|steps)=', line)]
    lines += [f'--dataset=text(path={text!r}, vocabulary=40, sequence_length=12)', f'--corpus=text(path={text!r})']
    (folder / path.name).write_text('\n'.join([*lines, '--steps=2', '--batch_size=8', '']))
  return folder


def test_the_recipes_make_encoders_that_are_scored_and_exported(text, tmp_path):
  recipes = _short_recipes(tmp_path / 'recipes', text)
  folder = recipe.folder_of('tiny_distilbert', recipes)
  assert task.named(checkpoint.load(folder).description.model, 64) == bert.distilbert()
  teacher = recipe.folder_of('tiny_bert', recipes)  # It has been made for its pupil.
  assert f'--teacher={teacher}\n' in (folder / 'run.flags').read_text()

  source = text_lib.text(path=text, sequence_length=12)
  measured = text_evaluation.evaluate(folder, source, 100)
  row = metrics.read(folder / 'metrics.csv')[-1]
  assert measured['eval/perplexity'] == pytest.approx(row['eval/perplexity'], rel=1e-5)
  long = text_lib.text(path=text, sequence_length=200)
  with pytest.raises(failures.UsageError, match='128 positions, but examples have 201 tokens'):
    text_evaluation.evaluate(folder, long, 100)

  exported = exporting.export(folder, tmp_path / 'model')
  found = encoder_finder.find(str(tmp_path / 'model'), bert.distilbert(), source)
  assert found.tokenizer.serialized == b'own\n' + exported.description.tokenizer
  for name, value in found.weights.items():
    np.testing.assert_array_equal(value, exported.weights[name])


def test_a_model_is_made_once_for_a_recipe(text, tmp_path, monkeypatch):
  followed = []

  def follow(flags, name):
    folder = pathlib.Path(flags[-1].removeprefix('--output_dir='))
    folder.mkdir(parents=True)
    (folder / 'summary.json').touch()
    followed.append(name)

  monkeypatch.setattr(recipe, '_follow', follow)
  recipes = _short_recipes(tmp_path / 'recipes', text)
  first = recipe.folder_of('tiny_distilbert', recipes)
  assert (recipe.folder_of('tiny_distilbert', recipes), followed) == (first, ['tiny_bert', 'tiny_distilbert'])
  with (recipes / 'tiny_bert.flags').open('a') as flags:
    flags.write('# A remark changes nothing.\n')
  assert recipe.folder_of('tiny_distilbert', recipes) == first
  with (recipes / 'tiny_bert.flags').open('a') as flags:
    flags.write('--seed=1\n')  # Another teacher makes another pupil.
  assert recipe.folder_of('tiny_distilbert', recipes) != first
  assert followed == ['tiny_bert', 'tiny_distilbert'] * 2


def test_a_recipe_that_fails_leaves_no_model(text, tmp_path):
  recipes = _short_recipes(tmp_path / 'recipes', text)
  (recipes / 'tiny_bert.flags').write_text('--model=nothing\n--dataset=docstrings\n')
  with pytest.raises(failures.RunEnded, match='tiny_bert could not be pre-trained'):
    recipe.folder_of('tiny_bert', recipes)
  assert not list(tmp_path.rglob('summary.json'))


@pytest.mark.parametrize('name', recipe.names())
def test_a_recipe_names_an_encoder(name):
  lines = (recipe.RECIPES / f'{name}.flags').read_text().splitlines()
  assert lines[0].startswith('# ')
  flags = dict(line.removeprefix('--').split('=', 1) for line in lines[1:])
  assert task.is_encoder(task.named(flags['model'], 64))
  assert name == f'tiny_{flags["model"]}'


def test_none_is_an_encoder_of_any_size_that_nobody_has_trained(text):
  start = encoder_finder.find(
    'none', bert.bert(size='small'), text_lib.text(path=text, vocabulary=40, sequence_length=12)
  )
  assert (start.folder, start.weights, start.encoder) == (None, {}, bert.bert(size='small'))
  assert start.num_rows == start.tokenizer.vocabulary_size + 1  # The last is the mask of a pre-training.
