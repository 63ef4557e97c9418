"""Checkpoints of the reference implementation give its outputs here, come back as they were, or are refused if unsound."""

import dataclasses
import json
import pathlib
import re
import shutil

import hypothesis
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf

from data import text_encoders
from models import bert
from models import checkpoint
from models import hugging_face
from models import hugging_face_config
from tools import random_bert

_GOLDEN = pathlib.Path(__file__).parents[2] / 'tests/models/golden'
_FAMILIES = ('bert', 'albert', 'distilbert')
_CLASSIFIERS = [f'{family}_classifier' for family in _FAMILIES]
_PRE_TRAINED = [f'{family}_pretraining' for family in _FAMILIES]
_BIAS = 'bert.encoder.layer.1.output.dense.bias'


def _named(weights):
  return {name: tf.constant(value) for name, value in weights.items()}


def _expected(folder):
  return dict(np.load(_GOLDEN / folder / 'expected.npz'))


def _assert_same(read, expected):
  assert read.encoder == expected.encoder
  assert (read.vocabulary_size, read.labels) == (expected.vocabulary_size, expected.labels)
  assert read.tokenizer_files == expected.tokenizer_files
  assert read.padding_row == expected.padding_row
  assert read.weights.keys() == expected.weights.keys()
  for name, value in expected.weights.items():
    np.testing.assert_array_equal(read.weights[name], value, name)


def _changed(tmp_path, folder='bert_classifier', config=None, change=lambda arrays: arrays):
  """A copy of a golden folder with other entries in its configuration, or other arrays."""
  copied = tmp_path / 'changed'
  shutil.copytree(_GOLDEN / folder, copied)
  entries = json.loads((copied / 'config.json').read_text()) | (config or {})
  (copied / 'config.json').write_text(json.dumps(entries))
  arrays, metadata = checkpoint.load_arrays(copied / 'model.safetensors')
  checkpoint.save_arrays(copied / 'model.safetensors', change(arrays), metadata)
  return copied


def _renaming(pattern, replacement):
  return lambda arrays: {re.sub(pattern, replacement, name): value for name, value in arrays.items()}


def _refusal(folder):
  with pytest.raises(ValueError, match=r'\A.+\Z') as caught:  # One line.
    hugging_face.load(folder)
  return str(caught.value)


@pytest.mark.parametrize('folder', _CLASSIFIERS + _PRE_TRAINED)
@pytest.mark.parametrize(('attention_mask', 'name'), [(True, 'hidden'), (False, 'hidden_unmasked')])
def test_hidden_states_equal_the_reference(folder, attention_mask, name):
  pretrained, expected = hugging_face.load(_GOLDEN / folder), _expected(folder)
  encoder = dataclasses.replace(pretrained.encoder, attention_mask=attention_mask)
  hidden = encoder.hidden_states(_named(pretrained.weights), tf.constant(expected['tokens']), None)
  np.testing.assert_allclose(hidden, expected[name], rtol=0, atol=1e-5)
  assert np.abs(expected['hidden'] - expected['hidden_unmasked']).max() > 0.1


@pytest.mark.parametrize('folder', _CLASSIFIERS)
def test_a_classifier_equals_the_reference(folder):
  pretrained, expected = hugging_face.load(_GOLDEN / folder), _expected(folder)
  assert (pretrained.has_classifier, pretrained.has_language_model) == (True, False)
  assert pretrained.labels == ('LABEL_0', 'LABEL_1', 'LABEL_2')
  model = pretrained.encoder.classifier(pretrained.vocabulary_size, 3)
  logits = model.apply(_named(pretrained.weights), tf.constant(expected['tokens']), None)
  np.testing.assert_allclose(logits, expected['logits'], rtol=0, atol=1e-5)


