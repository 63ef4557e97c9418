"""Text waits on disk in the order it came."""

import pathlib

import pytest

from data import errors
from data import source
from data import spool


@pytest.fixture(name='texts')
def _texts(tmp_path: pathlib.Path):
  texts = spool.Spool(tmp_path / 'texts')
  yield texts
  texts.close()


def test_keeps_order_labels_and_empty_clients(texts: spool.Spool):
  texts.fill(
    [
      ('train', source.Example('a\ud800', ' one\n two ', 'x')),
      ('heldout', source.Example('b', 'three')),
      ('train', source.Example('c', ' \n')),
      ('train', source.Example('a\ud800', 'four \ud800', 'y')),
      ('pretrain', source.Example('d', 'five', 'x')),
      ('train', source.Example('e', 'six', 'x')),
    ]
  )
  assert list(texts.rows()) == [
      ('train', 'a\ud800', 'one two', 0), ('heldout', 'b', 'three', -1), ('train', 'c', '', -1),
      ('train', 'a\ud800', 'four ?', 1), ('pretrain', 'd', 'five', 0), ('train', 'e', 'six', 0),
  ]  # fmt: skip
  assert texts.labels('train').tolist() == [0, 1, 0]
  assert texts.count('train') == 3
  assert list(texts.training_texts()) == ['one two', 'four ?', 'five', 'six']
  assert texts.num_training_texts() == 4


def test_thins_the_training_texts_of_a_large_corpus_evenly(texts: spool.Spool, monkeypatch):
  monkeypatch.setattr(spool, '_MAX_TRAINING_TEXTS', 4)
  texts.fill(('train', source.Example('a', f'{number}')) for number in range(10))
  assert list(texts.training_texts()) == ['0', '3', '6', '9']
  assert texts.num_training_texts() == 4


def test_an_unknown_split_is_refused(texts: spool.Spool):
  with pytest.raises(errors.DataError, match="unknown split 'test'"):
    texts.fill([('test', source.Example('a', 'b'))])


def test_labels_of_known_classes_have_their_numbers(texts: spool.Spool):
  texts.fill((('heldout', source.Example('a', 'b', label)) for label in ('z', 'y', 'x', 'z')), ('x', 'y', 'z'))
  assert texts.labels('heldout').tolist() == [2, 1, 0, 2]


def test_thins_one_split_and_keeps_the_order(texts: spool.Spool):
  rows = [(split, source.Example('a', f'{number}')) for number in range(50) for split in ('train', 'heldout')]
  texts.fill([('train', source.Example('a', '')), *rows])
  texts.thin('train', 12)
  kept = [int(row.text) for row in texts.rows() if row.split == 'train' and row.text]
  assert kept == sorted(kept) and len(kept) == 12 and kept != list(range(12))
  assert (texts.count('train'), texts.count('heldout'), texts.count_all()) == (12, 50, 63)
