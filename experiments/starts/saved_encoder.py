"""Encoders in the suite's own checkpoints: which they are, and how their text is cut into tokens."""

from data import sentencepieces
from data import text_encoders
from data import tokenizer as tokenizer_lib
from experiments.command import given_objects
from experiments.command import spec
from models import catalog
from models import checkpoint
from models import encoder as encoder_lib

_CLASSIFIER, _TABLE = 'head/classifier_bias', 'embedding/table'


def is_encoder(description: checkpoint.Description) -> bool:
  """Whether a model is one of `models.catalog.ENCODERS`."""
  return isinstance(given_objects.find('model'), encoder_lib.Encoder) or (
    spec.parse(description.model)[0].name in catalog.ENCODERS
  )


def encoder_of(loaded: checkpoint.Checkpoint) -> encoder_lib.Encoder:
  """Builds the encoder that a checkpoint names; raises `SpecError` if it does not name one."""
  return spec.build(loaded.description.model, catalog.ENCODERS, 'model')


def has_classifier(loaded: checkpoint.Checkpoint) -> bool:
  """Whether it has the head for classes, as a classification run leaves it; else that of `experiments.pretrain`."""
  return _CLASSIFIER in loaded.weights


def num_rows(loaded: checkpoint.Checkpoint) -> int:
  """Returns how many tokens the encoder has an embedding for; raises `ValueError` if it has no table."""
  if _TABLE not in loaded.weights:
    raise ValueError(f'it holds no {_TABLE}: save the model again')
  return len(loaded.weights[_TABLE])


def tokenizer_of(loaded: checkpoint.Checkpoint) -> text_encoders.TextEncoder:
  """Builds what makes its tokens; raises `ValueError` if the checkpoint does not hold it."""
  if has_classifier(loaded):
    return text_encoders.deserialize(loaded.description.tokenizer)
  return sentencepieces.OwnPieces(tokenizer_lib.Tokenizer(loaded.description.tokenizer))
