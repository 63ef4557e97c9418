"""Image data sets are read as published, in the size and the classes asked for, and what is broken is named."""

import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from data import catalog
from data import errors
from data import image_source
from data.sources import cifar
from data.sources import digits
from data.sources import images


def _png(file: pathlib.Path, pixels: list) -> None:
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_bytes(tf.io.encode_png(np.array(pixels, np.uint8)).numpy())


def _grey(file: pathlib.Path, value: int, height: int = 2, width: int = 3) -> None:
  _png(file, np.full([height, width, 3], value))


def _listed(source: image_source.ImageSource, root: pathlib.Path) -> list[tuple[str, str, str, object]]:
  """(split, label, path in `root`, value of the first pixel or None) of every image."""
  return [
    (split, found.label, os.path.relpath(found.name, root), None if found.image is None else int(found.image[0, 0, 0]))
    for split, found in source.examples()
  ]


def test_digits_are_scaled_and_a_fifth_is_held_out():
  found = list(digits.digits().examples())
  assert digits.digits().class_names == ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
  assert [sum(split == wanted for split, _ in found) for wanted in ('train', 'heldout')] == [1438, 359]
  first = next(image for _, image in found if image.name == 'digit 0')
  assert (first.label, first.image.shape, first.image.dtype) == ('0', (8, 8, 1), np.uint8)
  # scikit-learn has 0 0 5 13 9 1 0 0 of 16 in the first row.
  assert first.image[0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
  assert max(image.image.max() for _, image in found) == 255
  assert {image.name for split, image in found if split == 'heldout'} == {
    image.name for split, image in digits.digits().examples() if split == 'heldout'
  }


def test_chosen_digits_are_the_same_ones_in_the_order_given():
  whole = [(split, image.name) for split, image in digits.digits().examples() if image.label in '37']
  chosen = digits.digits(classes=[7, 3])
  assert chosen.class_names == ('7', '3')
  assert [(split, image.name) for split, image in chosen.examples()] == whole
  assert len(whole) == 183 + 179  # threes and sevens, as scikit-learn says
  assert len({digits.digits(classes=classes).fingerprint for classes in (None, [7, 3], [3, 7])}) == 3


@pytest.fixture(name='folders')
def _folders(tmp_path: pathlib.Path) -> pathlib.Path:
  """Two classes and an empty folder, with files of other kinds among the images."""
  _grey(tmp_path / 'train/dog/b.PNG', 10)
  _grey(tmp_path / 'train/dog/a.png', 20)
  (tmp_path / 'train/cat').mkdir()
  (tmp_path / 'train/cat/c.JpEg').write_bytes(tf.io.encode_jpeg(np.full([2, 3, 3], 100, np.uint8)).numpy())
  _grey(tmp_path / 'test/dog/d.png', 40)
  for name in ('train/dog/notes.txt', 'train/notes', 'notes', 'train/dog/e.png.bak'):
    (tmp_path / name).write_text('x')
  (tmp_path / 'train/empty').mkdir()
  (tmp_path / 'train/dog/folder.png').mkdir()
  return tmp_path


@pytest.mark.parametrize(('build', 'name'), [(images.images, 'images'), (cifar.cifar10, 'cifar10')])
def test_folders_are_classes(build, name: str, folders: pathlib.Path):
  source = build(path=str(folders))
  assert (source.name, source.class_names) == (name, ('cat', 'dog'))
  assert _listed(source, folders) == [
    ('train', 'cat', 'train/cat/c.JpEg', 100), ('train', 'dog', 'train/dog/a.png', 20),
    ('train', 'dog', 'train/dog/b.PNG', 10), ('heldout', 'dog', 'test/dog/d.png', 40),
  ]  # fmt: skip
  chosen = build(path=str(folders), classes=[1])
  assert chosen.class_names == ('dog',) and [row[2] for row in _listed(chosen, folders)] == [
    'train/dog/a.png', 'train/dog/b.PNG', 'test/dog/d.png',
  ]  # fmt: skip


def test_the_fingerprint_follows_the_images_and_nothing_else(folders: pathlib.Path):
  before = images.images(path=str(folders)).fingerprint
  (folders / 'train/dog/notes.txt').write_text('longer')
  assert images.images(path=str(folders)).fingerprint == before
  _grey(folders / 'test/dog/d.png', 41)
  os.utime(folders / 'test/dog/d.png', ns=(1, 1))
  assert images.images(path=str(folders)).fingerprint != before


def test_without_train_and_test_a_tenth_of_each_class_is_held_out(tmp_path: pathlib.Path):
  for number in range(40):
    (tmp_path / 'many').mkdir(exist_ok=True)
    (tmp_path / 'many' / f'{number}.png').touch()
  for name in ('few/1.png', 'few/2.png', 'one/1.png'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  found = _listed(images.images(path=str(tmp_path)), tmp_path)
  heldout = [row[1] for row in found if row[0] == 'heldout']
  assert heldout == ['few', 'many', 'many', 'many', 'many']
  assert len(found) == 43
  chosen = _listed(images.images(path=str(tmp_path), classes=[1]), tmp_path)
  assert chosen == [row for row in found if row[1] == 'many']
  (tmp_path / 'many/0.png').rename(tmp_path / 'many/x.png')
  renamed = {row[2] for row in _listed(images.images(path=str(tmp_path)), tmp_path) if row[0] == 'heldout'}
  assert len(renamed & {row[2] for row in found if row[0] == 'heldout'}) >= 4


def test_hidden_folders_and_files_are_no_classes_and_no_images(tmp_path: pathlib.Path):
  for name in ('cat/a', 'cat/b', 'dog/a', 'dog/b', 'cat/._a', '.ipynb_checkpoints/a', '__MACOSX/a'):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    tf.io.write_file(f'{tmp_path / name}.png', tf.io.encode_png(np.zeros([2, 2, 3], np.uint8)))
  found = images.images(path=str(tmp_path))
  assert found.class_names == ('cat', 'dog')
  assert sorted(example.name for _, example in found.read()) == [
    str(tmp_path / name) for name in ('cat/a.png', 'cat/b.png', 'dog/a.png', 'dog/b.png')
  ]


def test_every_image_has_three_channels_and_a_broken_one_none(folders: pathlib.Path):
  _png(folders / 'train/dog/grey.png', np.full([2, 3, 1], 50))
  _png(folders / 'train/dog/transparent.png', np.full([2, 3, 4], 60))
  whole = (folders / 'train/cat/c.JpEg').read_bytes()
  for name, content in {
    'cut.jpg': whole[: len(whole) // 2],
    'empty.png': b'',
    'junk.png': b'\xff\xd8\xff\x80junk',
  }.items():
    (folders / 'train/dog' / name).write_bytes(content)
  found = {pathlib.Path(image.name).name: image.image for _, image in images.images(path=str(folders)).read()}
  assert {name for name, image in found.items() if image is None} == {'cut.jpg', 'empty.png', 'junk.png'}
  assert {image.shape for image in found.values() if image is not None} == {(2, 3, 3)}
  assert {image.dtype for image in found.values() if image is not None} == {np.dtype(np.uint8)}
  assert found['grey.png'].tolist() == np.full([2, 3, 3], 50).tolist()


def test_images_are_resized_with_antialiasing_and_rounding():
  pixels = np.zeros([4, 4, 1], np.uint8)
  pixels[:, 2:] = 71
  rows = [
    ('train', image_source.LabelledImage(pixels, 'a', 'wide')),
    ('train', image_source.LabelledImage(np.full([2, 2, 1], 255, np.uint8), 'a', 'fits')),
    ('heldout', image_source.LabelledImage(np.full([1, 3, 1], 9, np.uint8), 'a', 'small')),
    ('heldout', image_source.LabelledImage(None, 'a', 'broken')),
  ]
  source = image_source.ImageSource('x', 'f', lambda: rows, ('a',), image_size=2)
  found = [image.image for _, image in source.examples()]
  # The triangle of width 4 weighs the four columns 3, 3, 1, 0 and 0, 1, 3, 3 sevenths: 71 / 7 and 71 x 6 / 7.
  assert found[0][:, :, 0].tolist() == [[10, 61], [10, 61]]
  assert found[1][:, :, 0].tolist() == [[255, 255], [255, 255]]
  assert found[2][:, :, 0].tolist() == [[9, 9], [9, 9]]
  assert found[3] is None
  assert {image.dtype for image in found[:3]} == {np.dtype(np.uint8)}


def test_a_folder_without_images_and_a_class_without_training_are_refused(tmp_path: pathlib.Path):
  (tmp_path / 'train/dog').mkdir(parents=True)
  with pytest.raises(
    errors.DataError, match=r'give images a folder with train/<class> and test/<class>, or with <class>$'
  ):
    images.images(path=str(tmp_path))
  (tmp_path / 'file').touch()
  with pytest.raises(
    errors.DataError, match=r"file' holds no \.png, \.jpg or \.jpeg file in a folder of a class: give"
  ):
    images.images(path=str(tmp_path / 'file'))
  (tmp_path / 'test/dog').mkdir(parents=True)
  (tmp_path / 'test/dog/1.png').touch()
  with pytest.raises(
    errors.DataError, match=r"train' holds no .*: give images such files in train/<class> and test/<class>$"
  ):
    images.images(path=str(tmp_path))
  (tmp_path / 'train/cat').mkdir()
  (tmp_path / 'train/cat/1.png').touch()
  with pytest.raises(
    errors.DataError, match=r"^class 'dog' is in '.*test' but not in '.*train': add training images or remove it$"
  ):
    images.images(path=str(tmp_path))
  with pytest.raises(errors.DataError, match=r"^images needs a path: write images\(path='...'\)$"):
    images.images()


@pytest.mark.parametrize(
  ('arguments', 'said'),
  [
    ({'classes': []}, r'classes=\[\] must be a list of the numbers of classes, such as \[0, 1\]'),
    ({'classes': '12'}, r"classes='12' must be a list of the numbers of classes, such as \[0, 1\]"),
    ({'classes': 3}, r'classes=3 must be a list of the numbers of classes, such as \[0, 1\]'),
    ({'classes': [0, 10]}, r'classes=\[0, 10\] holds 10: the classes of digits are numbered 0 to 9'),
    ({'classes': [-1]}, r'classes=\[-1\] holds -1: the classes of digits are numbered 0 to 9'),
    ({'classes': [True]}, r'classes=\[True\] holds True: the classes of digits are numbered 0 to 9'),
    ({'classes': ['1']}, r"classes=\['1'\] holds '1': the classes of digits are numbered 0 to 9"),
    ({'classes': [4, 2, 4]}, r'classes=\[4, 2, 4\] holds a number twice: give each once'),
    ({'max_examples': 0}, r'max_examples=0 must be an integer from 1 to 1000000000'),
    ({'image_size': 0}, r'image_size=0 must be an integer from 1 to 4096'),
    ({'image_size': 4097}, r'image_size=4097 must be an integer from 1 to 4096'),
  ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], said: str):
  with pytest.raises(errors.DataError, match=f'^{said}$'):
    catalog.IMAGE_DATASETS['digits'](**arguments)
