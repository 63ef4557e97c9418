"""A labelled data set is prepared once, keeps the class of every text, and reads the same through NumPy and TFF."""

import collections
import pathlib
import sqlite3

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from data import client_key
from data import errors
from data import labelled_text
from data import partitions
from data import prepare_labelled
from data import source
from data import wordpiece

_CLASSES = ('no', 'maybe', 'yes')
_WORDS = [str(number) for number in range(100)]
_TOKENIZER = wordpiece.WordPiece('\n'.join(['[PAD]', '[UNK]', '[CLS]', '[SEP]', *_WORDS]).encode(), cased=False)
_FIRST = 4  # the id of word 0


def _examples(train: int = 40, heldout: int = 25) -> list[tuple[str, source.Example]]:
  """Texts of one number, whose class is the number modulo 3; the first class that comes is the last one."""
  rows = [('train', source.Example(f'module {n % 4}', f'{n}', _CLASSES[n % 3])) for n in range(train)[::-1]]
  return [*rows, *(('heldout', source.Example('h', f'{n}', _CLASSES[n % 3])) for n in range(heldout))]


def _source(rows=None, **arguments) -> source.LabelledSource:
  rows = _examples() if rows is None else rows
  defaults = {'name': 'small', 'fingerprint': 'f', 'class_names': _CLASSES, 'sequence_length': 5}
  return source.LabelledSource(read=lambda: rows, **(defaults | arguments))


def _prepare(folder: pathlib.Path, partition=None, tokenizer=_TOKENIZER, **arguments) -> labelled_text.LabelledText:
  return prepare_labelled.prepare(_source(**arguments), partition or partitions.natural(), tokenizer, folder)


def test_every_text_has_its_class(tmp_path: pathlib.Path):
  text = _prepare(tmp_path)
  assert (text.class_names, text.num_classes) == (_CLASSES, 3)
  assert (text.sequence_length, text.vocabulary_size, text.num_empty) == (5, 104, 0)
  for split, size in (('train', 40), ('heldout', 25)):
    tokens, labels = text.arrays(split)
    assert (tokens.dtype, labels.dtype, tokens.shape) == (np.int32, np.int32, (size, 5))
    assert sorted((tokens[:, 1] - _FIRST).tolist()) == list(range(size))
    np.testing.assert_array_equal(labels, (tokens[:, 1] - _FIRST) % 3)
    np.testing.assert_array_equal(tokens[:, [0, 2, 3, 4]], np.tile([2, 3, 0, 0], [size, 1]))
  assert {text.client_name(client_id) for client_id in text.client_ids('train')} == {f'module {n}' for n in range(4)}
  assert text.tokenizer.serialized == _TOKENIZER.serialized


def test_heldout_examples_are_dealt_to_ten_clients(tmp_path: pathlib.Path):
  text = _prepare(tmp_path, partition=partitions.iid(clients=3))
  assert sorted(text.num_examples('heldout').values()) == [2] * 5 + [3] * 5  # 25 over 10
  assert sorted(text.num_examples('train').values()) == [13, 13, 14]
  few = _prepare(tmp_path, rows=_examples(heldout=4), fingerprint='few')
  assert list(few.num_examples('heldout').values()) == [1] * 4


def _names(text: labelled_text.LabelledText, split: str) -> set[str]:
  return {text.client_name(client_id) for client_id in text.client_ids(split)}


def test_users_keep_what_they_are_judged_by(tmp_path: pathlib.Path):
  validation = [('validation', source.Example('v', f'{number}', 'yes')) for number in range(2)]
  rows = [*_examples(), *validation, ('heldout', source.Example('i', '9', 'no'))]
  natural = _prepare(tmp_path, rows=rows, clients=source.Clients.USERS)
  regrouped = _prepare(tmp_path, partitions.iid(clients=3), rows=rows, clients=source.Clients.USERS)
  for text in (natural, regrouped):
    assert (_names(text, 'heldout'), _names(text, 'validation')) == ({'h', 'i'}, {'v'})
    assert sorted(text.num_examples('heldout').values()) == [1, 25]
  assert _names(natural, 'train') == {f'module {n}' for n in range(4)}
  assert sorted(regrouped.num_examples('train').values()) == [13, 13, 14]  # 40 over 3
  assert natural.content_hash('heldout') == regrouped.content_hash('heldout')


