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
from data import tokenizer_json
from data import wordpiece

_OWN_FILE = 'tokenizer.model'
_SETTINGS_FILES = ('special_tokens_map.json', 'tokenizer_config.json')  # What the second says comes before the first.
# The only ways in which texts are cut here, unless it is the vocabulary that says how.
_ASSUMED = {'tokenize_chinese_chars': True, 'keep_accents': False}


class TextEncoder(Protocol):
  """Turns texts into rows of ids that begin and end as a family of models wants, padding 0.

  Attributes:
    vocabulary_size: Ids of texts are below it.
    end_id: The id that ends every row, before the padding.
    mask_id: The id that stands for a hidden piece; None if there is none.
    padding_row: The id of padding in the files of the model, which is exchanged with 0 in ids here.
  """

  vocabulary_size: int
  end_id: int
  mask_id: int | None
  padding_row: int

  @property
  def serialized(self) -> bytes:
    """All that makes the ids, for `deserialize`."""

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], length >= 3, padded or cut off before the end."""


def tokenizer_of(folder: pathlib.Path) -> TextEncoder:
  """Returns the encoder of a model in the Hugging Face layout.

  It comes from the first that there is of vocab.txt, spiece.model, our tokenizer.model and tokenizer.json. Whether the
  first two keep capitals is what tokenizer_config.json says (`do_lower_case`); without that, WordPiece keeps them if its
  vocabulary has any, and ALBERT does not. Raises DataError if the files are missing, malformed or at odds.
  """
  names = ('vocab.txt', 'spiece.model', _OWN_FILE, tokenizer_json.FILE)
  vocabulary, model, own, described = (_read(folder / name) for name in names)
  settings = _settings(folder, _SETTINGS_FILES[1])
  try:
    if vocabulary is not None:
      _check_assumed(settings)
      return _word_piece(vocabulary, settings)
    if model is not None:
      _check_assumed(settings)
      return sentencepieces.AlbertPieces(model, cased=settings.get('do_lower_case') is False)
    if own is not None:
      _check_assumed(settings)
      return sentencepieces.OwnPieces(tokenizer_lib.Tokenizer(own))
    if described is not None:
      _check_normalizer(described, settings)
      return tokenizer_json.JsonPieces(described, _settings(folder, _SETTINGS_FILES[0]) | settings)
  except errors.DataError as error:
    raise errors.DataError(f'in {str(folder)!r}, {error}') from None
  raise errors.DataError(
    f'{str(folder)!r} holds no vocab.txt, spiece.model or {tokenizer_json.FILE}: give the folder of a whole model'
  )


def _settings(folder: pathlib.Path, name: str) -> dict[str, Any]:
  content = _read(folder / name)
  try:
    return {} if content is None else dict(json.loads(content))
  except (ValueError, TypeError, RecursionError):
    raise errors.DataError(f'{str(folder / name)!r} is not a JSON object: mend or remove it') from None


def _check_assumed(settings: Mapping[str, Any]) -> None:
  for name, value in _ASSUMED.items():
    if settings.get(name, value) != value:
      raise errors.DataError(f'{_SETTINGS_FILES[1]}: {name} is {settings[name]!r}: only {value!r} is supported')


def _word_piece(vocabulary: bytes, settings: Mapping[str, Any]) -> wordpiece.WordPiece:
  lowercase = settings.get('do_lower_case')
  cased = wordpiece.looks_cased(vocabulary) if lowercase is None else not lowercase
  if settings.get('strip_accents') not in (None, not cased):
    raise errors.DataError(
      f'strip_accents is {settings["strip_accents"]!r} and do_lower_case {not cased}: not supported'
    )
  return wordpiece.WordPiece(vocabulary, cased)


def _check_normalizer(described: bytes, settings: Mapping[str, Any]) -> None:
  """Raises DataError if the settings would have BERT's texts normalized in another way than the file."""
  found = tokenizer_json.normalizer(described)
  if found.get('type') != 'BertNormalizer':
    return
  for ours, theirs in (
    ('do_lower_case', 'lowercase'),
    ('strip_accents', 'strip_accents'),
    ('tokenize_chinese_chars', 'handle_chinese_chars'),
  ):
    kept = found.get(theirs)
    if theirs == 'strip_accents' and kept is None:
      kept = found.get('lowercase')
    if settings.get(ours) not in (None, kept):
      raise errors.DataError(
        f'{ours} is {settings[ours]!r}, and {theirs} in {tokenizer_json.FILE} means {kept!r}: correct one of them'
      )


def files_of(tokenizer: TextEncoder) -> dict[str, bytes]:
  """Returns the files by name in which a model in the Hugging Face layout keeps its vocabulary; inverts `tokenizer_of`.

  Other libraries do not look for our tokenizer.model, a plain SentencePiece model.
  """
  kind, _, content = tokenizer.serialized.partition(b'\n')
  if kind == b'own':
    return {_OWN_FILE: content}
  if isinstance(tokenizer, tokenizer_json.JsonPieces):
    return tokenizer.files
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
    case [b'json']:
      return tokenizer_json.JsonPieces.deserialized(content)
  raise ValueError(f'no text encoder begins with {kind[:40]!r}')


def _read(file: pathlib.Path) -> bytes | None:
  """Returns the content of a file; None if there is none."""
  try:
    return file.read_bytes()
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
