"""The binaries that use a model: what they print, how often they may write a file, and how they refuse."""

import json
import pathlib
import subprocess

import numpy as np
import pytest

from data import tokenizer as tokenizer_lib
from experiments.central import generation
from experiments.central import prediction
from experiments.starts import pretrained
from models import checkpoint
from tests import binaries
from tests.experiments import tiny_classifier


@pytest.fixture(scope='module', name='language_model')
def _language_model(tmp_path_factory) -> pathlib.Path:
  """A language model that takes every piece for equally likely."""
  folder = tmp_path_factory.mktemp('language_model')
  tokenizer = tokenizer_lib.train(['the cat sat on the mat', 'a dog ran to the cat'] * 5, 40)
  description = checkpoint.Description('lstm(width=8, num_cells=8)', tokenizer.vocabulary_size, 8, tokenizer.model)
  model = pretrained.build_model(description)
  weights = {variable.name: np.zeros(variable.shape, np.float32) for variable in model.variables}
  checkpoint.save(folder, weights, description, 1)
  return folder


@pytest.fixture(scope='module', name='classifier')
def _classifier(tmp_path_factory) -> pathlib.Path:
  return tiny_classifier.save(tmp_path_factory.mktemp('classifier'))


def _run(binary: str, *arguments: str, **options) -> subprocess.CompletedProcess[str]:
  return binaries.run(binary, arguments, **options)


def _refusal(process: subprocess.CompletedProcess[str]) -> str:
  assert process.returncode == 2, process.stderr
  assert not process.stdout
  (line,) = process.stderr.splitlines()
  return line


def test_generate_prints_a_text_a_line(language_model):
  arguments = [f'--pretrained={language_model}', '--prompt=the  cat', '--prompt=', '--num_tokens=5', '--num_samples=2']
  arguments += ['--temperature=0.8', '--top_k=9', '--seed=7']
  process = _run('experiments.generate', *arguments)
  assert process.returncode == 0, process.stderr
  expected = generation.generate(language_model, ['the cat', ''], 5, 0.8, 9, 7, 2)
  assert process.stdout == ''.join(f'{text}\n' for texts in expected for text in texts)
  assert process.stdout.startswith('the cat') and not process.stderr
  assert len({text for texts in expected for text in texts}) == 4


def test_generate_refuses_in_one_line(language_model, classifier):
  line = _refusal(_run('experiments.generate', f'--pretrained={classifier}', '--prompt=the cat'))
  assert line == (
    f'error: --pretrained={classifier} holds a classifier of texts, not a language model: experiments.predict names the '
    'classes of texts with it'
  )
  line = _refusal(_run('experiments.generate', f'--pretrained={language_model}'))
  assert line == "error: --prompt is missing: write --prompt='Returns the', or --prompt='' to begin anew"
  line = _refusal(_run('experiments.generate', f'--pretrained={language_model}', '--prompt=日本'))
  assert line.startswith("error: the model knows no character of the prompt '日本' ('日', '本'): write it in those of")


def test_predict_writes_a_line_of_json_for_each_line(classifier, tmp_path):
  (tmp_path / 'in').write_text('good film\n\nä bad "film"\n', encoding='utf-8')
  arguments = [f'--pretrained={classifier}', f'--input={tmp_path / "in"}', f'--output={tmp_path / "out"}']
  process = _run('experiments.predict', *arguments)
  assert process.returncode == 0, process.stderr
  assert not process.stdout and not process.stderr
  content = (tmp_path / 'out').read_text()
  lines = [json.loads(line) for line in content.splitlines()]
  # 3/4 for what there is more of: see `tiny_classifier`.
  assert [(each['text'], each['label']) for each in lines] == [
    ('good film', 'good'),
    ('', None),
    ('ä bad "film"', 'bad'),
  ]
  assert lines[0]['probabilities'] == pytest.approx(dict(good=0.75, bad=0.25), abs=1e-6)
  assert lines[1]['probabilities'] == {}
  assert lines == prediction.predict(classifier, ['good film', '', 'ä bad "film"'])
  line = _refusal(_run('experiments.predict', *arguments))
  assert line == f'error: --output={tmp_path / "out"} is there already: name a new file, or remove that one first'
  assert (tmp_path / 'out').read_text() == content
  piped = _run('experiments.predict', arguments[0], stdin=str(tmp_path / 'in'))
  assert (piped.returncode, piped.stdout) == (0, content), piped.stderr


def test_predict_refuses_in_one_line(language_model, classifier, tmp_path):
  line = _refusal(_run('experiments.predict', f'--pretrained={language_model}', f'--output={tmp_path / "out"}'))
  assert line.endswith(
    'holds a language model, not a classifier of texts: experiments.generate continues texts with it'
  )
  (tmp_path / 'in').write_bytes(b'good\n\xff\n')
  arguments = [f'--pretrained={classifier}', f'--input={tmp_path / "in"}', f'--output={tmp_path / "out"}']
  assert 'line 2 of --input=' in _refusal(_run('experiments.predict', *arguments))
  assert [path.name for path in tmp_path.iterdir()] == ['in']
