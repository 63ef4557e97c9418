"""A continuation is what the model makes of the window that it was trained on, found here without padding, one row at a time."""

import collections
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data import tokenizer as tokenizer_lib
from experiments.central import generation
from experiments.central import training
from experiments.command import failures
from experiments.starts import pretrained
from models import catalog
from models import checkpoint
from models import language_task

_SENTENCES = ('the cat sat on the mat', 'a dog ran to my door', 'this bird flew over that house')
_TRANSFORMER = 'transformer(width=16, mlp_width=32, num_layers=2, num_heads=2)'
_MODELS = {
  'lstm': ('lstm(width=8, num_cells=16)', 'all'),
  'transformer': (_TRANSFORMER, 'all'),
  'conformer': ('conformer(width=8, mlp_width=16, num_layers=1, num_heads=2, kernel_size=3)', 'all'),
  'lora': (_TRANSFORMER, 'lora(rank=2)'),
  'adapter': (_TRANSFORMER, 'adapter(width=2)'),
  'sub_models': (_TRANSFORMER, 'width(fraction=0.5)'),
}
_LENGTH = 8


@pytest.fixture(scope='module', name='tokenizer')
def _tokenizer() -> tokenizer_lib.Tokenizer:
  return tokenizer_lib.train(_SENTENCES * 5, 40)


def _describe(tokenizer, model: str, trainable: str = 'all', length: int = _LENGTH) -> checkpoint.Description:
  return checkpoint.Description(model, tokenizer.vocabulary_size, length, tokenizer.model, trainable)


def _save(folder: pathlib.Path, description: checkpoint.Description, bias: dict[int, float] | None = None):
  """Leaves a model of random weights, large enough for bold opinions, with the given numbers in the bias of its head."""
  folder.mkdir(exist_ok=True)
  model, generator = pretrained.build_model(description), np.random.default_rng(0)
  weights = {v.name: generator.normal(0, 0.6, v.shape).astype(np.float32) for v in model.variables}
  for token, value in (bias or {}).items():
    weights['head/bias'][token] = value
  checkpoint.save(folder, weights, description, 1)
  return model, weights


def _greedy(model, weights, pieces: list[int], num_tokens: int, length: int) -> list[int]:
  """What follows pieces when the likeliest is taken each time."""
  row = list(pieces)
  for _ in range(num_tokens):
    seen = [tokenizer_lib.BEGIN] + (row[-(length - 1) :] if length > 1 else [])
    logits = model.apply({k: tf.constant(v) for k, v in weights.items()}, tf.constant([seen]), None)[0, -1].numpy()
    logits[[tokenizer_lib.PAD, tokenizer_lib.BEGIN, tokenizer_lib.UNKNOWN]] = -np.inf
    row.append(int(np.argmax(logits)))
    if row[-1] == tokenizer_lib.END:
      break
  return row[len(pieces) :]


@pytest.mark.parametrize('name', _MODELS)
def test_a_greedy_continuation_is_that_of_the_unpadded_window(name, tokenizer, tmp_path):
  model, weights = _save(tmp_path, _describe(tokenizer, *_MODELS[name]))
  prompts = ['', 'the cat', 'a dog ran to my door and the cat sat on this house']
  assert len(tokenizer.pieces(prompts[-1])) > _LENGTH
  texts = generation.generate(tmp_path, prompts, num_tokens=12, temperature=0.0, num_samples=2)
  for prompt, found in zip(prompts, texts, strict=True):
    pieces = tokenizer.pieces(prompt)
    added = _greedy(model, weights, pieces, 12, _LENGTH)
    assert found == [tokenizer.decode([np.array([*pieces, *added])])[0]] * 2
  assert len({len(text) for (text, _) in texts}) > 1


