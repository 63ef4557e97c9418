"""The vocabulary files of the `tokenizers` library as encoders of whole texts: WordPiece, BPE and Unigram."""

from collections.abc import Mapping
import json
from typing import Any

import numpy as np
import tokenizers

from data import errors

FILE = 'tokenizer.json'

_MODELS = ('WordPiece', 'BPE', 'Unigram')
_ENDS = (('[CLS]', '[SEP]'), ('<s>', '</s>'))
_ENDS_IN_SETTINGS = (('cls_token', 'sep_token'), ('bos_token', 'eos_token'))
_KNOWN = {'pad_token': ('[PAD]', '<pad>'), 'mask_token': ('[MASK]', '<mask>')}
_PROBE = ['\U0001f642 \u4f60\u2603', '']  # Few vocabularies have pieces for it.

_Token = tuple[str, int]


class JsonPieces:
  """Turns texts into rows of ids: a token that begins, pieces as `tokenizers` makes them, a token that ends, padding 0.

  Which tokens begin and end is what the file's post-processor says, or without one the configuration (`cls_token` and
  `sep_token`, or `bos_token` and `eos_token`), or else [CLS] and [SEP] or <s> and </s>. Truncation, padding and the
  random dropout of merges that a file may ask for are left out. The names of special tokens in a text are ordinary text.

  Attributes:
    vocabulary_size: Ids are below it.
    end_id: The id that ends every row.
    mask_id: The id of the mask; None if the vocabulary has none.
    padding_row: The id of padding in the file. Ids here have it and 0 exchanged.
  """

  def __init__(self, content: bytes, settings: Mapping[str, Any]):
    """Takes the content of a tokenizer.json, and what tokenizer_config.json says; raises DataError if they are unsound."""
    described = _described(content)
    ends = _post_processed(described.get('post_processor'))
    # The library does not check its post-processor and panics on an unsound one: what it would add is added here.
    self._tokenizer = _loaded(described | {'post_processor': None})
    self._id_of = self._tokenizer.get_vocab(with_added_tokens=True)
    if ends is None:
      ends = self._named_ends(settings)
      (begin, begin_id), (end, end_id) = ends
      described['post_processor'] = {'type': 'BertProcessing', 'sep': [end, end_id], 'cls': [begin, begin_id]}
    for name, number in ends:
      if self._id_of.get(name) != number:
        raise errors.DataError(f'the post-processor of {FILE} takes {name} for {number}, its vocabulary does not')
    names = dict(cls_token=ends[0][0], sep_token=ends[1][0], pad_token=self._special(settings, 'pad_token'))
    mask = self._special(settings, 'mask_token')
    self._names = names if mask is None else names | dict(mask_token=mask)
    if names['pad_token'] in (None, names['cls_token'], names['sep_token']):
      raise errors.DataError(f'{FILE} has no token that is padding alone: name its pad_token in tokenizer_config.json')
    self._content = json.dumps(described, ensure_ascii=False, separators=(',', ':')).encode()
    self.padding_row = self._id_of[names['pad_token']]
    self.vocabulary_size = 1 + max(self._id_of.values())
    self._stored_begin, self._stored_end = (number for _, number in ends)
    self.end_id = self._exchanged(self._stored_end)
    self.mask_id = None if mask is None else self._exchanged(self._id_of[mask])

  @classmethod
  def deserialized(cls, content: bytes) -> 'JsonPieces':
    """Inverts `serialized` without its first line."""
    names, _, described = content.partition(b'\n')
    return cls(described, json.loads(names))

  @property
  def serialized(self) -> bytes:
    """All that makes the ids, for `text_encoders.deserialize`."""
    return b'json\n' + json.dumps(self._names).encode() + b'\n' + self._content

  @property
  def files(self) -> dict[str, bytes]:
    """The files by name that hold it in the Hugging Face layout."""
    settings = {'tokenizer_class': 'PreTrainedTokenizerFast'} | self._names
    return {FILE: self._content, 'tokenizer_config.json': (json.dumps(settings) + '\n').encode()}

  def encode(self, texts: list[str], length: int) -> np.ndarray:
    """Returns int32 ids [len(texts), length], length >= 3, padded or cut off before the end."""
    rows = np.full([len(texts), length], self.padding_row, np.int32)
    valid = [text.encode('utf-8', 'replace').decode() for text in texts]
    for row, pieces in zip(rows, _cut(self._tokenizer, valid), strict=True):
      ids = pieces[: length - 2]
      row[: len(ids) + 2] = [self._stored_begin, *ids, self._stored_end]
    return np.where(rows == 0, self.padding_row, np.where(rows == self.padding_row, 0, rows)).astype(np.int32)

  def _exchanged(self, number: int) -> int:
    return {0: self.padding_row, self.padding_row: 0}.get(number, number)

  def _named_ends(self, settings: Mapping[str, Any]) -> tuple[_Token, _Token]:
    pairs = [(_text(settings.get(one)), _text(settings.get(two))) for one, two in _ENDS_IN_SETTINGS]
    for begin, end in [*pairs, *_ENDS]:
      if begin in self._id_of and end in self._id_of:
        return (begin, self._id_of[begin]), (end, self._id_of[end])
    raise errors.DataError(f'{FILE} does not say which tokens begin and end a text: name cls_token and sep_token')

  def _special(self, settings: Mapping[str, Any], name: str) -> str | None:
    """Returns the token that the settings name, or that is known by this name; None without."""
    named = _text(settings.get(name))
    if named is not None and named not in self._id_of and name == 'pad_token':
      raise errors.DataError(f'{name} is {named!r}, which {FILE} does not hold: give the files of one model')
    return next((token for token in (named, *_KNOWN[name]) if token in self._id_of), None)


