"""Turns a text source into a tokenised data set on disk, once."""

from collections.abc import Iterable
from collections.abc import Iterator
import functools
import pathlib

from data import errors
from data import federated_text
from data import partitions
from data import preparation
from data import progress
from data import source as source_lib
from data import spool
from data import store
from data import tokenizer as tokenizer_lib

_TOKENIZER_PACKAGES = ('sentencepiece', 'tensorflow-text')


def prepare(
  source: source_lib.TextSource, partition: partitions.Partition, cache_dir: pathlib.Path | None = None
) -> federated_text.FederatedText:
  """Returns the tokenised data set, from the cache if it is there, else reading and tokenising the source.

  Shows progress on standard error. A preparation that is killed leaves nothing that is used later. Raises DataError
  if the source is malformed or empty, the partition does not fit it, or the cache folder cannot be written.
  """
  parts = [source.vocabulary, source.sequence_length, partition.fingerprint]
  database = preparation.database_of(source, parts, _TOKENIZER_PACKAGES, cache_dir)
  write = functools.partial(_write, source, partition)
  return preparation.once(
    database, federated_text.FederatedText.open, lambda file: preparation.build(source.examples(), file, write)
  )


def _write(
  source: source_lib.TextSource, partition: partitions.Partition, texts: spool.Spool, writer: store.Writer
) -> dict[str, str | bytes]:
  if not texts.count('train'):
    raise errors.DataError(f'data set {source.name} has no training text: choose other data or looser arguments')
  assignments = {'train': partition.assign(texts.labels('train'))} if partition.assign else {}
  tokenizer = _tokenizer(source, texts)
  length = source.sequence_length + 1
  preparation.write_texts(texts, writer, source.name, assignments, tokenizer, length, labelled=False)
  return {
    'name': source.name,
    'fingerprint': source.fingerprint,
    'partition': partition.fingerprint,
    'sequence_length': str(source.sequence_length),
    'tokenizer': tokenizer.model,
  }


def _tokenizer(source: source_lib.TextSource, texts: spool.Spool) -> tokenizer_lib.Tokenizer:
  if source.vocabulary == source_lib.CHARACTERS:
    return tokenizer_lib.of_characters()
  with progress.Progress('sentence', texts.num_training_texts(), task=f'training a vocabulary on {source.name}') as bar:
    return tokenizer_lib.train(_counted(texts.training_texts(), bar), source.vocabulary)


def _counted(texts: Iterable[str], bar: progress.Progress) -> Iterator[str]:
  for text in texts:
    yield text
    bar.advance()