def test_a_window_of_one_token_sees_the_beginning_alone(tokenizer, tmp_path):
  model, weights = _save(tmp_path, _describe(tokenizer, _TRANSFORMER, length=1), {tokenizer_lib.END: -50.0})
  (token,) = _greedy(model, weights, [], 1, 1)
  ((found,),) = generation.generate(tmp_path, [''], num_tokens=3, temperature=0.0)
  assert found == tokenizer.decode([np.array([token] * 3)])[0]


def test_tokens_without_a_text_never_come_and_the_end_ends(tokenizer, tmp_path):
  never = dict.fromkeys([tokenizer_lib.PAD, tokenizer_lib.BEGIN, tokenizer_lib.UNKNOWN], 60.0)
  _save(tmp_path, _describe(tokenizer, _TRANSFORMER), never | {tokenizer_lib.END: -60.0})
  texts = generation.generate(tmp_path, ['the cat'], num_tokens=9, temperature=2.0, num_samples=20)[0]
  for text in texts:
    assert text.startswith('the cat') and len(text) >= len('the cat') + 9  # A piece has a character at least.
    assert '\u2047' not in text  # What an unknown piece is decoded to.
  _save(tmp_path, _describe(tokenizer, _TRANSFORMER), never | {tokenizer_lib.END: 59.0})
  assert generation.generate(tmp_path, ['the cat', ''], num_samples=2) == [['the cat'] * 2, [''] * 2]


def test_samples_are_a_function_of_the_seed_and_their_number(tokenizer, tmp_path):
  _save(tmp_path, _describe(tokenizer, _TRANSFORMER), {tokenizer_lib.END: -60.0})
  (many,) = generation.generate(tmp_path, ['the cat'], num_samples=20, seed=3)
  assert generation.generate(tmp_path, ['a dog', 'the cat'], num_samples=2, seed=3)[1] == many[:2]
  ((shorter,),) = generation.generate(tmp_path, ['the cat'], num_tokens=4, seed=3)
  assert many[0].startswith(shorter) and many[0] != shorter
  assert len(set(many)) == 20
  assert generation.generate(tmp_path, ['the cat'], num_samples=20, seed=4)[0] != many


def test_first_tokens_come_as_often_as_the_model_says(tokenizer, tmp_path):
  model, weights = _save(tmp_path, _describe(tokenizer, _TRANSFORMER))
  seen = tf.constant([[tokenizer_lib.BEGIN, *tokenizer.pieces('the cat')]])
  logits = model.apply({k: tf.constant(v) for k, v in weights.items()}, seen, None)[0, -1].numpy().astype(np.float64)
  logits[[tokenizer_lib.PAD, tokenizer_lib.BEGIN, tokenizer_lib.UNKNOWN]] = -np.inf
  likeliest = np.argsort(-logits)[:3]
  expected = 600 * np.exp(logits[likeliest]) / np.exp(logits[likeliest]).sum()
  pieces = tokenizer.pieces('the cat')
  texts = [tokenizer.decode([np.array([*pieces, token])])[0] for token in likeliest]
  counts = collections.Counter(generation.generate(tmp_path, ['the cat'], 1, top_k=3, num_samples=600)[0])
  assert set(counts) <= set(texts)
  statistic = sum((counts[text] - wanted) ** 2 / wanted for text, wanted in zip(texts, expected, strict=True))
  assert statistic < 13.8  # Two degrees of freedom, one in a thousand.


def test_a_trained_model_continues_its_text(tokenizer, tmp_path):
  tokens = tokenizer.encode(list(_SENTENCES), 25)
  assert (tokens[:, -1] == tokenizer_lib.PAD).all()  # Nothing was cut off.
  description = _describe(tokenizer, _TRANSFORMER, length=24)
  task = language_task.build(pretrained.build_model(description), 24)
  config = training.CentralConfig(tmp_path / 'model', steps=120, batch_size=3, learning_rate=0.02, warmup_steps=5)
  training.train(task, training.Examples(dict(tokens=tokens), dict(tokens=tokens)), description, config)
  prompts = ['the cat', 'a dog ran', ' this   bird\n', 'a dog ran to my door']
  texts = generation.generate(tmp_path / 'model', prompts, temperature=0.0)
  assert texts == [[sentence] for sentence in (*_SENTENCES, _SENTENCES[1])]
  drawn = generation.generate(tmp_path / 'model', ['the'], temperature=0.3, num_samples=5)
  assert drawn == [['the cat sat on the mat'] * 5]


