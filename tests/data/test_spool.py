"""Text waits on disk in the order it came."""

import pathlib

import pytest

from data import errors
from data import holdout
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


def test_a_tenth_of_the_training_clients_leave_it_for_validation_in_every_split(texts: spool.Spool):
  names = [f'client {number}' for number in range(20)]
  (other, chosen) = sorted(holdout.choose_validation([*names]))
  texts.fill(
    [(split, source.Example(name, f'{split} {name}')) for name in names for split in ('pretrain', 'train', 'heldout')]
    + [('train', source.Example('silent', ''))]
  )
  found = {(row.split, row.client) for row in texts.rows()}
  assert {name for split, name in found if split == 'validation'} == {other, chosen}
  assert {name for split, name in found if split == 'train'} == {*names, 'silent'} - {other, chosen}
  assert {name for split, name in found if split == 'heldout'} == {*names} - {other, chosen}
  assert {name for split, name in found if split == 'pretrain'} == {*names}
  assert texts.count('validation') == 4  # What they had in train and heldout.
  assert not {f'train {other}', f'train {chosen}'} & set(texts.training_texts())


def test_validation_text_that_the_source_names_is_kept(texts: spool.Spool):
  rows = [('train', source.Example(f'{number}', 'a')) for number in range(30)]
  texts.fill([*rows, ('validation', source.Example('v', 'b'))])
  assert (texts.count('train'), texts.count('validation')) == (30, 1)


@pytest.mark.parametrize(('class_names', 'num_validation'), [((), 0), (('x',), 3)])
def test_of_one_client_a_tenth_of_the_labelled_examples_are_for_validation(
  class_names: tuple[str, ...], num_validation: int, texts: spool.Spool
):
  texts.fill((('train', source.Example('all', f'{number}', 'x')) for number in range(30)), class_names)
  assert (texts.count('train'), texts.count('validation')) == (30 - num_validation, num_validation)


def test_a_source_may_name_all_validation_text_itself(texts: spool.Spool):
  rows = [('train', source.Example('all', f'{number}', 'x')) for number in range(30)]
  texts.fill(rows, ('x',), choose_validation=False)
  assert (texts.count('train'), texts.count('validation')) == (30, 0)


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
