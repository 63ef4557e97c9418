"""What an encoder that was saved may start, and what is left of it in the Hugging Face layout."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf

from data import errors
from data import source as source_lib
from data import text_encoders
from data import tokenizer as tokenizer_lib
from data.sources import docstrings
from experiments.command import device_specs
from experiments.command import failures
from experiments.starts import encoder_finder
from experiments.starts import encoder_start
from experiments.starts import exporting
from experiments.starts import pretrained
from experiments.starts import saved_classifier
from models import catalog
from models import checkpoint
from models import hugging_face
from models import model as model_lib
from tests import tokenizer_files

_GOLDEN = pathlib.Path(__file__).parents[3] / 'tests/models/golden/bert_classifier'
_SIZES = dict(width=16, mlp_width=24, num_layers=2, num_heads=2, max_length=12)
_CLASSES = ('cat', 'dog', 'none')
_LORA = 'lora(rank=2, alpha=6)'


def _encoder(family: str = 'bert', **options):
  return catalog.ENCODERS[family](**_SIZES, dropout=0.0, **options)


def _save(folder: pathlib.Path, encoder, trainable: str = 'all', classes: tuple[str, ...] = _CLASSES):
  """Leaves what a run of classes does, or a pre-training without them; every weight differs from its initial value."""
  tokenizer = tokenizer_lib.train(['the cat sat on the mat', 'a dog ran to the cat'], 30)
  rows, serialized = tokenizer.vocabulary_size + 1, tokenizer.model
  model = encoder.masked_language_model(rows)
  if classes:
    model = device_specs.adapt(device_specs.build(trainable), encoder.classifier(rows, len(classes)), 0, trainable)
    serialized = b'own\n' + serialized
  generator = np.random.default_rng(0)
  weights = {v.name: generator.normal(0, 0.3, v.shape).astype(np.float32) for v in model.variables}
  description = checkpoint.Description(
    encoder.spec, tokenizer.vocabulary_size, 8, serialized, trainable, class_names=classes
  )
  folder.mkdir(exist_ok=True)
  checkpoint.save(folder, weights, description, 5)
  (folder / 'config.json').write_text('{"settings": {}}')
  return model, weights


def _load(folder: pathlib.Path, family: str = 'bert', **options) -> encoder_start.EncoderStart:
  return encoder_finder.find(str(folder), catalog.ENCODERS[family](**options), docstrings.docstrings())


def _start(folder: pathlib.Path, trainable: str, num_classes: int = 3) -> pretrained.WarmStart:
  """Begins a run as the binary does."""
  start, devices = _load(folder), device_specs.build(trainable)
  source = source_lib.LabelledSource('x', 'x', list, _CLASSES[:num_classes], sequence_length=8)
  model = device_specs.adapt(devices, start.classifier(num_classes), 0, trainable)
  return start.of(model, start.description(source, trainable, 'alike'), devices.rebuilt(model, 0))


def _logits(model: model_lib.Model, weights) -> np.ndarray:
  tokens = tf.constant([[1, 5, 9, 2, 0, 0]])
  return model.apply({name: tf.constant(value) for name, value in weights.items()}, tokens, None).numpy()


@pytest.mark.parametrize('family', ['bert', 'albert', 'distilbert'])
def test_an_encoder_of_our_own_has_a_pooler_only_where_the_published_one_has(family, tmp_path):
  _save(tmp_path / 'own', _encoder(family), classes=())
  exporting.export(tmp_path / 'own', tmp_path / 'exported')
  layers = ('classifier',) if family != 'distilbert' else ('classifier', 'pooler')
  new = {f'head/{layer}_{part}' for layer in layers for part in ('kernel', 'bias')}
  for folder in ('own', 'exported'):
    start = _load(tmp_path / folder, family, head_init='per_client')
    assert start.classifier(5).drawn_by_clients == new
    assert start.encoder.width == 16
    if family != 'distilbert':
      np.testing.assert_array_equal(start.weights['head/pooler_kernel'], np.eye(16))
      np.testing.assert_array_equal(start.weights['head/pooler_bias'], np.zeros(16))


def test_examples_are_no_longer_than_those_of_the_pretraining(tmp_path):
  _save(tmp_path, _encoder(), classes=())
  start = _load(tmp_path)  # 12 positions, of which 8 + 1 have been seen.
  start.check_length(source_lib.LabelledSource('x', 'x', list, _CLASSES, sequence_length=9))
  with pytest.raises(failures.UsageError, match='sequence_length=10 of --dataset is more than 9, which is what'):
    start.check_length(source_lib.LabelledSource('x', 'x', list, _CLASSES, sequence_length=10))


def test_a_start_keeps_all_but_a_head_for_other_classes(tmp_path):
  _, weights = _save(tmp_path, _encoder())
  known = _start(tmp_path, 'all').loaded.weights
  assert known.keys() == weights.keys()
  fewer = _start(tmp_path, 'all', num_classes=2).loaded.weights
  assert weights.keys() - fewer.keys() == {'head/classifier_kernel', 'head/classifier_bias'}


@pytest.mark.parametrize('trainable', ['all', 'lora(rank=3, alpha=6)', 'lora(rank=2)'])
def test_what_low_rank_updates_have_learned_is_not_lost_in_silence(trainable, tmp_path):
  _, weights = _save(tmp_path, _encoder(), _LORA)
  assert _start(tmp_path, _LORA).loaded.weights.keys() == weights.keys()
  with pytest.raises(failures.UsageError, match=r"was trained with --trainable='lora\(rank=2, alpha=6\)'"):
    _start(tmp_path, trainable)


def test_clients_that_draw_frozen_weights_cannot_start_from_others(tmp_path):
  _save(tmp_path, _encoder())
  with pytest.raises(failures.UsageError, match='cannot start a run with --trainable=frozen'):
    _start(tmp_path, 'frozen(blocks=1)')


def test_a_file_without_a_part_of_the_encoder_is_refused(tmp_path):
  _, weights = _save(tmp_path, _encoder())
  description = checkpoint.load(tmp_path).description
  for lost in ('block_1/mlp/up_kernel', 'embedding/table'):
    checkpoint.save(tmp_path, {name: value for name, value in weights.items() if name != lost}, description, 5)
    with pytest.raises(failures.UsageError, match=f'it holds no {lost}: save the model again'):
      _load(tmp_path)


def test_an_export_computes_the_same_with_what_lora_has_learned_in_its_kernels(tmp_path):
  model, weights = _save(tmp_path / 'run', _encoder('albert', activation='gelu'), _LORA)
  exporting.export(tmp_path / 'run', tmp_path / 'exported')
  found = hugging_face.load(tmp_path / 'exported')
  assert found.labels == _CLASSES
  assert found.encoder.spec == _encoder('albert', activation='gelu').spec  # Not ALBERT's own activation.
  assert "activation='gelu'" in found.encoder.spec
  plain = found.encoder.classifier(found.vocabulary_size, 3)
  np.testing.assert_allclose(_logits(plain, found.weights), _logits(model, weights), atol=1e-5)
  assert (
    text_encoders.tokenizer_of(tmp_path / 'exported').serialized
    == checkpoint.load(tmp_path / 'run').description.tokenizer
  )


@pytest.mark.parametrize('trainable', ['all', _LORA, 'adapter(width=2)', 'suffix(blocks=1)'])
def test_a_saved_classifier_computes_what_the_run_did(trainable, tmp_path):
  model, weights = _save(tmp_path / 'run', _encoder(attention_mask=False), trainable)
  folders = [tmp_path / 'run']
  if not trainable.startswith('adapter'):  # Which have no place in the layout.
    exporting.export(tmp_path / 'run', tmp_path / 'exported')
    folders.append(tmp_path / 'exported')
  for folder in folders:
    found = saved_classifier.load(folder)
    logits = _logits(found.model, found.model.by_name(found.weights))
    np.testing.assert_allclose(logits, _logits(model, weights), atol=1e-5)
    assert (found.class_names, found.num_classes) == (_CLASSES, 3)
    assert (found.sequence_length, found.max_length) == (8, 12)
    assert found.tokenizer.serialized == checkpoint.load(tmp_path / 'run').description.tokenizer
  masked, _ = _save(tmp_path / 'masked', _encoder(), trainable)
  assert np.abs(_logits(masked, weights) - _logits(model, weights)).max() > 1e-4  # The mask decides.


def test_a_run_may_hide_padding_whatever_the_one_before_did(tmp_path):
  _save(tmp_path, _encoder(attention_mask=False))
  assert checkpoint.load(tmp_path).description.model.endswith('attention_mask=False)')
  assert _load(tmp_path).encoder.attention_mask
  assert not _load(tmp_path, attention_mask=False).encoder.attention_mask
  assert _load(tmp_path, **_SIZES).encoder.attention_mask


def test_how_long_examples_were_is_a_whole_number(tmp_path):
  _save(tmp_path / 'run', _encoder())
  exporting.export(tmp_path / 'run', tmp_path / 'exported')
  config = json.loads((tmp_path / 'exported' / 'config.json').read_text())
  assert config['sequence_length'] == 8
  del config['sequence_length']  # As elsewhere.
  (tmp_path / 'exported' / 'config.json').write_text(json.dumps(config))
  assert saved_classifier.load(tmp_path / 'exported').sequence_length == 12
  (tmp_path / 'exported' / 'config.json').write_text(json.dumps(config | dict(sequence_length=0)))
  with pytest.raises(failures.UsageError, match='sequence_length is 0: it must be a whole number of at least 1'):
    saved_classifier.load(tmp_path / 'exported')


def test_an_export_may_be_made_again_and_replaces_nothing_else(tmp_path):
  _save(tmp_path / 'run', _encoder())
  for _ in range(2):
    exporting.export(tmp_path / 'run', tmp_path / 'exported')
  _save(tmp_path / 'other', _encoder('distilbert'))
  (tmp_path / 'notes').mkdir()
  (tmp_path / 'notes' / 'config.json').write_text('{"mine": 1}')
  for run, folder in (('other', 'exported'), ('run', 'notes')):
    with pytest.raises(failures.UsageError, match='holds other files: choose a new --output_dir'):
      exporting.export(tmp_path / run, tmp_path / folder)
  assert hugging_face.load(tmp_path / 'exported').encoder.family.name == 'bert'


def test_adapters_have_no_place_in_the_layout(tmp_path):
  _save(tmp_path / 'run', _encoder(), 'adapter(width=2)')
  with pytest.raises(failures.UsageError, match='and the layout has no place for them'):
    exporting.export(tmp_path / 'run', tmp_path / 'exported')


def _stored_elsewhere(folder: pathlib.Path, kind: str) -> text_encoders.TextEncoder:
  """Leaves the golden BERT with a tokenizer.json, and padding at the row where that has it."""
  shutil.copytree(_GOLDEN, folder)
  (folder / 'tokenizer.json').write_text(tokenizer_files.KINDS[kind](40))
  tokenizer = text_encoders.tokenizer_of(folder)
  arrays, metadata = checkpoint.load_arrays(folder / 'model.safetensors')
  name = 'bert.embeddings.word_embeddings.weight'
  order = np.arange(40)
  order[[0, tokenizer.padding_row]] = tokenizer.padding_row, 0
  checkpoint.save_arrays(folder / 'model.safetensors', arrays | {name: arrays[name][order]}, metadata)
  config = json.loads((folder / 'config.json').read_text())
  (folder / 'config.json').write_text(json.dumps(config | dict(pad_token_id=tokenizer.padding_row)))
  return tokenizer


@pytest.mark.parametrize(('kind', 'padding'), [('WordPiece', 0), ('Unigram', 1)])
def test_a_tokenizer_json_starts_a_run_and_is_exported_with_it(kind, padding, tmp_path):
  tokenizer = _stored_elsewhere(tmp_path / 'folder', kind)
  assert tokenizer.padding_row == padding
  start, expected = _load(tmp_path / 'folder'), hugging_face.load(_GOLDEN).weights
  for name, value in expected.items():
    np.testing.assert_array_equal(start.weights[name], value, name)
  assert start.tokenizer.serialized == tokenizer.serialized
  source = source_lib.LabelledSource('x', 'x', list, _CLASSES, sequence_length=8)
  (tmp_path / 'run').mkdir()
  checkpoint.save(tmp_path / 'run', start.weights, start.description(source, 'all', 'alike'), 1)
  (tmp_path / 'run' / 'config.json').write_text('{"settings": {}}')
  for _ in range(2):  # The second finds what the first has left.
    exporting.export(tmp_path / 'run', tmp_path / 'exported')
  exported, original = hugging_face.load(tmp_path / 'exported'), hugging_face.load(tmp_path / 'folder')
  assert exported.padding_row == padding
  for name, value in original.weights.items():
    np.testing.assert_array_equal(exported.weights[name], value, name)
  assert exported.tokenizer_files.keys() == {'tokenizer.json', 'tokenizer_config.json'}
  again = _load(tmp_path / 'exported')
  assert again.tokenizer.serialized == tokenizer.serialized
  np.testing.assert_array_equal(again.weights['embedding/table'], expected['embedding/table'])


def test_padding_that_the_configuration_and_the_vocabulary_place_apart_is_refused(tmp_path):
  _stored_elsewhere(tmp_path / 'folder', 'Unigram')
  config = json.loads((tmp_path / 'folder' / 'config.json').read_text())
  (tmp_path / 'folder' / 'config.json').write_text(json.dumps(config | dict(pad_token_id=0)))
  assert _load(tmp_path / 'folder').tokenizer.padding_row == 1  # Zero is what transformers writes by itself.
  (tmp_path / 'folder' / 'config.json').write_text(json.dumps(config | dict(pad_token_id=2)))
  with pytest.raises(failures.UsageError, match=r'pad_token_id is 2 in its config\.json and 1 in its vocabulary'):
    _load(tmp_path / 'folder')


_SHORT = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', 'word']


@pytest.mark.parametrize(
  ('files', 'said'),
  [
    ({'vocab.txt': '\n'.join([*_SHORT, *map(str, range(36))])}, 'its vocabulary has 41 pieces and its table 40 rows'),
    ({'tokenizer.json': tokenizer_files.word_piece(45)}, 'its vocabulary has 45 pieces and its table 40 rows'),
    ({'tokenizer.json': '{"model": {"type": "WordLevel", "vocab": {}}}'}, "holds a model of type 'WordLevel': only"),
    ({'tokenizer.json': '{"model": '}, 'tokenizer.json is truncated or no JSON object with a model'),
    ({}, 'holds no vocab.txt, spiece.model or tokenizer.json: give the folder of a whole model'),
    ({'config.json': '{"vocab_size": 40}'}, 'model_type is missing, and architectures does not tell: add one of bert'),
    ({'model.safetensors': None, 'pytorch_model.bin': 'x'}, 'pytorch_model.bin is not read; save the model as'),
    ({'model.safetensors': 'truncated'}, 'is truncated or no safetensors file'),
    ({'model.safetensors': '\x7f' * 4096}, 'is truncated or no safetensors file'),
  ],
  ids=lambda value: ' '.join(value) if isinstance(value, dict) else '',
)
def test_unsound_folders_are_refused_in_one_line(files, said, tmp_path):
  shutil.copytree(_GOLDEN, tmp_path / 'folder')
  for name, content in files.items():
    (tmp_path / 'folder' / name).unlink(missing_ok=True)
    if content is not None:
      (tmp_path / 'folder' / name).write_text(content)
  with pytest.raises((failures.UsageError, errors.DataError)) as caught:  # One line and exit code 2 in any binary.
    _load(tmp_path / 'folder')
  (line,) = str(caught.value).splitlines()
  assert said in line


def test_a_file_of_weights_is_no_folder(tmp_path):
  (tmp_path / 'model.bin').write_bytes(b'x')
  with pytest.raises(failures.UsageError, match=r'model\.bin is a file: name the folder of a whole model'):
    _load(tmp_path / 'model.bin')


def test_a_broken_configuration_is_named(tmp_path):
  _save(tmp_path / 'run', _encoder())
  exporting.export(tmp_path / 'run', tmp_path / 'exported')
  (tmp_path / 'exported' / 'config.json').write_text('{"model_type": "be')
  with pytest.raises(failures.UsageError, match='exported/config'):
    _load(tmp_path / 'exported')
