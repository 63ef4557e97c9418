"""Handwritten digits that come with scikit-learn: no download, and small enough to try anything out."""

from collections.abc import Iterator
import importlib.metadata

import numpy as np
from sklearn import datasets

from data import image_source

_CLASSES = tuple('0123456789')
_HELDOUT_ONE_IN = 5  # images
_LARGEST = 16  # value of a pixel in scikit-learn's arrays


def digits(
  classes: list[int] | None = None, max_examples: int | None = None, image_size: int | None = None
) -> image_source.ImageSource:
  """The 1,797 digits of scikit-learn, uint8 [8, 8, 1]; a fifth, drawn at random, always the same ones, is held out.

  Args:
    classes: Digits to keep, numbered anew from 0 in this order; None = all.
    max_examples: See `ImageSource`.
    image_size: See `ImageSource`.

  Raises DataError if an argument is out of range.
  """
  class_names = image_source.choose_classes('digits', _CLASSES, classes)
  return image_source.ImageSource(
    name='digits',
    fingerprint=f'scikit-learn {importlib.metadata.version("scikit-learn")} {class_names}',
    read=lambda: _read(class_names),
    class_names=class_names,
    max_examples=max_examples,
    image_size=image_size,
  )


def _read(class_names: tuple[str, ...]) -> Iterator[tuple[str, image_source.LabelledImage]]:
  values, targets = datasets.load_digits(return_X_y=True)
  images = np.rint(values.reshape([-1, 8, 8, 1]) * (255 / _LARGEST)).astype(np.uint8)
  num_heldout = len(images) // _HELDOUT_ONE_IN
  heldout = set(np.random.default_rng(0).permutation(len(images))[:num_heldout].tolist())
  for number, (image, target) in enumerate(zip(images, targets, strict=True)):
    if _CLASSES[target] in class_names:
      split = 'heldout' if number in heldout else 'train'
      yield split, image_source.LabelledImage(image, _CLASSES[target], f'digit {number}')
