"""An encoder of a run in the Hugging Face layout, so that the usual libraries open it."""

import numpy as np

from data import text_encoders
from experiments.command import failures
from experiments.command import spec
from experiments.starts import saved_encoder
from models import adapters
from models import checkpoint
from models import encoder as encoder_lib
from models import hugging_face


def convert(loaded: checkpoint.Checkpoint) -> hugging_face.Pretrained:
  """Returns what `hugging_face.save` writes: low-rank updates merged, and the pooler that a classifier would start with.

  Args:
    loaded: An encoder with the head for classes, or with that of a masked language model.

  Raises:
    UsageError: For an encoder that lacks a part.
  """
  try:
    encoder, num_rows = saved_encoder.encoder_of(loaded), saved_encoder.num_rows(loaded)
    tokenizer = saved_encoder.tokenizer_of(loaded)
  except ValueError as error:
    raise failures.UsageError(f'--run={loaded.folder}: {error}') from error
  weights, class_names, sequence_length = _merged(loaded), loaded.description.class_names, None
  if saved_encoder.has_classifier(loaded):
    class_names = class_names or tuple(f'LABEL_{number}' for number in range(len(weights['head/classifier_bias'])))
    sequence_length = loaded.description.sequence_length
  else:
    weights |= encoder_lib.initial_pooler(encoder)
  weights, files = hugging_face.with_padding_first(weights, tokenizer.padding_row), text_encoders.files_of(tokenizer)
  padding_row = tokenizer.padding_row
  return hugging_face.Pretrained(encoder, num_rows, weights, class_names, files, padding_row, sequence_length)


def _merged(loaded: checkpoint.Checkpoint) -> dict[str, np.ndarray]:
  (call,) = spec.parse(loaded.description.trainable)
  if call.name != 'lora' or loaded.description.devices != 'alike':
    return dict(loaded.weights)
  rank = call.arguments['rank']
  return adapters.merged(loaded.weights, (call.arguments.get('alpha') or rank) / rank)


def holds(found: hugging_face.Pretrained, converted: hugging_face.Pretrained) -> bool:
  """Whether a folder that was read has the weights of a converted model, whatever the options of its runs."""
  one, other = found.weights, converted.weights
  return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