@pytest.mark.parametrize(
  ('clients', 'num_validation'), [(source.Clients.GROUPS, 4), (source.Clients.USERS, 0), (source.Clients.NONE, 0)]
)
def test_whoever_knows_its_users_or_has_none_names_its_validation(clients, num_validation, tmp_path: pathlib.Path):
  rows = [(split, example._replace(client='all')) for split, example in _examples()]
  text = _prepare(tmp_path, partitions.iid(clients=2), rows=rows, clients=clients)
  assert len(text.arrays('validation')[1]) == num_validation  # A tenth of 40.


def test_clients_are_not_kept_where_there_are_none(tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match=r"natural\(\) keeps users, and small names none: give user='...', which"):
    _prepare(tmp_path, clients=source.Clients.NONE)
  assert not list(tmp_path.iterdir())
  assert len(_prepare(tmp_path, partitions.iid(clients=2), clients=source.Clients.NONE).client_ids('heldout')) == 10


def test_a_summary_is_said_every_time(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
  for _ in range(2):
    _prepare(tmp_path, summary='65 texts of 3 classes')
    assert capsys.readouterr().err.splitlines()[-1] == 'small: 65 texts of 3 classes'


def test_shards_of_one_label_are_the_contiguous_pieces_of_the_sorted_examples(tmp_path: pathlib.Path):
  text = _prepare(tmp_path, partition=partitions.shards(clients=8, labels=1))
  clients = [text.arrays('train', [client_id]) for client_id in text.client_ids('train')]
  # Sorted by class, in the order of the file (descending numbers), then 8 shards of 5.
  in_order = sorted(range(39, -1, -1), key=lambda number: number % 3)
  expected = {frozenset(in_order[start : start + 5]) for start in range(0, 40, 5)}
  assert {frozenset((tokens[:, 1] - _FIRST).tolist()) for tokens, _ in clients} == expected
  assert collections.Counter(len(set(labels)) for _, labels in clients) == {
    1: 6,
    2: 2,
  }  # 14, 13, 13 examples of a class


def test_max_examples_draws_from_training_only(tmp_path: pathlib.Path):
  small, large = (_prepare(tmp_path, max_examples=kept) for kept in (10, 20))
  drawn = [set(text.arrays('train')[0][:, 1].tolist()) for text in (small, large)]
  assert [len(numbers) for numbers in drawn] == [10, 20]
  assert drawn[0] < drawn[1]
  assert drawn[0] != set(range(_FIRST + 30, _FIRST + 40))  # the first ten of the file
  assert len(small.arrays('heldout')[0]) == 25
  assert len(_prepare(tmp_path, max_examples=1000).arrays('train')[0]) == 40


def test_empty_texts_are_left_out_and_told_every_time(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture):
  empty = [('train', source.Example('all', text, 'no')) for text in ('', ' \n ', '\u200b')]
  rows = [*empty, *_examples(), ('heldout', source.Example('all', '', 'yes'))]
  for partition in (partitions.natural(), partitions.iid(clients=2)):
    for _ in range(2):
      text = _prepare(tmp_path, partition, rows=rows)
      assert capsys.readouterr().err.splitlines()[-1] == 'small: left out 4 examples without text'
      assert text.num_empty == 4
      assert [len(text.arrays(split)[1]) for split in ('train', 'heldout')] == [40, 25]


def test_whatever_it_depends_on_makes_another_file(tmp_path: pathlib.Path):
  relabelled = [(split, example._replace(label='no')) for split, example in _examples()]
  made = [
    _prepare(tmp_path),
    _prepare(tmp_path, rows=relabelled, fingerprint='g'),
    _prepare(tmp_path, max_examples=39),
    _prepare(tmp_path, sequence_length=6),
    _prepare(tmp_path, class_names=('maybe', 'no', 'yes')),
    _prepare(tmp_path, partition=partitions.iid(clients=3)),
    _prepare(tmp_path, tokenizer=wordpiece.WordPiece(_TOKENIZER.serialized.partition(b'\n')[2] + b'\nx', cased=False)),
  ]
  assert len({text.database for text in made}) == len(made)
  assert len({text.dataset_hash for text in made[:-1]}) == len(made) - 1  # the last has the same ids
  assert made[-1].dataset_hash == made[0].dataset_hash
  hashes = [text.content_hash('heldout') for text in made]
  assert [value == hashes[0] for value in hashes] == [
    True,
    False,
    True,
    True,
    False,
    True,
    True,
  ]  # Texts and class numbers.


def _unread() -> list:
  raise AssertionError('read although cached')


def test_a_second_call_does_not_read_the_source(tmp_path: pathlib.Path):
  first = _prepare(tmp_path)
  again = source.LabelledSource('small', 'f', _unread, _CLASSES, sequence_length=5)
  again = prepare_labelled.prepare(again, partitions.natural(), _TOKENIZER, tmp_path)
  assert (again.database, again.dataset_hash) == (first.database, first.dataset_hash)
  first.database.write_bytes(first.database.read_bytes()[:5000])
  assert _prepare(tmp_path).dataset_hash == first.dataset_hash


@pytest.mark.parametrize('split', ['train', 'heldout'])
def test_an_empty_split_is_refused(split: str, tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match=f'no {split} text'):
    _prepare(tmp_path, rows=[row for row in _examples() if row[0] != split])
  assert [path.name for path in tmp_path.iterdir()] == ['prepare.lock']


def test_more_clients_than_examples_are_refused(tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match='41 clients are more than the 40'):
    _prepare(tmp_path, partition=partitions.iid(clients=41))


def test_damaged_examples_are_told_and_left_out(tmp_path: pathlib.Path):
  text = _prepare(tmp_path)
  client = client_key.derive('module 0').client_id
  with sqlite3.connect(text.database) as connection:
    query = "UPDATE examples SET serialized_example_proto = x'0a00' WHERE rowid = (SELECT min(rowid) FROM examples WHERE client_id = ?)"
    connection.execute(query, (client,))
  assert text.unreadable(text.client_ids('train')) == [client]
  tokens, labels = text.arrays('train')
  assert len(tokens) == len(labels) == 39
  np.testing.assert_array_equal(labels, (tokens[:, 1] - _FIRST) % 3)


@pytest.mark.usefixtures('worker')
def test_a_tff_worker_reads_tokens_classes_and_key(tmp_path: pathlib.Path):
  text = _prepare(tmp_path)
  clients = text.clients('train')
  spec = {'tokens': tf.TensorSpec([5], tf.int32), 'label': tf.TensorSpec([], tf.int32)}
  assert clients.element_type_structure == {**spec, 'client_key': tf.TensorSpec([], tf.int64)}
  read = clients.dataset_computation

  @tff.tensorflow.computation(read.type_signature.result)
  def add_up(dataset):
    zero = (tf.constant(0), tf.constant(0), tf.constant(0, tf.int64))
    return dataset.reduce(zero, lambda sums, e: (sums[0] + e['tokens'][1], sums[1] + e['label'], e['client_key']))

  @tff.federated_computation(tff.FederatedType(np.str_, tff.CLIENTS))
  def read_all(client_ids):
    return tff.federated_sum(tff.federated_map(add_up, tff.federated_map(read, client_ids)))

  one = text.client_ids('train')[:1]
  words, labels, key = read_all(one)
  tokens, expected = text.arrays('train', one)
  assert (words, labels) == (tokens[:, 1].sum(), expected.sum())
  assert key == client_key.derive(text.client_name(one[0])).client_key
