"""The database keeps every client and token, in a layout TFF reads by an index."""

import contextlib
import pathlib
import sqlite3
import tempfile

from hypothesis import given
from hypothesis import strategies as st
import numpy as np
import pytest

from data import client_key
from data import errors
from data import store


def _write(file: pathlib.Path, rows: list[tuple[str, str, list[int]]]) -> str:
  writer = store.Writer(file)
  for split, name, tokens in rows:
    writer.add_example(split, name, np.array(tokens, np.int32))
  return writer.finish({'name': 'x', 'tokenizer': b'\0\1'})


_ROWS = [('train', 'a', [1, 5]), ('train', 'b', [1, 6]), ('train', 'a', [1, 7]), ('heldout', 'a', [1, 8])]


def test_reads_back_what_was_written(tmp_path: pathlib.Path):
  dataset_hash = _write(tmp_path / 'x.sqlite', _ROWS)
  a, b = client_key.derive('a').client_id, client_key.derive('b').client_id
  with contextlib.closing(store.connect(tmp_path / 'x.sqlite')) as connection:
    meta = store.read_meta(connection)
    assert {name: value for name, value in meta.items() if not name.endswith('_hash')} == {
      'name': 'x',
      'tokenizer': b'\0\1',
    }
    assert meta['dataset_hash'] == dataset_hash
    assert store.read_counts(connection, 'train') == {a: 2, b: 1}
    assert store.read_tokens(connection, 'train', 2, [b, a, 'absent']).tolist() == [[1, 6], [1, 5], [1, 7]]
    assert store.read_tokens(connection, 'heldout', 2, [b]).shape == (0, 2)


def test_the_hash_of_a_split_is_that_of_its_examples_whoever_has_them(tmp_path: pathlib.Path):
  def heldout_hash(rows):
    path = tmp_path / f'{len(list(tmp_path.iterdir()))}.sqlite'
    _write(path, rows)
    with contextlib.closing(store.connect(path)) as connection:
      return store.read_meta(connection).get('heldout_hash')

  heldout = [('heldout', 'a', [1, 8]), ('heldout', 'b', [1, 9])]
  assert heldout_hash([*_ROWS[:3], *heldout]) == heldout_hash([('heldout', 'c', [1, 8]), ('heldout', 'a', [1, 9])])
  assert heldout_hash(heldout) != heldout_hash([*heldout[:1], ('heldout', 'b', [1, 7])])
  assert heldout_hash(heldout) != heldout_hash([('heldout', 'a', [1, 8, 1, 9])])
  assert heldout_hash(_ROWS[:3]) is None


def test_reads_a_whole_split_in_batches(tmp_path: pathlib.Path, monkeypatch):
  _write(tmp_path / 'x.sqlite', _ROWS)
  monkeypatch.setattr(store, '_ROWS_PER_PARSE', 2)
  with contextlib.closing(store.connect(tmp_path / 'x.sqlite')) as connection:
    batches = [batch.tolist() for batch in store.read_token_batches(connection, 'train', 2)]
    assert batches == [[[1, 5], [1, 6]], [[1, 7]]]
    assert list(store.read_token_batches(connection, 'pretrain', 2)) == []


def test_a_client_is_found_by_an_index(tmp_path: pathlib.Path):
  _write(tmp_path / 'x.sqlite', _ROWS)
  query = "SELECT serialized_example_proto FROM examples WHERE client_id = 'a' and split_name ='train'"
  with contextlib.closing(store.connect(tmp_path / 'x.sqlite')) as connection:
    assert 'SEARCH examples USING INDEX' in str(connection.execute(f'EXPLAIN QUERY PLAN {query}').fetchall())


def test_the_hash_follows_tokens_clients_and_splits(tmp_path: pathlib.Path):
  variants = [
    _ROWS,
    _ROWS[:-1],
    [*_ROWS[:-1], ('heldout', 'a', [1, 9])],
    [*_ROWS[:-1], ('heldout', 'b', [1, 8])],
    [*_ROWS[:-1], ('train', 'a', [1, 8])],
  ]
  hashes = [_write(tmp_path / f'{number}.sqlite', rows) for number, rows in enumerate([*variants, _ROWS])]
  assert len(set(hashes)) == len(variants)
  assert hashes[-1] == hashes[0]


def test_the_hashes_of_text_are_those_that_results_were_published_with(tmp_path: pathlib.Path):
  assert _write(tmp_path / 'x.sqlite', _ROWS) == 'e121e2914e3db98d5a3fca156e6e265c7230bd9dd3258de3d48c40ecb4776339'
  writer = store.Writer(tmp_path / 'y.sqlite')
  writer.add_example('heldout', 'a', np.array([1, 8], np.int32), 2, 'text')
  assert writer.finish({}) == '4c72110acbf673ac9544783d8ef1743b9995dbe89e61b58ea3d07a7527b8d3c9'
  with contextlib.closing(store.connect(tmp_path / 'y.sqlite')) as connection:
    heldout_hash = store.read_meta(connection)['heldout_hash']
  assert heldout_hash == 'def092594b741e9d0a1d5daa0f8c411717a3ea88456951c31c8f1744255255b7'


@given(st.lists(st.text(st.characters()), unique=True, max_size=5))
def test_clients_of_any_name_need_no_examples(names: list[str]):
  with tempfile.TemporaryDirectory() as folder:
    writer = store.Writer(pathlib.Path(folder) / "it's 100% #1?.sqlite")
    for name in names:
      writer.add_client('train', name)
    writer.finish({})
    with contextlib.closing(store.connect(pathlib.Path(folder) / "it's 100% #1?.sqlite")) as connection:
      assert store.read_counts(connection, 'train') == {client_key.derive(name).client_id: 0 for name in names}
      stored = [client_key.decode_name(name) for (name,) in connection.execute('SELECT name FROM client_names')]
  assert sorted(stored) == sorted(names)


def test_two_names_of_one_hash_are_refused(tmp_path: pathlib.Path, monkeypatch):
  monkeypatch.setattr(client_key, 'derive', lambda name: client_key.ClientKey('0' * 16, 0))
  writer = store.Writer(tmp_path / 'x.sqlite')
  writer.add_client('train', 'a')
  writer.add_client('heldout', 'a')
  with pytest.raises(errors.DataError, match="client 'b' has the hash of another"):
    writer.add_client('train', 'b')
  writer.close()


def test_an_absent_database_is_not_created(tmp_path: pathlib.Path):
  with pytest.raises(sqlite3.Error):
    store.connect(tmp_path / 'absent.sqlite')
  assert not list(tmp_path.iterdir())
