"""Turns a text source into a tokenised data set on disk, once."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
import hashlib
import importlib.metadata
import itertools
import json
import pathlib
import sqlite3

from data import cache
from data import errors
from data import federated_text
from data import partitions
from data import progress
from data import source as source_lib
from data import spool
from data import store
from data import tokenizer as tokenizer_lib

_FORMAT = 1  # of the stored file and of everything between source and file
_TEXTS_PER_BATCH = 4096
_TOKENIZER_PACKAGES = ('sentencepiece', 'tensorflow-text')


def prepare(
  source: source_lib.TextSource, partition: partitions.Partition, cache_dir: pathlib.Path | None = None
) -> federated_text.FederatedText:
  """Returns the tokenised data set, from the cache if it is there, else reading and tokenising the source.

  Shows progress on standard error. A preparation that is killed leaves nothing that is used later. Raises DataError
  if the source is malformed or empty, the partition does not fit it, or the cache folder cannot be written.
  """
  cache_dir = cache.default_dir() if cache_dir is None else pathlib.Path(cache_dir).absolute()
  database = cache_dir / f'{source.name}-{_key(source, partition)}.sqlite'
  prepared = _open(database)
  if prepared is None:
    with cache.exclusive(cache_dir):
      prepared = _open(database)  # another process may have been faster
      if prepared is None:
        _build(source, partition, database)
        prepared = federated_text.FederatedText.open(database)
  return prepared


def _key(source: source_lib.TextSource, partition: partitions.Partition) -> str:
  versions = [f'{name}=={importlib.metadata.version(name)}' for name in _TOKENIZER_PACKAGES]
  parts = [_FORMAT, source.name, source.fingerprint, source.vocabulary, source.sequence_length, partition.fingerprint]
  return hashlib.sha256(json.dumps(parts + versions).encode()).hexdigest()[:16]


def _open(database: pathlib.Path) -> federated_text.FederatedText | None:
  """Returns the data set of a sound file; None if there is none or it is damaged, in which case it is made anew."""
  try:
    return federated_text.FederatedText.open(database)
  except (sqlite3.Error, KeyError, ValueError):
    return None


def _build(source: source_lib.TextSource, partition: partitions.Partition, database: pathlib.Path) -> None:
  scratch_name = database.with_suffix('.texts')
  with cache.temporary(scratch_name) as scratch, cache.temporary(database) as unfinished:
    texts = spool.Spool(scratch)
    try:
      texts.fill(source.read())
      _write(source, partition, texts, unfinished)
    except sqlite3.OperationalError as error:
      raise errors.DataError(f'cannot write {str(database)!r} ({error}): free space or set LEANFED_CACHE') from None
    finally:
      texts.close()
    cache.publish(unfinished, database)


def _write(
  source: source_lib.TextSource, partition: partitions.Partition, texts: spool.Spool, database: pathlib.Path
) -> None:
  if not texts.count('train'):
    raise errors.DataError(f'data set {source.name} has no training text: choose other data or looser arguments')
  assignment = partition.assign(texts.train_labels()) if partition.assign else None
  with progress.bar(f'training a vocabulary on {source.name}', texts.num_training_texts(), 'sentence') as report:
    tokenizer = tokenizer_lib.train(_reported(texts.training_texts(), report), source.vocabulary)
  writer = store.Writer(database)
  try:
    for name in assignment.clients if assignment else []:
      writer.add_client('train', name)
    with progress.bar(f'tokenising {source.name}', texts.count(*source_lib.SPLITS), 'sentence') as report:
      _tokenise(_with_clients(texts, assignment), tokenizer, writer, source.sequence_length + 1, report)
    writer.finish(_meta(source, partition, tokenizer))
  finally:
    writer.close()


def _tokenise(
  rows: Iterable[tuple[str, str, str]],
  tokenizer: tokenizer_lib.Tokenizer,
  writer: store.Writer,
  length: int,
  report: Callable[[int], object],
) -> None:
  """Writes every text with at least one piece as an example, and the clients of the other texts."""
  for batch in _batches(rows):
    tokens = tokenizer.encode([text for *_, text in batch], length)
    for (split, client, _), row in zip(batch, tokens, strict=True):
      if row[1] == tokenizer_lib.END:
        writer.add_client(split, client)
      else:
        writer.add_example(split, client, row)
    report(sum(bool(text) for *_, text in batch))


def _with_clients(texts: spool.Spool, assignment: partitions.Assignment | None) -> Iterator[tuple[str, str, str]]:
  """Yields (split, client, text) with the training clients that the partition assigns."""
  owners = iter(()) if assignment is None else iter(assignment.client_of_example)
  for split, client, text in texts.rows():
    if assignment is None or split != 'train':
      yield split, client, text
    elif text:
      yield split, assignment.clients[next(owners)], text


def _batches(rows: Iterable[tuple[str, str, str]]) -> Iterator[list[tuple[str, str, str]]]:
  rows = iter(rows)
  while batch := list(itertools.islice(rows, _TEXTS_PER_BATCH)):
    yield batch


def _reported(texts: Iterable[str], report: Callable[[int], object]) -> Iterator[str]:
  for text in texts:
    yield text
    report(1)


def _meta(
  source: source_lib.TextSource, partition: partitions.Partition, tokenizer: tokenizer_lib.Tokenizer
) -> dict[str, str | bytes]:
  return {
    'name': source.name,
    'fingerprint': source.fingerprint,
    'partition': partition.fingerprint,
    'sequence_length': str(source.sequence_length),
    'tokenizer': tokenizer.model,
  }
