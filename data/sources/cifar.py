"""Photographs of 32 x 32 pixels: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
import pickle
import types

import numpy as np
import tensorflow as tf

from data import arguments
from data import errors
from data import image_source
from data.sources import images

_CACHES = ('~/.keras/datasets', '/tmp/.keras/datasets')  # Keras takes the second if it cannot write to ~/.keras
_SHAPE = (3, 32, 32)  # of an image in the files
_ADMITTED = {
  ('numpy.core.multiarray', '_reconstruct'): np.core.multiarray._reconstruct,
  ('numpy', 'ndarray'): np.ndarray,
  ('numpy', 'dtype'): np.dtype,
}

_CIFAR10_CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
_CIFAR100_CLASSES = (
  'apple', 'aquarium_fish', 'baby', 'bear', 'beaver', 'bed', 'bee', 'beetle', 'bicycle', 'bottle', 'bowl', 'boy',
  'bridge', 'bus', 'butterfly', 'camel', 'can', 'castle', 'caterpillar', 'cattle', 'chair', 'chimpanzee', 'clock',
  'cloud', 'cockroach', 'couch', 'crab', 'crocodile', 'cup', 'dinosaur', 'dolphin', 'elephant', 'flatfish', 'forest',
  'fox', 'girl', 'hamster', 'house', 'kangaroo', 'keyboard', 'lamp', 'lawn_mower', 'leopard', 'lion', 'lizard',
  'lobster', 'man', 'maple_tree', 'motorcycle', 'mountain', 'mouse', 'mushroom', 'oak_tree', 'orange', 'orchid',
  'otter', 'palm_tree', 'pear', 'pickup_truck', 'pine_tree', 'plain', 'plate', 'poppy', 'porcupine', 'possum',
  'rabbit', 'raccoon', 'ray', 'road', 'rocket', 'rose', 'sea', 'seal', 'shark', 'shrew', 'skunk', 'skyscraper',
  'snail', 'snake', 'spider', 'squirrel', 'streetcar', 'sunflower', 'sweet_pepper', 'table', 'tank', 'telephone',
  'television', 'tiger', 'tractor', 'train', 'trout', 'tulip', 'turtle', 'wardrobe', 'whale', 'willow_tree', 'wolf',
  'woman', 'worm',
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Layout:
  """The files of a data set as Keras unpacks them."""

  name: str
  folder: str
  files: Mapping[str, Sequence[str]]  # by split
  labels: bytes  # their key in a file
  class_names: tuple[str, ...]
  keras: types.ModuleType

  def is_in(self, folder: pathlib.Path) -> bool:
    return any((folder / file).is_file() for files in self.files.values() for file in files)

  def paths(self, folder: pathlib.Path) -> list[tuple[str, pathlib.Path]]:
    """Returns (split, file) pairs; raises DataError if a file is missing."""
    paths = [(split, folder / file) for split, files in self.files.items() for file in files]
    for _, path in paths:
      if not path.is_file():
        raise errors.DataError(f'no such file: {str(path)!r}; give {self.name} the whole folder {self.folder}')
    return paths


_CIFAR10 = _Layout(
  'cifar10',
  'cifar-10-batches-py',
  {'train': [f'data_batch_{number}' for number in range(1, 6)], 'heldout': ['test_batch']},
  b'labels',
  _CIFAR10_CLASSES,
  tf.keras.datasets.cifar10,
)
_CIFAR100 = _Layout(
  'cifar100',
  'cifar-100-python',
  {'train': ['train'], 'heldout': ['test']},
  b'fine_labels',
  _CIFAR100_CLASSES,
  tf.keras.datasets.cifar100,
)


def cifar10(
  path: str | None = None,
  classes: list[int] | None = None,
  max_examples: int | None = None,
  image_size: int | None = None,
) -> image_source.ImageSource:
  """CIFAR-10, uint8 [32, 32, 3]: what it calls test is held out.

  Args:
    path: The unpacked folder cifar-10-batches-py or the one that holds it; or a folder with train/<class> and
      test/<class> of .png, .jpg or .jpeg files. None takes Keras' copy, which it downloads on first use.
    classes: Numbers of the classes to keep; they are numbered anew from 0 in this order. None = all.
    max_examples: See `ImageSource`.
    image_size: See `ImageSource`.

  Raises DataError if the path holds something else or an argument is out of range.
  """
  return _source(_CIFAR10, path, classes, max_examples, image_size)


def cifar100(
  path: str | None = None,
  classes: list[int] | None = None,
  max_examples: int | None = None,
  image_size: int | None = None,
) -> image_source.ImageSource:
  """CIFAR-100 with its hundred fine classes; arguments and errors are those of `cifar10`, the folder cifar-100-python."""
  return _source(_CIFAR100, path, classes, max_examples, image_size)


def _source(
  layout: _Layout, path: str | None, classes: list[int] | None, max_examples: int | None, image_size: int | None
) -> image_source.ImageSource:
  folder, origin = None, ['as Keras has it']
  if path is not None:
    root = arguments.require_path(layout.name, path)
    folder = root / layout.folder if (root / layout.folder).is_dir() else root
    if not layout.is_in(folder):
      if images.has_splits(root):
        return images.split_folders(layout.name, root, classes, max_examples, image_size)
      raise errors.DataError(
        f'{str(root)!r} holds no files of {layout.name}: give the folder {layout.folder}, or one with train/<class> '
        'and test/<class>'
      )
    origin = arguments.describe_files(folder, [file for _, file in layout.paths(folder)])
  class_names = image_source.choose_classes(layout.name, layout.class_names, classes)
  return image_source.ImageSource(
    name=layout.name,
    fingerprint='\n'.join([*class_names, *origin]),
    read=lambda: _read(layout, folder, class_names),
    class_names=class_names,
    max_examples=max_examples,
    image_size=image_size,
  )


def _read(
  layout: _Layout, folder: pathlib.Path | None, class_names: tuple[str, ...]
) -> Iterator[tuple[str, image_source.LabelledImage]]:
  for split, file in layout.paths(_keras_folder(layout) if folder is None else folder):
    pixels, labels = _load(layout, file)
    for number, (image, label) in enumerate(zip(pixels, labels, strict=True)):
      name = layout.class_names[label]
      if name in class_names:
        yield split, image_source.LabelledImage(image, name, f'{file.name} {number}')


def _keras_folder(layout: _Layout) -> pathlib.Path:
  """Returns Keras' copy, which it fetches unless it is there already; raises DataError on failure."""
  folders = [pathlib.Path(cache).expanduser() / layout.folder for cache in _CACHES]
  if layout.is_in(folders[0]):
    return folders[0]
  try:
    layout.keras.load_data()
  except Exception as error:  # Keras raises plain Exception for what the network does
    raise _no_download(layout, ' '.join(str(error).split())) from None
  for folder in folders:
    if layout.is_in(folder):
      return folder
  raise _no_download(layout, f'Keras left no {str(folders[0])!r}')


