"""Learning in stages from text: what travels, what the encoder is worth afterwards, and what is refused."""

import json

import numpy as np
import pytest

from experiments.results import metrics
from models import checkpoint
from tests import binaries
from tests import heldout_file

_MODEL = 'width=8, mlp_width=16, num_layers=2, num_heads=2, max_length=12'
_BLOCK = 4 * (8 * 8 + 8) + 8 * 16 + 16 + 16 * 8 + 8 + 4 * 8  # 600 numbers: attention, MLP and two norms.


@pytest.fixture(scope='module')
def authors(tmp_path_factory) -> str:
  """Three authors with words of their own, as an argument of --dataset."""
  rng = np.random.default_rng(0)
  lines = ['id,text,author']
  for number in range(150):
    words = ' '.join(f'{"abc"[number % 3]}{word}' for word in rng.integers(0, 6, 6))
    lines.append(f'id{number},{words},{("EAP", "HPL", "MWS")[number % 3]}')
  path = tmp_path_factory.mktemp('authors') / 'train.csv'
  path.write_text('\n'.join(lines) + '\n')
  return f'spooky(path={str(path)!r}, sequence_length=10)'


@pytest.fixture(scope='module')
def vocabulary(tmp_path_factory) -> str:
  """Text of their words, as an argument of --vocabulary."""
  folder = tmp_path_factory.mktemp('vocabulary')
  for client in ('one', 'two', 'three'):
    (folder / client).mkdir()
    lines = [f'{letter}{word} and {letter}{word}.' for letter in 'abc' for word in range(6)]
    (folder / client / 'a.txt').write_text('\n'.join(lines))
  return f'text(path={str(folder)!r}, vocabulary=30)'


def _run(output_dir, dataset, vocabulary, environment, **changes):
  settings = dict(
    model=f'bert({_MODEL})',
    dataset=dataset,
    vocabulary=vocabulary,
    partition='dirichlet(alpha=1.0, clients=3)',
    algorithm='fed_adam',
    batch_size=20,
    local_epochs=1,
    rounds=4,
    rounds_per_eval=1,
    output_dir=output_dir,
  )
  arguments = [f'--{name}={value}' for name, value in (settings | changes).items() if value is not None]
  return binaries.run('experiments.layerwise_ssl', arguments, environment)


def test_blocks_learn_hidden_tokens_and_start_a_classifier(authors, vocabulary, environment, tmp_path):
  folder = tmp_path / 'run'
  done = _run(folder, authors, vocabulary, environment)
  assert done.returncode == 0, done.stderr
  assert 'stage 2 of 2: trains blocks 2 to 2, on 1 frozen' in done.stdout
  first, last = (checkpoint.load(folder / f'stage_{number:02}') for number in (1, 2))
  num_rows = last.description.vocabulary_size + 1  # One for the mask.
  assert last.weights['embedding/table'].shape == (num_rows, 8)
  # Down: tables (2 types), norm, block and head in the first stage, then block and head alone; the head scores tokens by the table.
  embedding = (num_rows + 12 + 2) * 8 + 2 * 8
  head = 8 * 8 + 8 + 2 * 8 + num_rows
  rows = metrics.read(folder / 'metrics.csv')
  assert [row['download_bytes'] - row['download_bytes_frozen'] for row in rows[1:]] == [
    *[3 * 4 * (embedding + _BLOCK + head)] * 2,
    *[3 * 4 * (_BLOCK + head)] * 2,
  ]
  assert [row['download_bytes_frozen'] for row in rows[1:]] == [0, 0, 3 * 4 * (embedding + _BLOCK), 0]
  for name, value in first.weights.items():
    kept = not name.startswith('head/')
    assert (value == last.weights[name]).all() == kept, name
  assert rows[1]['eval/perplexity'] < rows[0]['eval/perplexity'] < 1.1 * num_rows
  summary = json.loads((folder / 'summary.json').read_text())
  assert summary['probe/accuracy'] > 0.9 and 0 <= summary['probe/accuracy_random'] <= 1
  heldout_file.check_probe(folder)
  heldout_file.check(folder / 'stage_02', examples=False)
  assert f'  {summary["probe/accuracy_tf_idf"]:.3f}\n' in done.stdout  # Words of their own.

  scored = binaries.run(
    'experiments.evaluate',
    [f'--pretrained={folder / "stage_02"}', f'--dataset={vocabulary[:-1]}, sequence_length=9)'],
    environment,
  )
  assert scored.returncode == 0, scored.stderr
  assert 1 < json.loads(scored.stdout)['eval/perplexity'] < 2 * num_rows
  tuned = binaries.run(
    'experiments.text_classification',
    [
      f'--pretrained={folder / "stage_02"}',
      f'--dataset={authors}',
      '--rounds=0',
      f'--output_dir={tmp_path / "tuned"}',
    ],
    environment,
  )
  assert tuned.returncode == 0, tuned.stderr
  begun = checkpoint.load(tmp_path / 'tuned')
  for name, value in last.weights.items():
    assert name.startswith('head/') or (begun.weights[name] == value).all(), name


