"""An encoder of a run in the Hugging Face layout, so that the usual libraries open it."""

from collections.abc import Mapping
import pathlib
from typing import Any

from data import catalog as data_catalog
from data import text_encoders
from experiments import launch
from experiments import saved_encoder
from experiments import spec
from models import checkpoint
from models import hugging_face


def save(folder: pathlib.Path, loaded: checkpoint.Checkpoint, settings: Mapping[str, Any]) -> None:
  """Writes `config.json`, `model.safetensors` and the files of the vocabulary.

  Args:
    folder: Exists.
    loaded: An encoder with the head for classes, or with that of a masked language model.
    settings: The flags of its run, which name the data set and so the classes.

  Raises:
    UsageError: For variables that the layout has no place for.
  """
  labels = ()
  if saved_encoder.has_classifier(loaded):
    labels = spec.build(settings['dataset'], data_catalog.CLASSIFICATION_DATASETS, 'dataset').class_names
  encoder = saved_encoder.encoder_of(loaded)
  num_rows = len(loaded.weights['embedding/table'])
  files = text_encoders.files_of(saved_encoder.tokenizer_of(loaded))
  try:
    hugging_face.save(folder, hugging_face.Pretrained(encoder, num_rows, loaded.weights, tuple(labels), files))
  except ValueError as error:
    raise launch.UsageError(f'--run={loaded.folder} does not fit the Hugging Face layout: {error}') from error
