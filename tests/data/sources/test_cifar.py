"""CIFAR is read as Keras unpacks it; its files cannot run code, and broken ones are named."""

import os
import pathlib
import pickle
import struct
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf

from data import errors
from data import image_source
from data.sources import cifar


class _Python2Pickler(pickle._Pickler):
  """Writes what Python 2 did when CIFAR was published: bytes and text alike as the strings that it had."""

  dispatch: ClassVar[dict] = dict(pickle._Pickler.dispatch)

  def save_string(self, value: str | bytes) -> None:
    encoded = value if isinstance(value, bytes) else value.encode('latin1')
    self.write(pickle.BINSTRING + struct.pack('<i', len(encoded)) + encoded)
    self.memoize(value)

  dispatch[bytes] = dispatch[str] = save_string


class _OfPython2:
  """An array as Python 2 pickled it: the buffer is a string."""

  def __init__(self, array: np.ndarray):
    self._array = array

  def __reduce__(self):
    state = (1, self._array.shape, self._array.dtype, False, self._array.tobytes())
    return np.core.multiarray._reconstruct, (np.ndarray, (0,), b'b'), state


def _batch(file: pathlib.Path, labels: list[int], key: bytes = b'labels', colour: tuple = (1, 2, 3)) -> None:
  """Images of one colour, whose second pixel is 200 red and whose pixel below the first 100 blue."""
  pixels = np.repeat(np.array(colour, np.uint8), 1024)[None].repeat(len(labels), 0)
  pixels[:, 1], pixels[:, 2048 + 32] = 200, 100
  file.parent.mkdir(parents=True, exist_ok=True)
  with file.open('wb') as stream:
    _Python2Pickler(stream, 2).dump({b'batch_label': b'x', key: labels, b'data': _OfPython2(pixels)})


def _cifar10(folder: pathlib.Path) -> None:
  for number in range(1, 6):
    _batch(folder / f'data_batch_{number}', [number, 0])
  _batch(folder / 'test_batch', [9, 1, 5], colour=(7, 8, 9))


def _of_cifar(source: image_source.ImageSource) -> list[tuple[str, str, str]]:
  return [(split, found.label, found.name) for split, found in source.examples()]


@pytest.mark.parametrize('inside', ['.', 'cifar-10-batches-py'])
def test_cifar10_as_keras_unpacks_it(inside: str, tmp_path: pathlib.Path):
  _cifar10(tmp_path / inside)
  source = cifar.cifar10(path=str(tmp_path))
  assert source.class_names[:3] == ('airplane', 'automobile', 'bird') and source.class_names[9] == 'truck'
  assert _of_cifar(source) == [
    ('train', 'automobile', 'data_batch_1 0'), ('train', 'airplane', 'data_batch_1 1'),
    ('train', 'bird', 'data_batch_2 0'), ('train', 'airplane', 'data_batch_2 1'),
    ('train', 'cat', 'data_batch_3 0'), ('train', 'airplane', 'data_batch_3 1'),
    ('train', 'deer', 'data_batch_4 0'), ('train', 'airplane', 'data_batch_4 1'),
    ('train', 'dog', 'data_batch_5 0'), ('train', 'airplane', 'data_batch_5 1'),
    ('heldout', 'truck', 'test_batch 0'), ('heldout', 'automobile', 'test_batch 1'), ('heldout', 'dog', 'test_batch 2'),
  ]  # fmt: skip
  image = next(iter(source.read()))[1].image
  assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
  assert image[:2, :3].tolist() == [[[1, 2, 3], [200, 2, 3], [1, 2, 3]], [[1, 2, 100], [1, 2, 3], [1, 2, 3]]]


def test_cifar10_keeps_the_chosen_classes(tmp_path: pathlib.Path):
  _cifar10(tmp_path)
  source = cifar.cifar10(path=str(tmp_path), classes=[5, 1], max_examples=7)
  assert (source.class_names, source.max_examples) == (('dog', 'automobile'), 7)
  assert _of_cifar(source) == [
    ('train', 'automobile', 'data_batch_1 0'), ('train', 'dog', 'data_batch_5 0'),
    ('heldout', 'automobile', 'test_batch 1'), ('heldout', 'dog', 'test_batch 2'),
  ]  # fmt: skip
  assert source.fingerprint != cifar.cifar10(path=str(tmp_path), classes=[1, 5]).fingerprint