def test_a_distilbert_learns_all_blocks_at_once_and_is_fine_tuned(authors, vocabulary, environment, tmp_path):
  changes = dict(model=f'distilbert({_MODEL})', stages='end_to_end', rounds=1, probe_examples=30, finetune_steps=2)
  done = _run(tmp_path / 'run', authors, vocabulary, environment, **changes)
  assert done.returncode == 0, done.stderr
  rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
  assert [row['eval/perplexity'] > 1 for row in rows] == [True, True]
  assert rows[1]['eval/perplexity'] < rows[0]['eval/perplexity']
  summary = json.loads((tmp_path / 'run' / 'summary.json').read_text())
  assert 0 <= summary['finetune/accuracy'] <= 1 and 0 <= summary['finetune/accuracy_random'] <= 1
  finetuned = tmp_path / 'run' / 'finetuned'
  begun = binaries.run(
    'experiments.text_classification',
    [
      f'--pretrained={finetuned}',
      '--model=distilbert',
      f'--dataset={authors}',
      '--rounds=0',
      f'--output_dir={tmp_path / "begun"}',
    ],
    environment,
  )
  assert begun.returncode == 0, begun.stderr
  for name, value in checkpoint.load(finetuned).weights.items():
    np.testing.assert_array_equal(checkpoint.load(tmp_path / 'begun').weights[name], value)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (dict(objective='simclr'), '--objective=simclr is for images, but --dataset has texts: choose masked_language, or'),
    (dict(model='vit'), '--model=vit is for images, but --dataset has texts: choose albert, bert, distilbert, or a'),
    (dict(model='albert'), 'albert has one block for all its layers, so that it cannot grow: choose --model=bert or'),
    (dict(model='bert(max_length=9)'), 'sequence_length=10 of --dataset is more than the 9 positions of --model'),
    (dict(model='lstm'), "unknown model 'lstm'"),
    (dict(objective='masked_language(rate=0.2)'), "objective masked_language has no argument 'rate'"),
    (dict(vocabulary='spooky'), "vocabulary 'spooky' has texts with classes"),
    (dict(dataset='digits', vocabulary=None), 'is for texts, but --dataset has images: choose resnet, vit'),
    (
      dict(dataset='digits', vocabulary=None, model=None, objective='masked_language'),
      '--objective=masked_language is',
    ),
    (dict(dataset='digits', model=None), 'is for texts, but --dataset has images: leave it out'),
    (dict(dataset='sonnets'), "unknown dataset 'sonnets'"),
  ],
)
def test_what_does_not_go_together_is_refused_in_one_line(changes, message, authors, vocabulary, environment, tmp_path):
  arguments = dict(dataset=authors, vocabulary=vocabulary) | changes
  process = _run(tmp_path / 'run', environment=environment, **arguments)
  assert process.returncode == 2, process.stderr
  last = process.stderr.strip().rpartition('\n')[2]
  assert last.startswith('error: ') and message in last
  assert not (tmp_path / 'run').exists()
