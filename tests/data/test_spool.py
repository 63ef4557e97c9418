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
