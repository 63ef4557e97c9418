"""Classifiers of texts as a run or an export leaves them, ready to be applied."""

import dataclasses
import pathlib

import numpy as np

from data import text_encoders
from experiments.command import device_specs
from experiments.command import failures
from experiments.starts import model_kind
from experiments.starts import pretrained
from experiments.starts import published_encoder
from experiments.starts import saved_encoder
from models import hugging_face
from models import model as model_lib

_BIAS = 'head/classifier_bias'  # A number for each class.


@dataclasses.dataclass(frozen=True)
class TextClassifier:
  """A classifier of texts that was read.

  Attributes:
    model: int32 tokens [batch, length] to logits [batch, classes].
    weights: float32 arrays in the order of the model.
    tokenizer: Makes its tokens.
    num_classes: How many there are.
    class_names: The names of the classes, in the order of their numbers; none if they are not known.
    sequence_length: Tokens of the examples that it was trained on; if that is not known, `max_length`.
    max_length: Most tokens that it can read.
    content_hash: SHA-256 of the model, in hexadecimal.
  """

  model: model_lib.Model
  weights: tuple[np.ndarray, ...]
  tokenizer: text_encoders.TextEncoder
  num_classes: int
  class_names: tuple[str, ...]
  sequence_length: int
  max_length: int
  content_hash: str


def load(folder: str | pathlib.Path) -> TextClassifier:
  """Reads the classifier in a folder.

  Args:
    folder: The `--output_dir` of experiments.text_classification, or what experiments.export made of it.

  Returns:
    The classifier.

  Raises:
    UsageError: If there is no sound one; of a model of another kind it names the binary that has a use for it.
  """
  model_kind.check(folder, model_kind.TEXT_CLASSIFIER)
  path = pathlib.Path(folder)
  try:
    return _published(path) if hugging_face.is_in(path) else _own(path)
  except failures.UsageError:
    raise
  except (ValueError, OSError) as error:
    raise failures.UsageError(f'--pretrained={folder}: {error}') from error


def _own(folder: pathlib.Path) -> TextClassifier:
  loaded = pretrained.load(folder)
  described, encoder = loaded.description, saved_encoder.encoder_of(loaded)
  num_classes = len(loaded.weights[_BIAS])
  base = encoder.classifier(saved_encoder.num_rows(loaded), num_classes)
  devices = device_specs.build(described.trainable, described.devices)
  model = device_specs.adapt(devices, base, 0, described.trainable)
  return TextClassifier(
    model=model,
    weights=pretrained.weights_of(loaded, model),
    tokenizer=saved_encoder.tokenizer_of(loaded),
    num_classes=num_classes,
    class_names=described.class_names,
    sequence_length=described.sequence_length,
    max_length=encoder.max_length,
    content_hash=loaded.content_hash,
  )


def _published(folder: pathlib.Path) -> TextClassifier:
  found, tokenizer, content_hash = published_encoder.read(folder)
  num_classes = len(found.weights[_BIAS])
  model = found.encoder.classifier(found.vocabulary_size, num_classes)
  return TextClassifier(
    model=model,
    weights=tuple(found.weights[variable.name] for variable in model.variables),
    tokenizer=tokenizer,
    num_classes=num_classes,
    class_names=found.labels,
    sequence_length=found.sequence_length or found.encoder.max_length,
    max_length=found.encoder.max_length,
    content_hash=content_hash,
  )
