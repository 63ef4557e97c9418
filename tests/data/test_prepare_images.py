"""A data set of images is prepared once, keeps every pixel and class, and reads the same through NumPy and TFF."""

import hashlib
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from data import client_key
from data import errors
from data import image_source
from data import labelled_images
from data import partitions
from data import prepare_images
from data import store
from data.sources import digits

_ROOT = pathlib.Path(__file__).parents[2]
_CLASSES = ('no', 'maybe', 'yes')

# Prepares digits in a process for each point, killed by SIGKILL where the named function would be called.
_KILLED = """
import os, pathlib, signal, sys
from data import cache, partitions, prepare_images, store
from data.sources import digits

points = {'add': (store.Writer, 'add_example'), 'write': (store.Writer, 'finish'), 'publish': (cache, 'publish')}
for point, (owner, name) in points.items():
  child = os.fork()
  if not child:
    setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    prepare_images.prepare(digits.digits(), partitions.iid(clients=3), pathlib.Path(sys.argv[1]) / point)
    os._exit(0)
  print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

_Rows = list[tuple[str, image_source.LabelledImage]]


def _image(number: int, shape: tuple[int, ...] = (2, 1, 3)) -> image_source.LabelledImage:
  """An image full of `number`, whose class is the number modulo 3."""
  return image_source.LabelledImage(np.full(shape, number, np.uint8), _CLASSES[number % 3], f'image {number}')


def _rows(train: int = 40, heldout: int = 25) -> _Rows:
  numbers = {'train': range(train), 'validation': range(90, 92), 'heldout': range(100, 100 + heldout)}
  return [(split, _image(number)) for split, found in numbers.items() for number in found]


def _source(rows: _Rows | None = None, **arguments) -> image_source.ImageSource:
  rows = _rows() if rows is None else rows
  defaults = {'name': 'small', 'fingerprint': 'f', 'class_names': _CLASSES}
  return image_source.ImageSource(read=lambda: rows, **(defaults | arguments))


def _prepare(
  folder: pathlib.Path, partition: partitions.Partition | None = None, **arguments
) -> labelled_images.LabelledImages:
  return prepare_images.prepare(_source(**arguments), partition or partitions.iid(clients=3), folder)


def _numbers(prepared: labelled_images.LabelledImages, split: str = 'train') -> list[int]:
  return prepared.arrays(split)['image'][:, 0, 0, 0].tolist()


def test_tff_reads_pixels_classes_and_key_of_a_client(tmp_path: pathlib.Path):
  first = np.array([[[0, 1, 2], [3, 4, 255]]], np.uint8)
  rows = [
    ('train', image_source.LabelledImage(first, 'yes', 'a')),
    ('heldout', image_source.LabelledImage(first + 1, 'no', 'b')),
    ('train', image_source.LabelledImage(first // 2, 'maybe', 'c')),
  ]
  prepared = _prepare(tmp_path, partitions.iid(clients=1), rows=rows)
  clients = prepared.clients('train')
  assert prepared.image_shape == (1, 2, 3)
  assert clients.element_type_structure == prepared.element_spec == {
    'image': tf.TensorSpec([1, 2, 3], tf.int32),
    'label': tf.TensorSpec([], tf.int32),
    'client_key': tf.TensorSpec([], tf.int64),
  }  # fmt: skip
  key = client_key.derive('client_0')
  found = list(clients.create_tf_dataset_for_client(key.client_id).as_numpy_iterator())
  assert [(row['image'].tolist(), row['label'], row['client_key']) for row in found] == [
    ([[[0, 1, 2], [3, 4, 255]]], 2, key.client_key),
    ([[[0, 0, 1], [1, 2, 127]]], 1, key.client_key),
  ]
  heldout = prepared.arrays('heldout')
  assert heldout['image'].tolist() == [[[[1, 2, 3], [4, 5, 0]]]] and heldout['label'].tolist() == [0]


def test_every_image_has_its_class(tmp_path: pathlib.Path):
  prepared = _prepare(tmp_path)
  assert (prepared.class_names, prepared.num_classes, prepared.num_skipped) == (_CLASSES, 3, 0)
  assert prepared.image_shape == (2, 1, 3)
  for split, wanted in (('train', list(range(40))), ('validation', [90, 91]), ('heldout', list(range(100, 125)))):
    found = prepared.arrays(split)
    assert (found['image'].dtype, found['label'].dtype) == (np.int32, np.int32)
    assert found['image'].shape == (len(wanted), 2, 1, 3)
    assert sorted(found['image'][:, 0, 0, 0].tolist()) == wanted
    np.testing.assert_array_equal(found['image'].min((1, 2, 3)), found['image'].max((1, 2, 3)))
    np.testing.assert_array_equal(found['label'], found['image'][:, 0, 0, 0] % 3)
  assert prepared.unreadable(prepared.client_ids('train')) == []


def test_images_are_read_in_parts(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
  prepared = _prepare(tmp_path)
  whole = prepared.arrays('train')
  monkeypatch.setattr(store, '_VALUES_PER_PARSE', 15)  # two images
  for name, values in prepared.arrays('train').items():
    np.testing.assert_array_equal(values, whole[name])
  assert prepared.unreadable(prepared.client_ids('train')) == []


def test_partitions_deal_the_images(tmp_path: pathlib.Path):
  prepared = _prepare(tmp_path, partitions.iid(clients=3))
  assert sorted(prepared.num_examples('train').values()) == [13, 13, 14]
  assert sorted(prepared.num_examples('heldout').values()) == [2] * 5 + [3] * 5  # 25 over 10
  assert {prepared.client_name(client) for client in prepared.client_ids('train')} == {
    'client_0', 'client_1', 'client_2',
  }  # fmt: skip
  # So small an alpha gives each class to one client.
  prepared = _prepare(tmp_path, partitions.dirichlet(alpha=0.001, clients=8))
  clients = {client: prepared.arrays('train', [client])['label'].tolist() for client in prepared.client_ids('train')}
  assert len(clients) == 8
  for label, size in enumerate([14, 13, 13]):
    assert sorted(labels.count(label) for labels in clients.values()) == [0] * 7 + [size]
  few = _prepare(tmp_path, rows=_rows(heldout=4), fingerprint='few')
  assert list(few.num_examples('heldout').values()) == [1] * 4


def test_max_examples_draws_from_training_only(tmp_path: pathlib.Path):
  small, large = (_prepare(tmp_path, max_examples=kept) for kept in (10, 20))
  drawn = [set(_numbers(prepared)) for prepared in (small, large)]
  assert [len(numbers) for numbers in drawn] == [10, 20]
  assert drawn[0] < drawn[1]
  assert drawn[0] != set(range(10))
  assert len(small.arrays('heldout')['label']) == 25
  assert len(_numbers(_prepare(tmp_path, max_examples=1000))) == 40
  one_client = _numbers(_prepare(tmp_path, partitions.iid(clients=1), max_examples=10))
  assert one_client == sorted(drawn[0])  # in the order of the source


def test_whatever_it_depends_on_makes_another_file(tmp_path: pathlib.Path):
  one_pixel, one_label = _rows(), _rows()
  one_pixel[-1][1].image[1, 0, 2] += 1
  one_label[-1] = ('heldout', one_label[-1][1]._replace(label='no'))
  tall = [(split, image._replace(image=image.image.reshape(1, 2, 3))) for split, image in _rows()]
  made = [
    _prepare(tmp_path),
    _prepare(tmp_path, rows=one_pixel, fingerprint='pixel'),
    _prepare(tmp_path, rows=one_label, fingerprint='label'),
    _prepare(tmp_path, rows=tall, fingerprint='tall'),
    _prepare(tmp_path, max_examples=39),
    _prepare(tmp_path, image_size=3),
    _prepare(tmp_path, class_names=('maybe', 'no', 'yes')),
    _prepare(tmp_path, partitions.iid(clients=4)),
    _prepare(tmp_path, fingerprint='g'),
  ]
  assert len({prepared.database for prepared in made}) == 9
  assert len({prepared.dataset_hash for prepared in made[:-1]}) == 8
  assert made[-1].dataset_hash == made[0].dataset_hash  # The content is the same.
  assert made[5].image_shape == (3, 3, 3)
  same = [prepared.content_hash('heldout') == made[0].content_hash('heldout') for prepared in made]
  assert same == [True, False, False, False, True, False, False, True, True]


def test_the_hash_of_the_heldout_images_is_that_of_shape_pixels_and_class(tmp_path: pathlib.Path):
  rows = [('train', _image(7)), ('heldout', _image(8))]  # the second of class 2
  expected = hashlib.sha256(b'2x1x3 ' + b'\x08\0\0\0' * 6 + b' class 2 ').hexdigest()
  assert _prepare(tmp_path, partitions.iid(clients=1), rows=rows).content_hash('heldout') == expected


def test_a_tenth_of_the_training_images_are_for_validation_unless_the_source_names_some(tmp_path: pathlib.Path):
  rows = [row for row in _rows() if row[0] != 'validation']
  made = [_prepare(tmp_path, rows=rows, **changes) for changes in ({}, {'fingerprint': 'h', 'max_examples': 5})]
  found = [{split: set(_numbers(each, split)) for split in ('train', 'validation')} for each in made]
  assert len(found[0]['validation']) == 4  # of 40
  assert found[0]['train'] | found[0]['validation'] == set(range(40))
  assert found[1]['validation'] == found[0]['validation'] and found[1]['train'] < found[0]['train']
  assert len(made[0].client_ids('validation')) == 4  # Of fewer than ten each has a client of its own.
  nine = _prepare(tmp_path, rows=[*rows[:9], *rows[40:]], fingerprint='nine', partition=partitions.iid(clients=2))
  assert not nine.client_ids('validation') and nine.content_hash('validation') is None
  with pytest.raises(
    errors.DataError,
    match=r'no validation client of the data set has an example: give it ten training clients or more, or leave',
  ):
    nine.clients('validation')


def _unread() -> list:
  raise AssertionError('read although cached')


def test_a_second_call_does_not_read_the_source(tmp_path: pathlib.Path):
  first = _prepare(tmp_path)
  again = image_source.ImageSource('small', 'f', _unread, _CLASSES)
  again = prepare_images.prepare(again, partitions.iid(clients=3), tmp_path)
  assert again == first
  first.database.write_bytes(first.database.read_bytes()[:5000])
  assert _prepare(tmp_path).dataset_hash == first.dataset_hash


def test_undecodable_images_are_named_once_and_counted_every_time(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture
):
  broken = [('train', _image(n)._replace(image=None)) for n in range(200, 211)]
  rows = [*broken, *_rows(), ('heldout', _image(211)._replace(image=None))]
  prepared = _prepare(tmp_path, rows=rows)
  assert prepared.num_skipped == 12
  assert sorted(_numbers(prepared)) == list(range(40))
  counted = 'small: skipped 12 images that cannot be decoded'
  assert capsys.readouterr().err.splitlines() == [
    'reading small',
    *(f"small: cannot decode 'image {number}'" for number in range(200, 210)),
    'writing small: 67 images',
    counted,
  ]
  _prepare(tmp_path, rows=rows)
  assert capsys.readouterr().err.splitlines() == [counted]


@pytest.mark.parametrize('split', ['train', 'heldout'])
def test_a_split_without_images_is_refused(split: str, tmp_path: pathlib.Path):
  rows = [row if row[0] != split else (split, row[1]._replace(image=None)) for row in _rows()]
  with pytest.raises(
    errors.DataError, match=f'^data set small has no {split} images: give data with images of both splits$'
  ):
    _prepare(tmp_path, rows=rows)
  assert [path.name for path in tmp_path.iterdir()] == ['prepare.lock']


def test_images_of_several_sizes_need_one(tmp_path: pathlib.Path):
  rows = [*_rows(), ('heldout', _image(99, (5, 4, 3)))]
  with pytest.raises(
    errors.DataError,
    match=r"^image 'image 99' is 5 x 4 pixels, 'image 0' 2 x 1: give image_size=\.\.\. to resize all images$",
  ):
    _prepare(tmp_path, rows=rows)
  prepared = _prepare(tmp_path, rows=rows, image_size=4)
  assert prepared.image_shape == (4, 4, 3)
  assert sorted(_numbers(prepared)) == list(range(40))
  rows[-1] = ('heldout', _image(99, (2, 1, 1)))
  with pytest.raises(errors.DataError, match=r"^image 'image 99' has 1 channels, 'image 0' 3: convert it$"):
    _prepare(tmp_path, rows=rows, fingerprint='channels')
  assert [path.suffix for path in tmp_path.iterdir() if path != prepared.database] == ['.lock']


def test_natural_is_refused(tmp_path: pathlib.Path):
  with pytest.raises(
    errors.DataError,
    match=r'^partition natural\(\) keeps the clients of a data set, and images know no clients: use '
    r'iid\(clients=\.\.\.\)$',
  ):
    _prepare(tmp_path, partitions.natural())


def test_more_clients_than_images_are_refused(tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match='41 clients are more than the 40'):
    _prepare(tmp_path, partitions.iid(clients=41))


def test_a_killed_preparation_leaves_nothing_that_is_used(tmp_path: pathlib.Path):
  killed = subprocess.run(
      [sys.executable, '-c', _KILLED, tmp_path],
      env=os.environ | {'PYTHONPATH': str(_ROOT)}, capture_output=True, text=True, check=False,
  )  # fmt: skip
  assert killed.stdout.split() == [str(-signal.SIGKILL.value)] * 3, killed.stderr
  calm = prepare_images.prepare(digits.digits(), partitions.iid(clients=3), tmp_path / 'calm')
  for point in ('add', 'write', 'publish'):
    folder = tmp_path / point
    assert sorted(path.suffix for path in folder.iterdir()) == ['.lock', '.part']
    made = prepare_images.prepare(digits.digits(), partitions.iid(clients=3), folder)
    assert made.dataset_hash == calm.dataset_hash
    assert sorted(path.suffix for path in folder.iterdir()) == ['.lock', '.sqlite']
