"""Stack Overflow as TFF packs it: sentences of questions and answers by user."""

from collections.abc import Iterator
import importlib.metadata
import pathlib

import tensorflow_federated as tff

from data import arguments
from data import source
from data.sources import tff_database

_SPLITS = {'train': 'train', 'heldout': 'validation', 'test': 'heldout'}  # TFF's names to ours


def stackoverflow(
  path: str | None = None,
  max_clients: int | None = 1000,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """TFF's Stack Overflow: questions and answers by user, whose label is the first tag.

  TFF's train users are trained on, its heldout users are for validation, its test users are held out.

  Args:
    path: TFF's `stackoverflow.sqlite`; None downloads it to TFF's cache on first use (many gigabytes unpacked).
    max_clients: Training users at most, and a tenth as many for validation and held out each, at least one; None = all.
    vocabulary: See `TextSource`.
    sequence_length: See `TextSource`.

  Raises DataError if an argument is out of range or the path is not a file.
  """
  if max_clients is not None:
    arguments.require_integer('max_clients', max_clients, 1, 10_000_000)
  file = None if path is None else tff_database.require_file('stackoverflow', path)
  version = importlib.metadata.version('tensorflow-federated')
  origin = [f'TFF {version}'] if file is None else arguments.describe_files(file.parent, [file])
  return source.TextSource(
    name='stackoverflow',
    fingerprint='\n'.join([f'max_clients={max_clients}', *origin]),
    read=lambda: _read(file, max_clients),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def _read(file: pathlib.Path | None, max_clients: int | None) -> Iterator[tuple[str, source.Example]]:
  if file is None:
    file = tff_database.download('stackoverflow', tff.simulation.datasets.stackoverflow.load_data)
  max_others = None if max_clients is None else max(1, max_clients // 10)
  for tff_split, split in _SPLITS.items():
    limit = max_clients if split == 'train' else max_others
    for client, features in tff_database.read_features(file, tff_split, limit, ('tokens', 'tags')):
      if features is None:
        yield split, source.Example(client, '')
      else:
        tokens, tags = features
        yield split, source.Example(client, tokens, tags.split('|')[0] or None)