@pytest.mark.parametrize('folder', _PRE_TRAINED)
def test_a_masked_language_model_equals_the_reference(folder):
  pretrained, expected = hugging_face.load(_GOLDEN / folder), _expected(folder)
  assert (pretrained.has_classifier, pretrained.has_language_model) == (False, True)
  assert pretrained.labels == ()
  model = pretrained.encoder.masked_language_model(pretrained.vocabulary_size)
  logits = model.apply(_named(pretrained.weights), tf.constant(expected['tokens']), None)
  np.testing.assert_allclose(logits, expected['logits'], rtol=0, atol=1e-5)


def test_the_activation_is_that_of_the_checkpoint():
  activations = {
    folder: hugging_face.load(_GOLDEN / folder).encoder.activation for folder in _CLASSIFIERS + _PRE_TRAINED
  }
  assert [folder for folder, activation in activations.items() if activation == 'gelu_new'] == ['albert_classifier']


def test_a_pre_trained_pooler_is_kept_beside_the_language_model():
  kept = {folder: 'head/pooler_kernel' in hugging_face.load(_GOLDEN / folder).weights for folder in _PRE_TRAINED}
  assert kept == {'bert_pretraining': True, 'albert_pretraining': True, 'distilbert_pretraining': False}


@pytest.mark.parametrize('folder', _CLASSIFIERS + _PRE_TRAINED)
def test_what_is_written_reads_the_same(folder, tmp_path):
  files = {'vocab.txt': b'[PAD]\nword\n', 'spiece.model': bytes(range(256))}
  written = dataclasses.replace(hugging_face.load(_GOLDEN / folder), tokenizer_files=files, padding_row=7)
  hugging_face.save(tmp_path, written)
  _assert_same(hugging_face.load(tmp_path), written)


@pytest.mark.parametrize('folder', _CLASSIFIERS + _PRE_TRAINED)
def test_stored_arrays_are_those_of_the_reference(folder, tmp_path):
  hugging_face.save(tmp_path, hugging_face.load(_GOLDEN / folder))
  original, metadata = checkpoint.load_arrays(_GOLDEN / folder / 'model.safetensors')
  written, written_metadata = checkpoint.load_arrays(tmp_path / 'model.safetensors')
  assert written_metadata == metadata == {'format': 'pt'}  # Without it, transformers refuses the file.
  extras = {name for name in original if name.startswith(('cls.seq_relationship', 'sop_classifier'))}
  assert written.keys() == original.keys() - extras
  for name, value in written.items():
    np.testing.assert_array_equal(value, original[name])


@pytest.mark.parametrize('folder', _CLASSIFIERS + _PRE_TRAINED)
def test_the_configuration_agrees_with_that_of_the_reference(folder, tmp_path):
  hugging_face.save(tmp_path, hugging_face.load(_GOLDEN / folder))
  original, written = (json.loads((path / 'config.json').read_text()) for path in (_GOLDEN / folder, tmp_path))
  # What else pre-training learned is not kept; without a classifier there are no classes.
  ours = ('architectures', 'position_embedding_type', 'torch_dtype', 'seq_classif_dropout', 'id2label', 'label2id')
  for key in written.keys() - ours:
    assert written[key] == original[key], key
  if folder.endswith('classifier'):
    assert [written[key] for key in ('architectures', 'id2label')] == [
      original[key] for key in ('architectures', 'id2label')
    ]


@pytest.mark.parametrize('family', _FAMILIES)
@pytest.mark.parametrize(
  ('pattern', 'replacement'),
  [(r'^(bert|albert|distilbert)\.', ''), (r'(norm|Norm)\.weight$', r'\1.gamma'), (r'(norm|Norm)\.bias$', r'\1.beta')],
)
def test_variants_of_names_are_known(family, pattern, replacement, tmp_path):
  folder = f'{family}_classifier'
  changed = _changed(tmp_path, folder, change=_renaming(pattern, replacement))
  assert (
    checkpoint.load_arrays(changed / 'model.safetensors')[0].keys()
    != checkpoint.load_arrays(_GOLDEN / folder / 'model.safetensors')[0].keys()
  )
  _assert_same(hugging_face.load(changed), hugging_face.load(_GOLDEN / folder))