def normalizer(content: bytes) -> Mapping[str, Any]:
  """Returns the normalizer that a tokenizer.json describes; empty without one, or where the file is none."""
  try:
    found = _described(content).get('normalizer')
  except errors.DataError:
    return {}
  return found if isinstance(found, dict) else {}


def _described(content: bytes) -> dict[str, Any]:
  """Reads the file, without what must not decide about ids."""
  try:
    described = json.loads(content)
  except (ValueError, RecursionError):
    described = None
  if not isinstance(described, dict) or not isinstance(described.get('model'), dict):
    raise errors.DataError(f'{FILE} is truncated or no JSON object with a model: copy it again')
  kind = described['model'].get('type', _MODELS[0])  # Old files name none.
  if kind not in _MODELS:
    raise errors.DataError(f'{FILE} holds a model of type {kind!r}: only {", ".join(_MODELS)} can be read')
  model = described['model'] | ({'dropout': None} if 'dropout' in described['model'] else {})
  return described | {'truncation': None, 'padding': None, 'model': model}


def _loaded(described: Mapping[str, Any]) -> tokenizers.Tokenizer:
  """Builds what cuts texts, and tries it."""
  try:
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(described))
  except Exception as error:  # The library raises no other class.
    raise _unsound(error) from None
  if type(tokenizer.model).__name__ not in _MODELS:
    raise errors.DataError(f'{FILE} holds a {type(tokenizer.model).__name__}: only {", ".join(_MODELS)} can be read')
  tokenizer.encode_special_tokens = True  # Their names in a text are cut as any others.
  _cut(tokenizer, _PROBE)
  return tokenizer


def _cut(tokenizer: tokenizers.Tokenizer, texts: list[str]) -> list[list[int]]:
  try:
    return [encoded.ids for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)]
  except Exception as error:  # As it does for an unknown character without a token for that.
    raise _unsound(error) from None


def _unsound(error: Exception) -> errors.DataError:
  return errors.DataError(f'{FILE} is no sound tokenizer ({" ".join(str(error).split())[:120]}): copy it again')


def _post_processed(processor: Any) -> tuple[_Token, _Token] | None:
  """Returns the tokens, with their ids, that a post-processor puts around a text; None if it adds none."""
  try:
    added = _added(processor)
  except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError):
    raise errors.DataError(f'the post-processor of {FILE} is unsound: copy it again') from None
  if added == ([], []):
    return None
  if list(map(len, added)) != [1, 1]:
    tokens = ' '.join(name for part in added for name, _ in part)
    raise errors.DataError(f'the post-processor of {FILE} adds {tokens}, not one token at each end: not supported')
  return added[0][0], added[1][0]


def _added(processor: Any) -> tuple[list[_Token], list[_Token]]:
  """Returns what a post-processor puts before and behind a text."""
  match processor:
    case None | {'type': 'ByteLevel'}:
      return [], []
    case {'type': 'BertProcessing' | 'RobertaProcessing', 'cls': [begin, begin_id], 'sep': [end, end_id]}:
      return [(str(begin), int(begin_id))], [(str(end), int(end_id))]
    case {'type': 'Sequence', 'processors': list(parts)}:
      inner = [_added(part) for part in parts]
      return [token for before, _ in inner[::-1] for token in before], [token for _, after in inner for token in after]
    case {'type': 'TemplateProcessing', 'single': list(pieces), 'special_tokens': dict(tokens)}:
      place = ['Sequence' in piece for piece in pieces].index(True)
      return _tokens(pieces[:place], tokens), _tokens(pieces[place + 1 :], tokens)
  raise ValueError(processor)


def _tokens(pieces: list[Any], tokens: Mapping[str, Any]) -> list[_Token]:
  found = [tokens[piece['SpecialToken']['id']] for piece in pieces]
  return [
    (str(name), int(number)) for token in found for name, number in zip(token['tokens'], token['ids'], strict=True)
  ]


def _text(token: Any) -> str | None:
  """Returns the text of a token as a configuration gives it: a string, or an object with its `content`."""
  text = token.get('content') if isinstance(token, dict) else token
  return text if isinstance(text, str) else None
