"""A text source in the tokens of another data set's tokenizer: what a finished vocabulary makes of other text."""

from collections.abc import Sequence
import dataclasses
import hashlib
import itertools
import json
import pathlib
import sqlite3
from typing import NamedTuple
import zipfile

import numpy as np

from data import cache
from data import client_key
from data import errors
from data import progress
from data import source as source_lib
from data import spool
from data import tokenizer as tokenizer_lib

_FORMAT = 2
_TEXTS_PER_BATCH = 4096


class EncodedText(NamedTuple):
  """The examples of some splits.

  Attributes:
    tokens: int32 [n, sequence_length + 1], in the order of the source.
    client_ids: The sorted ids of the clients, those without examples included.
    owners: int64 [n]: the index in `client_ids` of the client of each example.
  """

  tokens: np.ndarray
  client_ids: list[str]
  owners: np.ndarray

  @property
  def client_ids_with_examples(self) -> list[str]:
    """The sorted ids of the clients that have examples."""
    return [self.client_ids[index] for index in np.unique(self.owners)]

  def of(self, client_ids: Sequence[str]) -> np.ndarray:
    """Returns the tokens of these clients."""
    chosen = np.isin(np.array(self.client_ids), list(client_ids))
    return self.tokens[chosen[self.owners]]


def encode(
  source: source_lib.TextSource,
  splits: Sequence[str],
  tokenizer: tokenizer_lib.Tokenizer,
  cache_dir: pathlib.Path | None = None,
) -> EncodedText:
  """Returns the text of `splits`, from the cache if it is there; shows progress on standard error.

  A text without a piece is no example, and long texts are cut for a tokenizer of characters, as in a prepared data
  set. Raises DataError if the source is malformed or the
  cache folder cannot be written.
  """
  cache_dir = cache.default_dir() if cache_dir is None else pathlib.Path(cache_dir).absolute()
  if tokenizer.model == tokenizer_lib.of_characters().model:
    source = dataclasses.replace(source, vocabulary=source_lib.CHARACTERS)
  parts = [_FORMAT, source.name, source.fingerprint, source.sequence_length, *splits]
  key = hashlib.sha256(json.dumps(parts).encode() + tokenizer.model).hexdigest()[:16]
  file = cache_dir / f'{source.name}-{key}.npz'
  encoded = _open(file)
  if encoded is None:
    with cache.exclusive(cache_dir):
      encoded = _open(file)  # another process may have been faster
      if encoded is None:
        encoded = _build(source, splits, tokenizer, file)
  return encoded


def _open(file: pathlib.Path) -> EncodedText | None:
  """Returns what a sound file holds; None if there is none or it is damaged, in which case it is made anew."""
  try:
    with np.load(file) as arrays:
      return EncodedText(arrays['tokens'], arrays['client_ids'].tolist(), arrays['owners'])
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
    return None


def _build(
  source: source_lib.TextSource, splits: Sequence[str], tokenizer: tokenizer_lib.Tokenizer, file: pathlib.Path
) -> EncodedText:
  with cache.temporary(file.with_suffix('.texts')) as scratch, cache.temporary(file) as unfinished:
    texts = spool.Spool(scratch)
    try:
      texts.fill(source.examples())
      encoded = _tokenise(source, splits, texts, tokenizer)
      with unfinished.open('wb') as output:
        np.savez(output, **encoded._replace(client_ids=np.array(encoded.client_ids, 'U16'))._asdict())
    except (sqlite3.OperationalError, OSError) as error:
      raise errors.DataError(f'cannot write {str(file)!r} ({error}): free space or set LEANFED_CACHE') from None
    finally:
      texts.close()
    cache.publish(unfinished, file)
  return encoded


def _tokenise(
  source: source_lib.TextSource, splits: Sequence[str], texts: spool.Spool, tokenizer: tokenizer_lib.Tokenizer
) -> EncodedText:
  length = source.sequence_length + 1
  tokens, owners, index_of = [np.zeros([0, length], np.int32)], [np.zeros([0], np.int64)], {}
  rows = ((row.client, row.text) for row in texts.rows() if row.split in splits)
  with progress.Progress('sentence', texts.count(*splits), task=f'tokenising {source.name}') as bar:
    while batch := list(itertools.islice(rows, _TEXTS_PER_BATCH)):
      encoded = tokenizer.encode([text for _, text in batch], length)
      owner = np.array([index_of.setdefault(client, len(index_of)) for client, _ in batch], np.int64)
      kept = encoded[:, 1] != tokenizer_lib.END
      tokens.append(encoded[kept])
      owners.append(owner[kept])
      bar.advance(sum(bool(text) for _, text in batch))
  client_ids = np.array([client_key.derive(name).client_id for name in index_of], 'U16')
  place = np.empty([len(client_ids)], np.int64)
  place[np.argsort(client_ids)] = np.arange(len(client_ids))
  return EncodedText(np.concatenate(tokens), sorted(client_ids.tolist()), place[np.concatenate(owners)])
