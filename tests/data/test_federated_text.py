"""A prepared data set reads the same through NumPy, tf.data and a TFF worker, whatever its clients are called."""

import pathlib
import shutil
import sqlite3
import tempfile

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from data import client_key
from data import errors
from data import federated_text
from data import partitions
from data import prepare
from data import source

_NAMES = ["o'neil", '"; DROP TABLE examples; --', 'new\nline', '日本', 'lone \ud800', '', 'null \0']


def _prepare(folder: str, rows: list[tuple[str, source.Example]]) -> federated_text.FederatedText:
  made = source.TextSource('small', 'f', lambda: rows, vocabulary=60, sequence_length=8)
  return prepare.prepare(made, partitions.natural(), pathlib.Path(folder))


@pytest.fixture(scope='module', name='text')
def _text(tmp_path_factory: pytest.TempPathFactory) -> federated_text.FederatedText:
  rows = [('train', source.Example(name, f'the model {n}')) for name in _NAMES for n in range(len(name) + 1)]
  rows.append(('train', source.Example('silent', ' ')))
  rows.append(('train', source.Example('one token', 't')))
  rows.append(('heldout', source.Example('unknown only', '\u4e00\u4e8c')))
  rows.append(('heldout', source.Example(_NAMES[0], 'the model')))
  return _prepare(str(tmp_path_factory.mktemp('cache')), rows)


def test_ids_are_sorted_and_names_are_kept(text: federated_text.FederatedText):
  ids = text.client_ids('train')
  names = [*_NAMES, 'silent', 'one token']
  assert ids == sorted(client_key.derive(name).client_id for name in names)
  assert {text.client_name(client_id) for client_id in ids} == set(names)
  with pytest.raises(errors.DataError, match="no client 'x'"):
    text.client_name('x')


def test_odd_clients_have_the_examples_they_should(text: federated_text.FederatedText):
  ids = {text.client_name(client_id): client_id for client_id in text.client_ids('train')}
  counts = text.num_examples('train')
  assert counts[ids['silent']] == 0
  assert counts[ids["o'neil"]] == len("o'neil") + 1
  assert text.tokens('train', [ids['silent']]).shape == (0, 9)
  assert text.tokens('train', [ids['one token']]).shape == (1, 9)
  unknown = text.tokens('heldout', [client_key.derive('unknown only').client_id])
  assert unknown[:, :1].tolist() == [[1]] and (unknown == 3).sum() == 1
  assert len(text.tokens('train')) == sum(counts.values())


def test_batches_hold_the_examples_of_all_clients(text: federated_text.FederatedText):
  rows = [row for batch in text.token_batches('train') for row in batch.tolist()]
  assert sorted(rows) == sorted(text.tokens('train').tolist())


def test_tf_data_gives_the_same_tokens_and_the_key(text: federated_text.FederatedText):
  clients = text.clients('train')
  assert clients.client_ids == text.client_ids('train')
  assert clients.element_type_structure['tokens'] == tf.TensorSpec([9], tf.int32)
  for client_id in clients.client_ids:
    elements = list(clients.create_tf_dataset_for_client(client_id))
    tokens = np.array([element['tokens'] for element in elements], np.int32).reshape([-1, 9])
    np.testing.assert_array_equal(tokens, text.tokens('train', [client_id]))
    keys = {int(element['client_key']) for element in elements}
    assert keys <= {client_key.derive(text.client_name(client_id)).client_key}


@pytest.mark.usefixtures('worker')
def test_a_tff_worker_reads_clients_by_id(text: federated_text.FederatedText):
  dataset_computation = text.clients('train').dataset_computation

  @tff.tensorflow.computation(dataset_computation.type_signature.result)
  def add_up(dataset):
    return dataset.reduce(
      (tf.constant(0, tf.int64), tf.constant(0, tf.int64)),
      lambda sums, element: (
        sums[0] + tf.reduce_sum(tf.cast(element['tokens'], tf.int64)),
        element['client_key'],
      ),
    )

  @tff.federated_computation(tff.FederatedType(np.str_, tff.CLIENTS))
  def read(client_ids):
    sums = tff.federated_map(add_up, tff.federated_map(dataset_computation, client_ids))
    return tff.federated_sum(sums)

  ids = text.client_ids('train')
  total, keys = read(ids)
  assert total == text.tokens('train').sum()
  with_examples = [client_id for client_id, count in text.num_examples('train').items() if count]
  expected = sum(int(client_id, 16) for client_id in with_examples) % 2**64
  assert int(keys) % 2**64 == expected


def test_a_split_without_clients_is_refused(text: federated_text.FederatedText):
  assert text.client_ids('pretrain') == []
  assert text.tokens('pretrain').shape == (0, 9)
  with pytest.raises(errors.DataError, match=r'no pretrain client .* has an example: choose a data set'):
    text.clients('pretrain')


@settings(max_examples=8)
@given(st.lists(st.tuples(st.text(st.characters()), st.text('the model', max_size=12)), max_size=6))
def test_any_clients_and_texts_survive(rows: list[tuple[str, str]]):
  with tempfile.TemporaryDirectory() as folder:
    anchor = ('train', source.Example('anchor', 'the model'))
    text = _prepare(folder, [anchor, *(('train', source.Example(*row)) for row in rows)])
    for name in {name for name, _ in rows} - {'anchor'}:
      client_id = client_key.derive(name).client_id
      expected = [' '.join(words.split()) for other, words in rows if other == name and words.strip()]
      tokens = text.tokens('train', [client_id])
      assert text.client_name(client_id) == name
      assert len(tokens) == text.num_examples('train')[client_id] == len(expected)
      whole = ~(tokens[:, -1] > 2)  # not cut off
      np.testing.assert_array_equal(
        np.array(text.tokenizer.decode(tokens))[whole], np.array(expected)[whole] if expected else []
      )


@pytest.mark.parametrize(
  'damage',
  [
    "x'ff00'",
    "''",
    'substr(serialized_example_proto, 1, 10)',
    "x'0a00'",
  ],
)
def test_damaged_examples_are_told_and_left_out(
  damage: str, text: federated_text.FederatedText, tmp_path: pathlib.Path
):
  database = tmp_path / 'damaged.sqlite'
  shutil.copy(text.database, database)
  client = client_key.derive(_NAMES[0]).client_id
  with sqlite3.connect(database) as connection:
    where = "rowid = (SELECT min(rowid) FROM examples WHERE client_id = ? AND split_name = 'train')"
    connection.execute(f'UPDATE examples SET serialized_example_proto = {damage} WHERE {where}', (client,))
  damaged = federated_text.FederatedText.open(database)
  assert text.unreadable(text.client_ids('train')) == []
  assert damaged.unreadable(damaged.client_ids('train')) == [client]
  assert len(damaged.tokens('train')) == len(text.tokens('train')) - 1
  np.testing.assert_array_equal(damaged.tokens('train', [client]), text.tokens('train', [client])[1:])
  assert sum(map(len, damaged.token_batches('train'))) == len(text.tokens('train')) - 1
