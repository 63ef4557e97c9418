"""Encoders in the Hugging Face layout: a folder that `transformers` reads and writes, here without torch.

config.json         the dimensions, see `models.hugging_face_config`
model.safetensors   the weights, see `models.hugging_face_names`
vocab.txt, ...      what the tokens are, carried along as it is
"""

from collections.abc import Mapping
import dataclasses
import json
import pathlib

import numpy as np

from models import checkpoint
from models import encoder as encoder_lib
from models import hugging_face_config
from models import hugging_face_names
from models import model as model_lib

CONFIG_FILE = 'config.json'
TOKENIZER_FILES = (
  'vocab.txt',
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'spiece.model',
)

_OF_RUNS = 'settings'  # What the config.json of this suite's own runs holds.
_UNREAD_WEIGHTS = ('*.safetensors.index.json', '*.bin', '*.pt', '*.pth', '*.ckpt', '*.h5', '*.msgpack', '*.onnx')

_TABLE = 'embedding/table'
_POOLER = ('head/pooler_kernel', 'head/pooler_bias')
_CLASSIFIER = ('head/classifier_kernel', 'head/classifier_bias')
_LANGUAGE_MODEL = ('head/transform_kernel', 'head/transform_bias', 'head/norm_scale', 'head/norm_bias', 'head/bias')


@dataclasses.dataclass(frozen=True)
class Pretrained:
  """An encoder with weights.

  Attributes:
    encoder: Its dimensions.
    vocabulary_size: Ids of tokens are below it.
    weights: float32 arrays by the names of variables here: all of the encoder, and of the block `head` what there is.
    labels: Names of the classes; none without a classifier.
    tokenizer_files: Content of those of `TOKENIZER_FILES` that there are, by name.
    padding_row: The token that is padding: a row of `embedding/table`.
    sequence_length: Tokens of the examples that the classifier was trained on, if it is known.
  """

  encoder: encoder_lib.Encoder
  vocabulary_size: int
  weights: Mapping[str, np.ndarray]
  labels: tuple[str, ...] = ()
  tokenizer_files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
  padding_row: int = 0
  sequence_length: int | None = None

  @property
  def has_classifier(self) -> bool:
    """Whether the head for classes is there, all of it."""
    return _has(self.weights, _POOLER + _CLASSIFIER)

  @property
  def has_language_model(self) -> bool:
    """Whether the head for masked tokens is there."""
    return _has(self.weights, _LANGUAGE_MODEL)


def is_in(folder: pathlib.Path) -> bool:
  """Whether the folder is meant to be in the layout, sound or not: it has a `config.json` that no run here has left.

  Without a `config.json`, a file of a vocabulary or of weights in another format says so.
  """
  try:
    config = json.loads((folder / CONFIG_FILE).read_bytes())
  except (ValueError, RecursionError):
    return True  # `load` says what is wrong with it.
  except OSError:
    return any((folder / name).is_file() for name in TOKENIZER_FILES) or _unread(folder) is not None
  return not isinstance(config, dict) or _OF_RUNS not in config


def load(folder: pathlib.Path) -> Pretrained:
  """Reads a folder.

  Args:
    folder: In the Hugging Face layout.

  Returns:
    What it holds.

  Raises:
    ValueError: With one line that names the file and what is wrong with it: missing, truncated, of another kind of
      model, or with tensors that are missing, left over or of another shape.
  """
  config_path, weights_path = folder / CONFIG_FILE, folder / checkpoint.MODEL_FILE
  for path in (weights_path, config_path):
    if not path.is_file():
      raise ValueError(f'{str(folder)!r} holds no {path.name}: {_remedy(folder, path)}')
  try:
    config = json.loads(config_path.read_bytes())
    encoder, vocabulary_size, labels = hugging_face_config.parse(config)
    padding_row = hugging_face_config.padding_row(config)
    sequence_length = hugging_face_config.sequence_length(config)
  except (ValueError, RecursionError) as error:
    raise ValueError(f'{str(config_path)!r}: {" ".join(str(error).split())}') from error
  arrays, _ = checkpoint.load_weights(weights_path)
  try:
    weights = _imported(encoder, vocabulary_size, arrays)
  except ValueError as error:
    raise ValueError(f'{str(weights_path)!r}: {error}') from error
  num_classes = len(weights.get(_CLASSIFIER[1], ()))
  if len(labels) != num_classes:
    labels = tuple(f'LABEL_{index}' for index in range(num_classes))
  files = {name: (folder / name).read_bytes() for name in TOKENIZER_FILES if (folder / name).is_file()}
  return Pretrained(encoder, vocabulary_size, weights, labels, files, padding_row, sequence_length)


