"""Shakespeare as TFF packs it: the lines of the plays by character."""

from collections.abc import Iterator
import importlib.metadata
import pathlib

import tensorflow_federated as tff

from data import arguments
from data import sentences
from data import source
from data.sources import tff_database

_SPLITS = {'train': 'train', 'test': 'heldout'}  # TFF's names to ours


def shakespeare(
  path: str | None = None,
  vocabulary: int | str = source.DEFAULT_VOCABULARY,
  sequence_length: int = source.DEFAULT_SEQUENCE_LENGTH,
) -> source.TextSource:
  """TFF's Shakespeare; what it calls test, later lines of the same characters, is held out.

  Of a tenth of the characters all lines are for validation.

  Args:
    path: TFF's `shakespeare.sqlite`; None downloads it to TFF's cache on first use.
    vocabulary: See `TextSource`.
    sequence_length: See `TextSource`.

  Raises DataError if the path is not a file.
  """
  file = None if path is None else tff_database.require_file('shakespeare', path)
  version = importlib.metadata.version('tensorflow-federated')
  origin = [f'TFF {version}'] if file is None else arguments.describe_files(file.parent, [file])
  return source.TextSource(
    name='shakespeare',
    fingerprint='\n'.join(origin),
    read=lambda: _read(file),
    vocabulary=vocabulary,
    sequence_length=sequence_length,
  )


def _read(file: pathlib.Path | None) -> Iterator[tuple[str, source.Example]]:
  if file is None:
    file = tff_database.download('shakespeare', tff.simulation.datasets.shakespeare.load_data)
  for tff_split, split in _SPLITS.items():
    for client, features in tff_database.read_features(file, tff_split, None, ('snippets',)):
      for sentence in sentences.split_sentences(features[0] if features else '') or ['']:
        yield split, source.Example(client, sentence)
