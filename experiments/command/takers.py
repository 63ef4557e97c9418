"""Builds data sets and models by name; a name that is for other binaries is said to be so."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import inspect
from typing import Any

from data import catalog as data_catalog
from data import image_source
from data import source
from experiments.command import given_objects
from experiments.command import spec
from models import catalog as models_catalog
from models import encoder
from models import image_encoder
from models import model as model_lib

_Catalogue = Mapping[str, Callable[..., Any]]
_Taker = tuple[_Catalogue, type, str]  # What its builders return, and what is said of it elsewhere.

_OF_DATASETS = (
  (data_catalog.DATASETS, source.TextSource, 'has running text, for experiments.language_model and pretrain'),
  (
    data_catalog.CLASSIFICATION_DATASETS,
    source.LabelledSource,
    'has texts with classes, for experiments.text_classification and layerwise_ssl',
  ),
  (
    data_catalog.IMAGE_DATASETS,
    image_source.ImageSource,
    'has images, for experiments.constrained_finetuning and layerwise_ssl, and for pretrain with a model of images',
  ),
)
_OF_MODELS = (
  (
    models_catalog.LANGUAGE_MODELS,
    Callable,
    'is a language model, for experiments.language_model and pretrain',
  ),
  (
    models_catalog.ENCODERS,
    encoder.Encoder,
    'is an encoder of texts, for experiments.text_classification, layerwise_ssl and pretrain',
  ),
  (
    models_catalog.VISION_MODELS,
    image_encoder.FeatureExtractor,
    'is a model of images, for experiments.layerwise_ssl and pretrain',
  ),
)


def build_dataset(text: Any, datasets: _Catalogue, what: str = 'dataset') -> Any:
  """Builds the source that a spec names.

  Args:
    text: The spec, or from a script a source.
    datasets: What the binary takes, by name.
    what: What messages call it.

  Returns:
    The source.

  Raises:
    SpecError: As `spec.build` does; for a data set of `data.catalog` that the binary does not take, with those that do.
  """
  return spec.build(text, datasets, what, _said(_OF_DATASETS), _kinds(_OF_DATASETS, datasets))


def build_model(text: Any, models: _Catalogue, kind: type | None = None) -> Any:
  """Builds what a spec of `--model` names.

  Args:
    text: The spec, or from a script what it would build.
    models: What the binary takes, by name.
    kind: What a script may give, where they are none of `models.catalog`.

  Returns:
    What the builder returned.

  Raises:
    SpecError: As `build_dataset` does.
  """
  kinds = _kinds(_OF_MODELS, models) if kind is None else kind
  built = spec.build(text, models, 'model', _said(_OF_MODELS), kinds)
  return _of_models(built) if given_objects.is_one(text) and inspect.isfunction(text) else built


def is_of_images(text: Any) -> bool:
  """Whether a spec of `--model`, or what a script gives, is a model of images; raises `SpecError` for no spec."""
  if given_objects.is_one(text):
    return isinstance(text, image_encoder.FeatureExtractor)
  return spec.parse(text)[0].name in models_catalog.VISION_MODELS


def _of_models(build: Callable[..., Any]) -> Callable[[int], model_lib.Model]:
  """Returns a script's function, which raises `SpecError` unless it makes a model of a vocabulary size."""
  try:
    inspect.signature(build).bind(1)
  except TypeError as error:
    raise spec.SpecError(f'model is a function of a vocabulary size: {error}') from error

  def checked(vocabulary_size: int) -> model_lib.Model:
    return spec.checked(build(vocabulary_size), model_lib.Model, 'what the model function makes')

  return checked


def _said(takers: Sequence[_Taker]) -> dict[str, str]:
  """Returns what is said of each name."""
  found: dict[str, str] = {}
  for catalogue, _, said in takers:
    found |= {name: f'{found[name]}, and {said}' if name in found else said for name in catalogue}
  return found


def _kinds(takers: Sequence[_Taker], taken: _Catalogue) -> tuple[type, ...]:
  """Returns what the builders of those catalogues return that are taken as a whole."""
  return tuple(kind for catalogue, kind, _ in takers if set(catalogue) <= set(taken))
