"""Turns a source of labelled images into a data set on disk, once."""

import json
import pathlib
import sys

import numpy as np

from data import errors
from data import holdout
from data import image_source
from data import labelled_images
from data import partitions
from data import preparation
from data import progress

_MAX_NAMED = 10  # images that cannot be decoded

_Examples = dict[str, list[tuple[np.ndarray, int]]]  # (image, number of its class) pairs by split


def prepare(
  source: image_source.ImageSource, partition: partitions.Partition, cache_dir: pathlib.Path | None = None
) -> labelled_images.LabelledImages:
  """Returns the data set, from the cache if it is there, else reading the source.

  The partition groups the training images; a class is their label. A tenth of the training images become
  validation images; these and the held-out ones are dealt at random to ten clients of equal size each. All images are held in memory, a byte for a value, while they are prepared.

  Shows progress on standard error, and how many images cannot be decoded and were left out; the first ten of them by
  name when they are prepared. A preparation that is killed leaves nothing that is used later. Raises DataError if the
  images differ in size or a split has none, the partition does not fit the images, or the cache folder cannot be
  written.
  """
  if partition.assign is None:
    raise errors.DataError(
      f'partition {partition.fingerprint} keeps the clients of a data set, and images know no clients: '
      'use iid(clients=...)'
    )
  parts = [source.class_names, source.max_examples, source.image_size, partition.fingerprint]
  database = preparation.database_of(source, parts, ['tensorflow'], cache_dir)
  prepared = preparation.once(
    database, labelled_images.LabelledImages.open, lambda file: _build(source, partition, file)
  )
  if prepared.num_skipped:
    said = f'{source.name}: skipped {prepared.num_skipped:,} images that cannot be decoded'
    print(said, file=sys.stderr, flush=True)
  return prepared


def _build(source: image_source.ImageSource, partition: partitions.Partition, database: pathlib.Path) -> None:
  examples, num_skipped = _read(source)
  labels = {split: np.array([label for _, label in rows], np.int64) for split, rows in examples.items()}
  assignments = {
    'train': partition.assign(labels['train']),
    **{split: preparation.deal(split, labels[split]) for split in ('validation', 'heldout')},
  }
  with (
    preparation.writing(database) as writer,
    progress.Progress('image', sum(map(len, examples.values())), task=f'writing {source.name}') as bar,
  ):
    for split, (clients, client_of_example) in assignments.items():
      for client in clients:
        writer.add_client(split, client)
      for (image, label), owner in zip(examples[split], client_of_example, strict=True):
        writer.add_example(split, clients[owner], image, label, feature='image')
        bar.advance()
    writer.finish(
      {
        'name': source.name,
        'fingerprint': source.fingerprint,
        'partition': partition.fingerprint,
        'image_shape': json.dumps(examples['train'][0][0].shape),
        'class_names': json.dumps(source.class_names),
        'num_skipped': str(num_skipped),
      }
    )


def _read(source: image_source.ImageSource) -> tuple[_Examples, int]:
  """Returns the images of the splits, those that `max_examples` leaves, and how many could not be decoded."""
  examples: _Examples = {'train': [], 'validation': [], 'heldout': []}
  numbers = {name: number for number, name in enumerate(source.class_names)}
  first, num_skipped = None, 0
  with progress.Progress('image', task=f'reading {source.name}') as bar:
    for split, example in source.examples():
      bar.advance()
      if example.image is None:
        num_skipped += 1
        if num_skipped <= _MAX_NAMED:
          print(f'{source.name}: cannot decode {example.name!r}', file=sys.stderr, flush=True)
        continue
      first = first or example
      _require_shape_of(first, example)
      examples[split].append((example.image, numbers[example.label]))
  for split in ('train', 'heldout'):
    if not examples[split]:
      raise errors.DataError(f'data set {source.name} has no {split} images: give data with images of both splits')
  if not examples['validation']:
    _choose_validation(examples)
  if source.max_examples is not None:
    drawn = np.random.default_rng(0).permutation(len(examples['train']))[: source.max_examples]
    examples['train'] = [examples['train'][number] for number in np.sort(drawn)]
  return examples, num_skipped


def _choose_validation(examples: _Examples) -> None:
  """Moves a tenth of the training images."""
  chosen = set(holdout.choose_validation_examples(len(examples['train'])).tolist())
  examples['validation'] = [examples['train'][number] for number in sorted(chosen)]
  examples['train'] = [row for number, row in enumerate(examples['train']) if number not in chosen]


def _require_shape_of(first: image_source.LabelledImage, example: image_source.LabelledImage) -> None:
  if example.image.shape == first.image.shape:
    return
  (height, width, channels), (first_height, first_width, first_channels) = example.image.shape, first.image.shape
  if channels != first_channels:
    raise errors.DataError(
      f'image {example.name!r} has {channels} channels, {first.name!r} {first_channels}: convert it'
    )
  raise errors.DataError(
    f'image {example.name!r} is {height} x {width} pixels, {first.name!r} {first_height} x {first_width}: '
    'give image_size=... to resize all images'
  )
