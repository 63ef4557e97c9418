"""Encoders in the Hugging Face layout: weights and vocabulary, found to fit each other, in the ids of this suite."""

import dataclasses
import pathlib
from typing import NamedTuple

from data import text_encoders
from models import checkpoint
from models import hugging_face


class PublishedEncoder(NamedTuple):
  """What a folder holds.

  Attributes:
    pretrained: The encoder and its weights, the row of padding the first of its table.
    tokenizer: Makes its tokens.
    content_hash: SHA-256 of the weights as they are stored, in hexadecimal.
  """

  pretrained: hugging_face.Pretrained
  tokenizer: text_encoders.TextEncoder
  content_hash: str


def read(folder: pathlib.Path) -> PublishedEncoder:
  """Reads a folder in the Hugging Face layout.

  Args:
    folder: Where it is.

  Returns:
    What it holds.

  Raises:
    ValueError: If weights or vocabulary are missing or unsound, or do not fit each other.
  """
  found = hugging_face.load(folder)
  tokenizer = text_encoders.tokenizer_of(folder)
  if tokenizer.vocabulary_size > found.vocabulary_size:
    raise ValueError(
      f'its vocabulary has {tokenizer.vocabulary_size} pieces and its table {found.vocabulary_size} rows: copy it again'
    )
  if found.padding_row not in (0, tokenizer.padding_row):
    raise ValueError(
      f'pad_token_id is {found.padding_row} in its config.json and {tokenizer.padding_row} in its vocabulary: copy it again'
    )
  weights = hugging_face.with_padding_first(found.weights, tokenizer.padding_row)
  content_hash = checkpoint.content_hash(found.weights, {})
  return PublishedEncoder(dataclasses.replace(found, weights=weights), tokenizer, content_hash)