def test_cifar100_has_a_hundred_fine_classes(tmp_path: pathlib.Path):
  _batch(tmp_path / 'cifar-100-python/train', [0, 99], b'fine_labels')
  _batch(tmp_path / 'cifar-100-python/test', [19, 95], b'fine_labels')
  source = cifar.cifar100(path=str(tmp_path))
  assert len(source.class_names) == 100 and list(source.class_names) == sorted(set(source.class_names))
  assert _of_cifar(source) == [
    ('train', 'apple', 'train 0'), ('train', 'worm', 'train 1'),
    ('heldout', 'cattle', 'test 0'), ('heldout', 'whale', 'test 1'),
  ]  # fmt: skip
  assert _of_cifar(cifar.cifar100(path=str(tmp_path / 'cifar-100-python'))) == _of_cifar(source)


class _Malicious:
  def __init__(self, marker: pathlib.Path):
    self._marker = marker

  def __reduce__(self):
    return os.mkdir, (str(self._marker),)


def _pickled(num_images: int, labels: list[int], num_values: int = 3072, dtype: type = np.uint8) -> bytes:
  return pickle.dumps({b'data': np.zeros([num_images, num_values], dtype), b'labels': labels}, 3)


_FOREIGN = {
  'empty': (b'', r'Ran out of input'),
  'junk': (b'junk', r'.+'),
  'list': (pickle.dumps([1]), r'no data and labels'),
  'no labels': (pickle.dumps({b'data': []}), r'no data and labels'),
  'small images': (_pickled(1, [1], num_values=3071), r'data is not uint8 \[n, 3072\]'),
  'wide values': (_pickled(1, [1], dtype=np.int16), r'data is not uint8 \[n, 3072\]'),
  'missing label': (_pickled(2, [1]), r'2 images but another number of labels'),
  'label out of range': (_pickled(1, [10]), r'a label that is no number of a class'),
  'truncated': (_pickled(1, [1])[:-100], r'.+'),
  'function': (pickle.dumps(np.save), r'numpy\.save has no place there'),
}


@pytest.mark.parametrize('kind', _FOREIGN)
def test_a_file_of_another_kind_is_named(kind: str, tmp_path: pathlib.Path):
  content, said = _FOREIGN[kind]
  _cifar10(tmp_path)
  (tmp_path / 'data_batch_3').write_bytes(content)
  with pytest.raises(
    errors.DataError, match=rf"data_batch_3' is not a whole file of cifar10 \({said}\): fetch the data set again$"
  ) as raised:
    list(cifar.cifar10(path=str(tmp_path)).read())
  assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize('protocol', range(6))
def test_a_file_cannot_run_code(protocol: int, tmp_path: pathlib.Path):
  _cifar10(tmp_path)
  (tmp_path / 'test_batch').write_bytes(pickle.dumps({'data': _Malicious(tmp_path / 'marker')}, protocol))
  with pytest.raises(errors.DataError, match=r"test_batch' .*\(posix\.mkdir has no place there\)"):
    list(cifar.cifar10(path=str(tmp_path)).read())
  assert not (tmp_path / 'marker').exists()
  pickle.loads((tmp_path / 'test_batch').read_bytes())
  assert (tmp_path / 'marker').exists()  # The file does what it is refused for.


def test_cifar_needs_all_its_files(tmp_path: pathlib.Path):
  with pytest.raises(
    errors.DataError,
    match=r'holds no files of cifar10: give the folder cifar-10-batches-py, or one with train/<class> and test/<class>$',
  ):
    cifar.cifar10(path=str(tmp_path))
  _cifar10(tmp_path)
  (tmp_path / 'data_batch_4').unlink()
  with pytest.raises(errors.DataError, match=r"data_batch_4'; give cifar10 the whole folder cifar-10-batches-py$"):
    cifar.cifar10(path=str(tmp_path))


def test_without_a_path_keras_downloads_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  calls = []

  def load_data() -> None:
    calls.append(1)
    if len(calls) == 1:
      raise Exception('URL fetch failure on\nhttps://planted: None')
    if len(calls) == 3:
      _cifar10(tmp_path / '.keras/datasets/cifar-10-batches-py')

  monkeypatch.setattr(tf.keras.datasets.cifar10, 'load_data', load_data)
  monkeypatch.setattr(cifar, '_CACHES', ('~/.keras/datasets', str(tmp_path / 'second')))
  source = cifar.cifar10()
  with pytest.raises(
    errors.DataError,
    match=r'^cannot download cifar10 \(URL fetch failure on https://planted: None\): give a local copy, '
    r"cifar10\(path='\.\.\.'\)$",
  ):
    list(source.read())
  with pytest.raises(errors.DataError, match=r"Keras left no '.*/\.keras/datasets/cifar-10-batches-py'.: give a local"):
    list(source.read())
  assert [len(list(source.read())) for _ in range(2)] == [13, 13]
  assert len(calls) == 3
