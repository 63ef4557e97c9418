"""Encoders learn hidden tokens, by themselves or from a teacher, and go on after a kill."""

import math
import pathlib

import numpy as np
import pytest

from experiments.central import task as pretraining_task
from experiments.central import text_examples
from experiments.central import training
from experiments.command import failures
from experiments.results import metrics
from models import bert
from models import checkpoint

_SIZE = 'width=8, mlp_width=12, num_heads=2, max_length=8'
_BERT, _DISTILBERT = f'bert({_SIZE}, num_layers=2)', f'distilbert({_SIZE}, num_layers=1)'
_VOCABULARY, _LENGTH = 20, 6


def _tokens(seed: int, num_examples: int) -> np.ndarray:
  """Begin, then numbers that count up: neighbours tell what is hidden."""
  first = np.random.default_rng(seed).integers(4, 14, [num_examples, 1])
  return np.concatenate([np.ones_like(first), first + np.arange(_LENGTH)], axis=1).astype(np.int32)


def _train(folder: pathlib.Path, model: str, teacher: checkpoint.Checkpoint | None = None, **changes) -> dict:
  task = pretraining_task.build(pretraining_task.named(model, _LENGTH), _VOCABULARY, _LENGTH, teacher)
  settings = dict(steps=6, batch_size=8, learning_rate=0.02, warmup_steps=2, steps_per_eval=2, steps_per_checkpoint=2)
  facts = {} if teacher is None else dict(teacher_sha256=teacher.content_hash)
  config = training.CentralConfig(folder, **(settings | changes), facts=facts)
  description = checkpoint.Description(model, _VOCABULARY, _LENGTH, b'a tokenizer')
  examples = training.Examples(dict(tokens=_tokens(0, 37)), dict(tokens=_tokens(1, 10)))
  return training.train(task, examples, description, config)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory) -> checkpoint.Checkpoint:
  folder = tmp_path_factory.mktemp('teacher') / 'bert'
  _train(folder, _BERT, steps=60, steps_per_eval=60)
  return pretraining_task.load_teacher(str(folder), pretraining_task.named(_DISTILBERT, _LENGTH))


def test_an_encoder_learns_hidden_tokens(teacher):
  rows = metrics.read(teacher.folder / 'metrics.csv')
  # A fresh model is near uniform over 21 rows: 20 pieces and the mask.
  assert rows[0]['eval/perplexity'] == pytest.approx(21, rel=0.1)
  assert rows[-1]['eval/perplexity'] < 15 and rows[-1]['eval/perplexity'] == math.exp(rows[-1]['eval/loss'])
  assert teacher.description.vocabulary_size == _VOCABULARY
  assert teacher.weights['embedding/table'].shape == (21, 8)


def test_a_student_goes_on_from_any_step_and_begins_with_its_teacher(teacher, tmp_path, monkeypatch):
  _train(tmp_path / 'undisturbed', _DISTILBERT, teacher)
  first = metrics.read(tmp_path / 'undisturbed' / 'metrics.csv')[0]
  assert first['eval/perplexity'] < 18  # It knows what the embeddings, a layer and the head of its teacher know.
  advance = training._Training._advance

  def interrupted(self):
    if self._state.step == 3:
      raise KeyboardInterrupt
    return advance(self)

  with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
    patched.setattr(training._Training, '_advance', interrupted)
    _train(tmp_path / 'run', _DISTILBERT, teacher)
  assert checkpoint.load(tmp_path / 'run').steps == 2
  _train(tmp_path / 'run', _DISTILBERT, teacher)
  found, expected = (checkpoint.load(tmp_path / name) for name in ('run', 'undisturbed'))
  assert found.content_hash == expected.content_hash and found.steps == 6
  found, expected = (metrics.read(tmp_path / name / 'metrics.csv') for name in ('run', 'undisturbed'))
  assert [row | dict(seconds=0) for row in found] == [row | dict(seconds=0) for row in expected]


def _saved(folder: pathlib.Path, model: str, head: bool = True) -> str:
  """Writes a fresh encoder."""
  folder.mkdir()
  built = pretraining_task.named(model, 1).masked_language_model(_VOCABULARY + 1)
  weights = {v.name: w.numpy() for v, w in zip(built.variables, built.initial_weights(0), strict=True)}
  if not head:
    del weights['head/transform_kernel']
  checkpoint.save(folder, weights, checkpoint.Description(model, _VOCABULARY, _LENGTH, b'a tokenizer'), 0)
  return str(folder)


@pytest.mark.parametrize(
  ('teacher_model', 'student', 'expected'),
  [
    (f'bert({_SIZE.replace("8", "16", 1)}, num_layers=2)', _DISTILBERT, r'the teacher has width=16, the student 8: '),
    (f'bert({_SIZE}, num_layers=4)', _DISTILBERT, r'choose distilbert\(..., num_layers=2\)'),
    (f'albert({_SIZE})', _DISTILBERT, 'a teacher is a bert'),
    (_BERT, _BERT, 'a student is a distilbert'),
    (_BERT, 'lstm', 'is for encoders: choose a --model=distilbert'),
  ],
)
def test_refuses_who_cannot_learn_from_whom(teacher_model, student, expected, tmp_path):
  folder = _saved(tmp_path / 'teacher', teacher_model)
  with pytest.raises(failures.UsageError, match=f'^--teacher.*{expected}'):
    pretraining_task.load_teacher(folder, pretraining_task.named(student, _LENGTH))


def test_refuses_a_teacher_that_is_none(tmp_path):
  student = bert.distilbert(width=8, mlp_width=12, num_heads=2, num_layers=1, max_length=8)
  with pytest.raises(failures.UsageError, match=r'^--teacher=.* holds no model.safetensors'):
    pretraining_task.load_teacher(str(tmp_path), student)
  with pytest.raises(failures.UsageError, match='does not predict hidden tokens: name the --output_dir'):
    pretraining_task.load_teacher(_saved(tmp_path / 'headless', _BERT, head=False), student)


def test_refuses_a_teacher_of_other_tokens(teacher):
  description = checkpoint.Description(_DISTILBERT, 30, _LENGTH, b'another tokenizer')
  with pytest.raises(
    failures.UsageError, match=r'vocabulary \(20 pieces\) than --dataset=text \(30 pieces\): pre-train'
  ):
    pretraining_task.check_vocabulary(teacher, description, 'text')


def test_refuses_examples_longer_than_the_encoder():
  with pytest.raises(failures.UsageError, match=r'has 8 positions, but examples have 9 tokens: .*sequence_length=7$'):
    pretraining_task.named(_BERT, 8)


def test_joins_sentences_to_full_examples():
  sentences = np.array([[1, 7, 8, 2, 0], [1, 9, 2, 0, 0], [1, 4, 5, 6, 3], [1, 9, 2, 0, 0]], np.int32)
  joined = text_examples.joined(dict(tokens=sentences))['tokens']
  # 7 8 2 9 | 2 4 5 6 | 3 9 2 and one of padding: the third sentence was cut off before its end.
  np.testing.assert_array_equal(joined, [[1, 7, 8, 2, 9], [1, 2, 4, 5, 6], [1, 3, 9, 2, 0]])
  assert joined.dtype == np.int32