def test_unknown_characters_are_said_or_refused(tokenizer, tmp_path, capsys):
  _save(tmp_path, _describe(tokenizer, _TRANSFORMER))
  ((text,),) = generation.generate(tmp_path, ['the 日本 cat'])
  assert text.startswith('the 日本 cat')
  (line,) = capsys.readouterr().err.splitlines()
  assert line == "the model does not know '日', '本': it reads them as one unknown sub-word"
  with pytest.raises(failures.UsageError, match="the model knows no character of the prompt '日 本' \\('日', '本'\\)"):
    generation.generate(tmp_path, ['the cat', '日 本'])


@pytest.mark.parametrize(
  ('options', 'said'),
  [
    (dict(num_tokens=0), 'num_tokens must be a whole number of at least 1, not 0'),
    (dict(top_k=-1), 'top_k must be a whole number of at least 0, not -1'),
    (dict(seed=-1), 'seed must be'),
    (dict(num_samples=0), 'num_samples must be'),
    (dict(temperature=-0.5), 'temperature must be a number of at least 0, not -0.5'),
    (dict(temperature=float('nan')), 'temperature must be'),
    (dict(temperature=float('inf')), 'temperature must be'),
  ],
)
def test_numbers_out_of_range_are_refused(options, said, tmp_path):
  with pytest.raises(failures.UsageError, match=said):
    generation.generate(tmp_path, ['the cat'], **options)


def test_scores_that_are_not_finite_are_refused(tokenizer, tmp_path):
  description = _describe(tokenizer, _TRANSFORMER)
  _, weights = _save(tmp_path, description)
  weights['embedding/table'] = np.full_like(weights['embedding/table'], 3e38)
  checkpoint.save(tmp_path, weights, description, 1)
  with pytest.raises(failures.UsageError, match='the scores of the model are not finite'):
    generation.generate(tmp_path, ['the cat'])


def _encoder(name: str, classes: int):
  encoder = catalog.ENCODERS[name](width=8, mlp_width=8, num_layers=1, num_heads=1, max_length=12)
  return encoder, encoder.classifier(41, classes) if classes else encoder.masked_language_model(41)


@pytest.mark.parametrize(
  ('kind', 'said'),
  [
    ('encoder', 'holds an encoder of texts without classes, not a language model: experiments.text_classification'),
    ('classifier', 'holds a classifier of texts, not a language model: experiments.predict names the classes of'),
    ('images', 'holds a model of images, not a language model: experiments.evaluate --dataset=digits, or other'),
    ('nothing', 'holds no model.safetensors'),
  ],
)
def test_other_models_are_answered_with_their_binary(kind, said, tokenizer, tmp_path):
  if kind == 'images':
    description = checkpoint.of_images(
      'vit(width=8, mlp_width=8, num_layers=1, num_heads=1, patch_size=2)', (4, 4, 1), 'ab'
    )
    model = pretrained.build_model(description)
  elif kind != 'nothing':
    encoder, model = _encoder('bert', 2 if kind == 'classifier' else 0)
    classifies = kind == 'classifier'
    serialized = b'own\n' * classifies + tokenizer.model
    description = checkpoint.Description(encoder.spec, 41, 8, serialized, class_names=('a', 'b') * classifies)
  if kind != 'nothing':
    weights = {variable.name: np.zeros(variable.shape, np.float32) for variable in model.variables}
    checkpoint.save(tmp_path, weights, description, 1)
  with pytest.raises(failures.UsageError, match=said):
    generation.generate(tmp_path, ['the cat'])
