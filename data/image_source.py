"""What every data set of labelled images is before it is prepared: a named, fingerprinted stream of images."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data import arguments
from data import errors


class LabelledImage(NamedTuple):
  """One image of one class.

  `image` is uint8 [height, width, channels], None if it cannot be decoded; `label` the name of its class; `name` what
  messages call it, such as the path of its file.
  """

  image: np.ndarray | None
  label: str
  name: str


@dataclasses.dataclass(frozen=True)
class ImageSource:
  """A data set of images, each of one class, that has not been read yet.

  Attributes:
    name: What error messages, progress bars and cache files call it.
    fingerprint: Text that changes whenever what `read` yields could change.
    read: Yields (split, image) pairs, split being train, validation or heldout and the label one of `class_names`,
      in the same order every time. If none is for validation, a tenth of the training images, drawn at random, are.
    class_names: The names of the classes, in the order of their numbers.
    max_examples: Training images kept, drawn at random, always the same ones; None = all.
    image_size: Pixels on both sides to which the images are resized; None = as they are, all of one size.
  """

  name: str
  fingerprint: str
  read: Callable[[], Iterable[tuple[str, LabelledImage]]]
  class_names: tuple[str, ...]
  max_examples: int | None = None
  image_size: int | None = None

  def __post_init__(self) -> None:
    if self.max_examples is not None:
      arguments.require_integer('max_examples', self.max_examples, 1, 1_000_000_000)
    if self.image_size is not None:
      arguments.require_integer('image_size', self.image_size, 1, 4096)

  def examples(self) -> Iterator[tuple[str, LabelledImage]]:
    """Yields what `read` does, images in the size asked for."""
    for split, example in self.read():
      if self.image_size is not None and example.image is not None:
        example = example._replace(image=_resized(example.image, self.image_size))
      yield split, example


def choose_classes(dataset: str, class_names: Sequence[str], classes: list[int] | None) -> tuple[str, ...]:
  """Returns the names of the classes of these numbers, in the order given; of all for None.

  Raises DataError if there is no number, or one is out of range or there twice.
  """
  if classes is None:
    return tuple(class_names)
  if not isinstance(classes, Sequence) or isinstance(classes, str) or not classes:
    raise errors.DataError(f'classes={classes!r} must be a list of the numbers of classes, such as [0, 1]')
  for number in classes:
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(class_names):
      last = len(class_names) - 1
      raise errors.DataError(f'classes={classes!r} holds {number!r}: the classes of {dataset} are numbered 0 to {last}')
  if len(set(classes)) < len(classes):
    raise errors.DataError(f'classes={classes!r} holds a number twice: give each once')
  return tuple(class_names[number] for number in classes)


def _resized(image: np.ndarray, size: int) -> np.ndarray:
  if image.shape[:2] == (size, size):
    return image
  resized = tf.image.resize(image, [size, size], antialias=True).numpy()
  return np.clip(np.rint(resized), 0, 255).astype(np.uint8)