def test_extras_of_other_versions_are_left_out(tmp_path):
  extras = {
    'bert.embeddings.position_ids': np.arange(10)[np.newaxis],
    'cls.predictions.decoder.weight': np.zeros([40, 16], np.float32),
    'cls.predictions.decoder.bias': np.zeros([40], np.float32),
  }
  changed = _changed(tmp_path, 'bert_pretraining', change=lambda arrays: arrays | extras)
  _assert_same(hugging_face.load(changed), hugging_face.load(_GOLDEN / 'bert_pretraining'))


def test_names_of_two_classes_are_given_where_the_configuration_has_none(tmp_path):
  def two_classes(arrays):
    return arrays | {name: arrays[name][:2] for name in ('classifier.weight', 'classifier.bias')}

  changed = _changed(tmp_path, config=dict(id2label={}), change=two_classes)  # transformers omits the usual two.
  assert hugging_face.load(changed).labels == ('LABEL_0', 'LABEL_1')


@pytest.mark.parametrize(
  ('change', 'named'),
  [
    (lambda arrays: {k: v for k, v in arrays.items() if k != _BIAS}, f'{_BIAS} are missing'),
    (lambda arrays: {k: v for k, v in arrays.items() if k != 'classifier.bias'}, 'classifier.bias are missing'),
    (lambda arrays: arrays | {'bert.encoder.layer.2.output.dense.bias': np.zeros([16], np.float32)}, 'layer.2.output'),
    (lambda arrays: arrays | {'qa_outputs.bias': np.zeros([2], np.float32)}, 'qa_outputs.bias'),
    (
      lambda arrays: arrays | {_BIAS: np.zeros([17], np.float32)},
      re.escape(f'{_BIAS} has the shape [17] and config.json means [16]'),
    ),
    (lambda arrays: arrays | {_BIAS: arrays[_BIAS].astype(np.float64)}, f'{_BIAS} is of type float64, not float32'),
    (lambda arrays: arrays | {_BIAS: np.full([16], np.nan, np.float32)}, f'{_BIAS} holds NaN or infinity'),
    (lambda arrays: arrays | {_BIAS: np.full([16], -np.inf, np.float16)}, f'{_BIAS} holds NaN or infinity'),
    (lambda arrays: arrays | {_BIAS.removeprefix('bert.'): arrays[_BIAS]}, 'layer.1.output.dense.bias is there twice'),
  ],
)
def test_other_weights_are_refused_by_name(change, named, tmp_path):
  assert re.search(named, _refusal(_changed(tmp_path, change=change)))


@pytest.mark.parametrize(
  ('folder', 'config', 'named'),
  [
    ('bert_classifier', dict(model_type='roberta'), "model_type is 'roberta'"),
    ('bert_classifier', dict(model_type='distilbert'), 'dim is None'),
    ('bert_classifier', dict(hidden_act='relu'), "hidden_act is 'relu'"),
    ('distilbert_classifier', dict(activation=['gelu']), 'activation is'),
    ('bert_classifier', dict(position_embedding_type='relative_key'), "position_embedding_type is 'relative_key'"),
    ('bert_classifier', dict(layer_norm_eps=1e-5), 'layer_norm_eps is 1e-05'),
    ('bert_classifier', dict(pad_token_id=40), 'pad_token_id is 40: it must be an id of the vocabulary'),
    ('bert_classifier', dict(pad_token_id=-1), 'pad_token_id is -1'),
    ('bert_classifier', dict(pad_token_id='[PAD]'), "pad_token_id is '[PAD]'"),
    ('albert_classifier', dict(num_hidden_groups=2), 'num_hidden_groups is 2'),
    ('bert_classifier', dict(hidden_size=0), 'hidden_size is 0'),
    ('bert_classifier', dict(num_attention_heads=3), 'num_heads=3 must divide width=16'),
    ('bert_classifier', dict(hidden_size=32), 'has the shape'),
    ('bert_classifier', dict(num_hidden_layers=3), 'bert.encoder.layer.2'),
    ('bert_classifier', dict(num_hidden_layers=1), 'bert.encoder.layer.1'),
    ('bert_classifier', dict(vocab_size=41), 'word_embeddings.weight has the shape'),
    ('bert_classifier', dict(hidden_dropout_prob='much'), 'hidden_dropout_prob'),
    ('bert_classifier', dict(id2label={'1': 'a'}), 'id2label'),
  ],
)
def test_other_configurations_are_refused_by_name(folder, config, named, tmp_path):
  message = _refusal(_changed(tmp_path, folder, config))
  assert named in message
  assert str(tmp_path) in message


