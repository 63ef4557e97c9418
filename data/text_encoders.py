"""The encoders of whole texts, found in a folder or rebuilt from bytes; all of them have the same few members."""

from collections.abc import Mapping
import json
import pathlib
from typing import Any
from typing import Protocol

import numpy as np

from data import errors
from data import sentencepieces
from data import tokenizer as tokenizer_lib
from data import wordpiece

_OWN_FILE = 'tokenizer.model'
_ASSUMED = {'tokenize_chinese_chars': True, 'keep_accents': False}  # The only ways in which texts are cut here.


class TextEncoder(Protocol):
  """Turns texts into rows of ids that begin and end as a family of models wants, padding 0.

  Attributes:
    vocabulary_size: Ids of texts are below it.
    end_id: The id that ends every row, before the padding.
    mask_id: The id that stands for a hidden piece; None if there is none.
  """

  vocabulary_size: int
  end_id: int
  mask_id: int | None

  @property
  def serialized(self) -> bytes:
    """All that makes the ids, for `deserialize`."""

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], length >= 3, padded or cut off before the end."""


def tokenizer_of(folder: pathlib.Path) -> TextEncoder:
  """Returns the encoder of a model in the Hugging Face layout: from its vocab.txt, spiece.model or our tokenizer.model.

  Whether it keeps capitals is what tokenizer_config.json says (`do_lower_case`); without that, WordPiece keeps them if
  its vocabulary has any, and ALBERT does not. Raises DataError if the files are missing or malformed.
  """
  config = _read(folder / 'tokenizer_config.json')
  try:
    settings = {} if config is None else dict(json.loads(config))
  except (ValueError, TypeError, RecursionError):
    raise errors.DataError(
      f'{str(folder / "tokenizer_config.json")!r} is not a JSON object: mend or remove it'
    ) from None
  _check_assumed(folder, settings)
  lowercase = settings.get('do_lower_case')
  vocabulary, model, own = (_read(folder / name) for name in ('vocab.txt', 'spiece.model', _OWN_FILE))
  try:
    if vocabulary is not None:
      cased = wordpiece.looks_cased(vocabulary) if lowercase is None else not lowercase
      if settings.get('strip_accents') not in (None, not cased):
        raise errors.DataError(
          f'strip_accents is {settings["strip_accents"]!r} and do_lower_case {not cased}: not supported'
        )
      return wordpiece.WordPiece(vocabulary, cased)
    if model is not None:
      return sentencepieces.AlbertPieces(model, cased=lowercase is False)
  except errors.DataError as error:
    raise errors.DataError(f'in {str(folder)!r}, {error}') from None
  if own is not None:
    return sentencepieces.OwnPieces(tokenizer_lib.Tokenizer(own))
  raise errors.DataError(f'{str(folder)!r} holds no vocab.txt and no spiece.model: give the folder of a whole model')


def _check_assumed(folder: pathlib.Path, settings: Mapping[str, Any]) -> None:
  for name, value in _ASSUMED.items():
    if settings.get(name, value) != value:
      path = str(folder / 'tokenizer_config.json')
      raise errors.DataError(f'{path!r}: {name} is {settings[name]!r}: only {value!r} is supported')


def files_of(tokenizer: TextEncoder) -> dict[str, bytes]:
  """Returns the files by name in which a model in the Hugging Face layout keeps its vocabulary; inverts `tokenizer_of`.

  Other libraries do not look for our tokenizer.model, a plain SentencePiece model.
  """
  kind, _, content = tokenizer.serialized.partition(b'\n')
  if kind == b'own':
    return {_OWN_FILE: content}
  name = 'vocab.txt' if kind.startswith(b'wordpiece') else 'spiece.model'
  settings = {'do_lower_case': not kind.endswith(b' cased')}
  return {name: content, 'tokenizer_config.json': (json.dumps(settings) + '\n').encode()}


def deserialize(serialized: bytes) -> TextEncoder:
  """Inverts `TextEncoder.serialized`; raises ValueError for other bytes."""
  kind, _, content = serialized.partition(b'\n')
  match kind.split():
    case [b'wordpiece', (b'cased' | b'uncased') as case]:
      return wordpiece.WordPiece(content, case == b'cased')
    case [b'albert', (b'cased' | b'uncased') as case]:
      return sentencepieces.AlbertPieces(content, case == b'cased')
    case [b'own']:
      return sentencepieces.OwnPieces(tokenizer_lib.Tokenizer(content))
  raise ValueError(f'no text encoder begins with {kind[:40]!r}')


def _read(file: pathlib.Path) -> bytes | None:
  """Returns the content of a file; None if there is none."""
  try:
    return file.read_bytes()
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
