"""Which folders are read: by what their files say of themselves, in which numbers, and wherever padding lies."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from models import checkpoint
from models import hugging_face
from models import hugging_face_config

_GOLDEN = pathlib.Path(__file__).parents[2] / 'tests/models/golden'
_FAMILIES = ('bert', 'albert', 'distilbert')
_CLASSIFIERS = [f'{family}_classifier' for family in _FAMILIES]


def _copied(tmp_path, folder='bert_classifier', config=None, change=lambda arrays: arrays):
  """A copy of a golden folder with other entries in its configuration, or other arrays."""
  copied = tmp_path / 'copied'
  shutil.copytree(_GOLDEN / folder, copied)
  entries = json.loads((copied / 'config.json').read_text()) | (config or {})
  (copied / 'config.json').write_text(json.dumps(entries))
  arrays, metadata = checkpoint.load_arrays(copied / 'model.safetensors')
  checkpoint.save_arrays(copied / 'model.safetensors', change(arrays), metadata)
  return copied


def _refusal(folder):
  with pytest.raises(ValueError, match=r'\A.+\Z') as caught:  # One line.
    hugging_face.load(folder)
  return str(caught.value)


@pytest.mark.parametrize('family', _FAMILIES)
@pytest.mark.parametrize('model', ['Model', 'ForMaskedLM', 'ForSequenceClassification'])
def test_the_kind_of_model_is_known_by_its_architecture(family, model):
  name = {'bert': 'Bert', 'albert': 'Albert', 'distilbert': 'DistilBert'}[family] + model
  config = json.loads((_GOLDEN / f'{family}_classifier' / 'config.json').read_text())
  expected = hugging_face_config.parse(config)
  del config['model_type']
  assert hugging_face_config.parse(config | dict(architectures=[name])) == expected


@pytest.mark.parametrize(
  ('content', 'said'),
  [
    (
      '{"hidden_size": 16}',
      'model_type is missing, and architectures does not tell: add one of bert, albert, distilbert',
    ),
    ('{"architectures": ["RobertaModel"]}', 'model_type is missing, and architectures does not tell'),
    ('{"architectures": "BertModel"}', 'model_type is missing'),
    ('{"architectures": [["BertModel"], 3]}', 'model_type is missing'),
    ('{}', 'model_type is missing'),
    ('[1]', 'it is list and no JSON object: copy the model again'),
    ('"bert"', 'it is str and no JSON object'),
    ('[' * 100_000, 'config.json'),
  ],
  ids=lambda value: str(value)[:40],
)
def test_a_configuration_that_does_not_say_what_it_is(content, said, tmp_path):
  folder = _copied(tmp_path)
  (folder / 'config.json').write_text(content)
  assert hugging_face.is_in(folder)
  assert said in _refusal(folder)


@pytest.mark.parametrize(
  ('files', 'meant', 'said'),
  [
    ({}, False, 'holds no model.safetensors: name a folder that transformers saved as safetensors'),
    ({'config.json': '{"settings": {}}'}, False, 'holds no model.safetensors: name'),
    ({'vocab.txt': ''}, True, 'holds no model.safetensors: name'),
    ({'pytorch_model.bin': ''}, True, 'holds no model.safetensors: pytorch_model.bin is not read; save the model as'),
    ({'config.json': '{}', 'model.pt': ''}, True, 'model.pt is not read; save the model as safetensors, in one file'),
    ({'config.json': '{}', 'tf_model.h5': ''}, True, 'tf_model.h5 is not read'),
    (
      {'model.safetensors.index.json': '{}', 'model-00001-of-00002.safetensors': ''},
      True,
      'model.safetensors.index.json is not read; save the model as safetensors, in one file',
    ),
  ],
  ids=lambda value: str(value)[:40],
)
def test_a_folder_of_other_files_says_what_it_lacks(files, meant, said, tmp_path):
  for name, content in files.items():
    (tmp_path / name).write_text(content)
  assert hugging_face.is_in(tmp_path) == meant
  assert said in _refusal(tmp_path)


@pytest.mark.parametrize('folder', _CLASSIFIERS)
def test_weights_of_16_bits_are_those_numbers(folder, tmp_path):
  def halved(arrays):
    return {name: value.astype(np.float16) for name, value in arrays.items()}

  read = hugging_face.load(_copied(tmp_path, folder, change=halved)).weights
  for name, value in hugging_face.load(_GOLDEN / folder).weights.items():
    assert read[name].dtype == np.float32
    np.testing.assert_array_equal(read[name], value.astype(np.float16).astype(np.float32))


def test_the_row_of_padding_comes_first_and_goes_back(tmp_path):
  weights = hugging_face.load(_copied(tmp_path, config=dict(pad_token_id=3))).weights
  first = hugging_face.with_padding_first(weights, 3)
  table, expected = first['embedding/table'], weights['embedding/table']
  np.testing.assert_array_equal(table[[0, 1, 2, 3]], expected[[3, 1, 2, 0]])
  np.testing.assert_array_equal(table[4:], expected[4:])
  assert all(first[name] is weights[name] for name in weights if name != 'embedding/table')
  np.testing.assert_array_equal(hugging_face.with_padding_first(first, 3)['embedding/table'], expected)
