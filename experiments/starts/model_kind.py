"""What kind of model a folder holds, and which binary has a use for it."""

import collections
import pathlib

from experiments.command import failures
from experiments.command import spec
from experiments.starts import pretrained
from experiments.starts import saved_encoder
from models import catalog
from models import hugging_face

LANGUAGE_MODEL = 'a language model'
ENCODER = 'an encoder of texts without classes'
TEXT_CLASSIFIER = 'a classifier of texts'
IMAGE_MODEL = 'a model of images'

_USES = {
  LANGUAGE_MODEL: 'experiments.generate continues texts with it',
  ENCODER: 'experiments.text_classification --pretrained makes a classifier of it',
  TEXT_CLASSIFIER: 'experiments.predict names the classes of texts with it',
  IMAGE_MODEL: 'experiments.evaluate --dataset=digits, or other images, scores it',
}


def of(folder: str | pathlib.Path) -> str:
  """Returns which of the four kinds the model in a folder is; raises `UsageError` if there is no sound one."""
  if hugging_face.is_in(pathlib.Path(folder)):
    return _published(pathlib.Path(folder))
  loaded = pretrained.load(folder)
  if loaded.description.image_shape:
    return IMAGE_MODEL
  if not saved_encoder.is_encoder(loaded.description):
    _check_known(folder, loaded.description.model)
    return LANGUAGE_MODEL
  return TEXT_CLASSIFIER if saved_encoder.has_classifier(loaded) else ENCODER


def _check_known(folder: str | pathlib.Path, model: str) -> None:
  """Raises `UsageError` for a model of no catalogue: nobody knows of which kind it is without its plug-in."""
  if spec.parse(model)[0].name in catalog.LANGUAGE_MODELS:
    return
  try:
    spec.build(model, collections.ChainMap(catalog.ENCODERS, catalog.LANGUAGE_MODELS), 'model')
  except spec.SpecError as error:
    raise failures.UsageError(f'--pretrained={folder}: {error}') from error


def check(folder: str | pathlib.Path, wanted: str) -> None:
  """Raises `UsageError` that names the right binary if the model in a folder is of another kind than the one wanted."""
  found = of(folder)
  if found != wanted:
    raise failures.UsageError(f'--pretrained={folder} holds {found}, not {wanted}: {_USES[found]}')


def _published(folder: pathlib.Path) -> str:
  try:
    return TEXT_CLASSIFIER if hugging_face.load(folder).has_classifier else ENCODER
  except (ValueError, OSError) as error:
    raise failures.UsageError(f'--pretrained={folder}: {error}') from error