def _no_download(layout: _Layout, reason: str) -> errors.DataError:
  return errors.DataError(f"cannot download {layout.name} ({reason}): give a local copy, {layout.name}(path='...')")


class _Unpickler(pickle.Unpickler):
  """Makes arrays and built-in containers, and calls nothing else."""

  def find_class(self, module_name: str, global_name: str) -> object:
    try:
      return _ADMITTED[module_name, global_name]
    except KeyError:
      raise pickle.UnpicklingError(f'{module_name}.{global_name} has no place there') from None


def _load(layout: _Layout, file: pathlib.Path) -> tuple[np.ndarray, list[int]]:
  """Returns uint8 [n, 32, 32, 3] and n numbers of classes; raises DataError if the file holds something else."""
  try:
    with file.open('rb') as stream:
      content = _Unpickler(stream, encoding='bytes').load()
    reason = _fault(content, layout)
  except Exception as error:  # a damaged pickle raises anything
    reason = ' '.join(str(error).split())[:200] or type(error).__name__
  if reason:
    raise errors.DataError(f'{str(file)!r} is not a whole file of {layout.name} ({reason}): fetch the data set again')
  return content[b'data'].reshape([-1, *_SHAPE]).transpose(0, 2, 3, 1), content[layout.labels]


def _fault(content: object, layout: _Layout) -> str:
  """Says what is wrong with the content of a file, '' if nothing is."""
  if not isinstance(content, dict) or b'data' not in content or layout.labels not in content:
    return f'no data and {layout.labels.decode()}'
  pixels, labels = content[b'data'], content[layout.labels]
  if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (np.prod(_SHAPE),):
    return 'data is not uint8 [n, 3072]'
  if not isinstance(labels, list) or len(labels) != len(pixels):
    return f'{len(pixels)} images but another number of labels'
  if any(type(label) is not int or not 0 <= label < len(layout.class_names) for label in labels):
    return 'a label that is no number of a class'
  return ''
