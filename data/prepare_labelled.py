"""Turns a source of labelled texts into a tokenised data set on disk, once."""

import functools
import hashlib
import json
import pathlib
import sys

from data import errors
from data import labelled_text
from data import partitions
from data import preparation
from data import source as source_lib
from data import spool
from data import store
from data import text_encoders

_TOKENIZER_PACKAGES = ('sentencepiece', 'tensorflow-text', 'tokenizers')


def prepare(
  source: source_lib.LabelledSource,
  partition: partitions.Partition,
  tokenizer: text_encoders.TextEncoder,
  cache_dir: pathlib.Path | None = None,
) -> labelled_text.LabelledText:
  """Returns the tokenised data set, from the cache if it is there, else reading and tokenising the source.

  The partition groups the training examples; a class is their label. `iid(clients=N)` is the equal split of Hilmkil et
  al., "Scaling Federated Learning for Fine-tuning of Large Language Models", 2021, and `shards(clients=N, labels=1)`
  their split by label (sorted, N contiguous shards, here dealt to the clients in a random order); they cut shards of
  floor(n / N) examples and leave the rest, here shards differ by one at most. Validation and held-out
  examples are dealt at random to ten clients of equal size each, so that their evaluation can be spread; where there are
  users, they stay with theirs.

  Shows progress on standard error, the summary of the source, and how many examples have no text and were left out. A preparation that is killed
  leaves nothing that is used later. Raises DataError if the source is malformed or a split empty, the partition does
  not fit it, or the cache folder cannot be written.
  """
  check_partition(source, partition)
  vocabulary = hashlib.sha256(tokenizer.serialized).hexdigest()
  parts = [source.class_names, source.max_examples, source.sequence_length, partition.fingerprint, vocabulary]
  database = preparation.database_of(source, parts, _TOKENIZER_PACKAGES, cache_dir)
  write = functools.partial(_write, source, partition, tokenizer)
  chooses_validation = source.clients is source_lib.Clients.GROUPS
  prepared = preparation.once(
    database,
    labelled_text.LabelledText.open,
    lambda file: preparation.build(source.read(), file, write, source.class_names, chooses_validation),
  )
  if source.summary:
    print(f'{source.name}: {source.summary}', file=sys.stderr, flush=True)
  if prepared.num_empty:
    print(f'{source.name}: left out {prepared.num_empty:,} examples without text', file=sys.stderr, flush=True)
  return prepared


def check_partition(source: source_lib.LabelledSource, partition: partitions.Partition) -> None:
  """Raises DataError if the partition keeps clients and the source has none; it reads nothing."""
  if source.clients is source_lib.Clients.NONE and partition.assign is None:
    raise errors.DataError(
      f"partition {partition.fingerprint} keeps users, and {source.name} names none: give user='...', which says where they "
      'stand, or use iid(clients=...)'
    )


def _write(
  source: source_lib.LabelledSource,
  partition: partitions.Partition,
  tokenizer: text_encoders.TextEncoder,
  texts: spool.Spool,
  writer: store.Writer,
) -> dict[str, str | bytes]:
  for split in ('train', 'heldout'):
    if not texts.count(split):
      raise errors.DataError(f'data set {source.name} has no {split} text: give data with examples of both splits')
  if source.max_examples is not None:
    texts.thin('train', source.max_examples)
  dealt = () if source.clients is source_lib.Clients.USERS else ('validation', 'heldout')
  assignments = {split: preparation.deal(split, texts.labels(split)) for split in dealt}
  if partition.assign:
    assignments['train'] = partition.assign(texts.labels('train'))
  length = source.sequence_length
  num_written = preparation.write_texts(texts, writer, source.name, assignments, tokenizer, length, labelled=True)
  return {
    'name': source.name,
    'fingerprint': source.fingerprint,
    'partition': partition.fingerprint,
    'sequence_length': str(source.sequence_length),
    'tokenizer': tokenizer.serialized,
    'class_names': json.dumps(source.class_names),
    'num_empty': str(texts.count_all() - num_written),
  }
