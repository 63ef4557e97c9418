"""Images in folders, one folder a class."""

from collections.abc import Iterator
from collections.abc import Mapping
import pathlib

import numpy as np
import tensorflow as tf

from data import arguments
from data import errors
from data import holdout
from data import image_source
from data.sources import folders

_SPLITS = {'train': 'train', 'test': 'heldout'}  # the folders' names to ours
_SUFFIXES = ('.png', '.jpg', '.jpeg')

_Files = Mapping[str, list[pathlib.Path]]  # by class


def images(
  path: str | None = None,
  classes: list[int] | None = None,
  max_examples: int | None = None,
  image_size: int | None = None,
) -> image_source.ImageSource:
  """Reads the files .png, .jpg and .jpeg of the folders train/<class> and test/<class>, uint8 [height, width, 3].

  Without train and test the folders of the classes lie in `path`; of each class a tenth of the images, by a hash of
  their paths in that folder, is held out, at least one of two. Hidden folders and other files are ignored.

  Args:
    path: The folder; must be given.
    classes: Numbers of the classes to keep, the names being sorted; they are numbered anew from 0 in this order. None = all.
    max_examples: See `ImageSource`.
    image_size: See `ImageSource`.

  Raises DataError if the folder holds no images, test has a class that train lacks, or an argument is out of range.
  """
  root = arguments.require_path('images', path)
  if has_splits(root):
    return split_folders('images', root, classes, max_examples, image_size)
  files = _files(root) if root.is_dir() else {}
  if not files:
    raise errors.DataError(
      f'{str(root)!r} holds no .png, .jpg or .jpeg file in a folder of a class: give images a folder with '
      'train/<class> and test/<class>, or with <class>'
    )
  by_split: dict[str, dict[str, list[pathlib.Path]]] = {'train': {}, 'heldout': {}}
  for label, found in files.items():
    heldout = holdout.choose(file.relative_to(root).as_posix() for file in found)
    for file in found:
      split = 'heldout' if file.relative_to(root).as_posix() in heldout else 'train'
      by_split[split].setdefault(label, []).append(file)
  return _source('images', root, by_split, classes, max_examples, image_size)


def has_splits(root: pathlib.Path) -> bool:
  """Whether a folder has the folders train and test."""
  return all((root / part).is_dir() for part in _SPLITS)


def split_folders(
  name: str, root: pathlib.Path, classes: list[int] | None, max_examples: int | None, image_size: int | None
) -> image_source.ImageSource:
  """Returns the data set `name` of the images in train/<class> (trained on) and test/<class> (held out).

  The other arguments, and the errors, are those of `images`.
  """
  by_split = {split: _files(root / part) for part, split in _SPLITS.items()}
  for part, split in _SPLITS.items():
    if not by_split[split]:
      raise errors.DataError(
        f'{str(root / part)!r} holds no .png, .jpg or .jpeg file in a folder of a class: give {name} such files in '
        'train/<class> and test/<class>'
      )
  for label in by_split['heldout']:
    if label not in by_split['train']:
      raise errors.DataError(
        f'class {label!r} is in {str(root / "test")!r} but not in {str(root / "train")!r}: add training images or '
        'remove it'
      )
  return _source(name, root, by_split, classes, max_examples, image_size)


def _files(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
  """Returns the images by the name of their folder, both sorted; folders without images are left out."""
  try:
    found = {
      child.name: sorted(file for file in child.iterdir() if _is_image(file))
      for child in sorted(folder.iterdir())
      if child.is_dir() and not folders.is_hidden(child)
    }
  except OSError as error:
    raise errors.DataError(f'cannot read {error.filename!r} ({error.strerror}): change its permissions') from None
  return {label: files for label, files in found.items() if files}


def _is_image(file: pathlib.Path) -> bool:
  return file.suffix.lower() in _SUFFIXES and file.is_file() and not folders.is_hidden(file)


def _source(
  name: str,
  root: pathlib.Path,
  by_split: Mapping[str, _Files],
  classes: list[int] | None,
  max_examples: int | None,
  image_size: int | None,
) -> image_source.ImageSource:
  class_names = image_source.choose_classes(name, list(by_split['train']), classes)
  chosen = {split: [(label, files.get(label, [])) for label in class_names] for split, files in by_split.items()}
  listed = [file for files in chosen.values() for _, of_class in files for file in of_class]
  return image_source.ImageSource(
    name=name,
    fingerprint='\n'.join(arguments.describe_files(root, listed)),
    read=lambda: _read(chosen),
    class_names=class_names,
    max_examples=max_examples,
    image_size=image_size,
  )


def _read(
  chosen: Mapping[str, list[tuple[str, list[pathlib.Path]]]],
) -> Iterator[tuple[str, image_source.LabelledImage]]:
  for split, by_class in chosen.items():
    for label, files in by_class:
      for file in files:
        yield split, image_source.LabelledImage(_decode(file), label, str(file))


def _decode(file: pathlib.Path) -> np.ndarray | None:
  """Returns uint8 [height, width, 3], or None for bytes that are no image."""
  try:
    return tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False).numpy()
  except OSError as error:
    raise errors.DataError(f'cannot read {str(file)!r} ({error.strerror}): change its permissions') from None
  except (tf.errors.OpError, UnicodeDecodeError):  # the latter when TensorFlow puts bytes into its message
    return None