@pytest.mark.parametrize('name', ['config.json', 'model.safetensors'])
def test_missing_and_truncated_files_are_refused(name, tmp_path):
  folder = _changed(tmp_path)
  content = (folder / name).read_bytes()
  (folder / name).write_bytes(content[: len(content) // 2])
  assert name in _refusal(folder)
  (folder / name).unlink()
  assert f'holds no {name}' in _refusal(folder)


def test_weights_of_something_else_are_not_written(tmp_path):
  pretrained = hugging_face.load(_GOLDEN / 'bert_classifier')
  added = {'block_0/mlp/up_kernel_lora_a': np.zeros([16, 2], np.float32)}
  with pytest.raises(ValueError, match='up_kernel_lora_a belong to no variable'):
    hugging_face.save(tmp_path, dataclasses.replace(pretrained, weights={**pretrained.weights, **added}))
  with pytest.raises(ValueError, match=r'classifier\.\w+ has the shape'):
    hugging_face.save(tmp_path, dataclasses.replace(pretrained, labels=('one', 'two')))
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('configure', [bert.bert, bert.albert, bert.distilbert])
def test_a_model_that_began_here_is_written_too(configure, tmp_path):
  encoder = configure(width=8, mlp_width=12, num_layers=2, num_heads=2, max_length=6)
  model = encoder.classifier(20, 2)
  weights = {name: value.numpy() for name, value in model.by_name(model.initial_weights(1)).items()}
  written = hugging_face.Pretrained(encoder, 20, weights, ('good', 'bad'), {})
  hugging_face.save(tmp_path, written)
  _assert_same(hugging_face.load(tmp_path), written)


_JSON = st.recursive(
  st.none() | st.booleans() | st.integers(-2, 40) | st.floats(allow_nan=False) | st.text(max_size=5),
  lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
  max_leaves=6,
)
_KEYS = sorted(json.loads((_GOLDEN / 'albert_classifier' / 'config.json').read_text()))


@hypothesis.given(st.dictionaries(st.sampled_from(_KEYS), _JSON, max_size=4))
def test_any_configuration_is_read_or_refused_in_one_line(entries):
  config = json.loads((_GOLDEN / 'albert_classifier' / 'config.json').read_text()) | entries
  try:
    encoder, vocabulary_size, labels = hugging_face_config.parse(config)
  except ValueError as error:
    assert '\n' not in str(error)
  else:
    described = hugging_face_config.describe(encoder, vocabulary_size, labels, 'Model')
    assert hugging_face_config.parse(described) == (encoder, vocabulary_size, labels)


def test_a_random_bert_has_the_size_of_the_published_one(tmp_path):
  random_bert.main(tmp_path / 'model', 'tiny')
  loaded = hugging_face.load(tmp_path / 'model')
  assert loaded.vocabulary_size == 28_996 == len((tmp_path / 'model' / 'vocab.txt').read_text().splitlines())
  assert loaded.encoder == bert.bert(size='tiny', dropout=loaded.encoder.dropout)
  assert text_encoders.tokenizer_of(tmp_path / 'model').vocabulary_size == 28_996