def save(folder: pathlib.Path, pretrained: Pretrained) -> None:
  """Writes a folder that `load` and `transformers` read; `AutoModelForSequenceClassification` if there is a classifier.

  Args:
    folder: Exists.
    pretrained: What it will hold.

  Raises:
    ValueError: For an encoder of another family than the published ones, or weights that are not its own, by name.
  """
  hugging_face_config.check_family(pretrained.encoder)
  expected = _variables(pretrained.encoder, pretrained.vocabulary_size, len(pretrained.labels))
  names = {variable.name: published for published, variable in expected.items()}
  if surplus := sorted(pretrained.weights.keys() - names.keys()):
    raise ValueError(f'{_some(surplus)} belong to no variable of the encoder, and the layout has no place for them')
  arrays = {names[name]: _turned(name, value) for name, value in pretrained.weights.items()}
  _check(arrays, expected)
  model = 'Model'
  if pretrained.has_classifier:
    model = 'ForSequenceClassification'
  elif pretrained.has_language_model:
    model = 'ForMaskedLM'
  config = hugging_face_config.describe(
    pretrained.encoder,
    pretrained.vocabulary_size,
    pretrained.labels,
    model,
    pretrained.padding_row,
    pretrained.sequence_length,
  )
  for name, content in pretrained.tokenizer_files.items():
    checkpoint.write(folder / name, content)
  checkpoint.write(folder / CONFIG_FILE, (json.dumps(config, indent=2) + '\n').encode())
  checkpoint.save_arrays(folder / checkpoint.MODEL_FILE, arrays, dict(format='pt'))


def with_padding_first(weights: Mapping[str, np.ndarray], padding_row: int) -> dict[str, np.ndarray]:
  """Exchanges the first row of the table of tokens with that of padding, which has the id 0 here; inverts itself."""
  order = np.arange(len(weights[_TABLE]))
  order[[0, padding_row]] = [padding_row, 0]
  return {**weights, _TABLE: weights[_TABLE][order]} if padding_row else dict(weights)


def _unread(folder: pathlib.Path) -> str | None:
  """Returns the name of a file of weights that are not read; None if there is none."""
  return next((path.name for pattern in _UNREAD_WEIGHTS for path in sorted(folder.glob(pattern))), None)


def _remedy(folder: pathlib.Path, missing: pathlib.Path) -> str:
  if missing.name == checkpoint.MODEL_FILE and (other := _unread(folder)):
    return f'{other} is not read; save the model as safetensors, in one file'
  return 'name a folder that transformers saved as safetensors'


def _has(weights: Mapping[str, np.ndarray], names: tuple[str, ...]) -> bool:
  return all(name in weights for name in names)


def _variables(encoder: encoder_lib.Encoder, vocabulary_size: int, num_classes: int) -> dict[str, model_lib.Variable]:
  """The variables of the encoder with either head, by their names in the layout."""
  models = (encoder.classifier(vocabulary_size, num_classes), encoder.masked_language_model(vocabulary_size))
  variables = {variable.name: variable for model in models for variable in model.variables}
  return {hugging_face_names.published(encoder.family.name, name): variables[name] for name in variables}


def _imported(
  encoder: encoder_lib.Encoder, vocabulary_size: int, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
  """Renames arrays and checks that they are those of the encoder."""
  family = encoder.family.name
  stored: dict[str, np.ndarray] = {}
  for old, new in hugging_face_names.canonical(family, arrays).items():
    if new in stored:
      raise ValueError(f'{old} is there twice, once under another name: delete one of them')
    stored[new] = arrays[old]
  bias = stored.get(hugging_face_names.published(family, _CLASSIFIER[1]))
  expected = _variables(encoder, vocabulary_size, 0 if bias is None else bias.size)
  _check(stored, expected)
  return {expected[name].name: _turned(expected[name].name, value) for name, value in stored.items()}


def _turned(name: str, value: np.ndarray) -> np.ndarray:
  """Turns what is stored into a variable of this name, or back."""
  return np.ascontiguousarray(value.T) if name.endswith('_kernel') else value


def _check(arrays: Mapping[str, np.ndarray], expected: Mapping[str, model_lib.Variable]) -> None:
  """Raises `ValueError` unless stored arrays are all of the encoder and whole heads, finite and of the right shapes."""
  if surplus := sorted(arrays.keys() - expected.keys()):
    raise ValueError(
      f'{_some(surplus)} belong to no variable of the model that {CONFIG_FILE} describes: copy both again'
    )
  names = {variable.name: published for published, variable in expected.items()}
  required = {published for published, variable in expected.items() if variable.block != 'head'}
  for head in (_POOLER, _CLASSIFIER, _LANGUAGE_MODEL):
    parts = {names[name] for name in head}
    required |= parts if parts & arrays.keys() else set()
  if missing := sorted(required - arrays.keys()):
    raise ValueError(f'{_some(missing)} are missing: copy or save the model again')
  for name, value in arrays.items():
    shape = expected[name].shape[::-1] if expected[name].name.endswith('_kernel') else expected[name].shape
    if value.shape != shape:
      raise ValueError(f'{name} has the shape {list(value.shape)} and {CONFIG_FILE} means {list(shape)}')
    if wrong := checkpoint.fault(value):
      raise ValueError(f'{name} {wrong}: save it again')


def _some(names: list[str]) -> str:
  """Lists the first few names."""
  return ', '.join(names[:3]) + (f' and {len(names) - 3} more' if len(names) > 3 else '')
