"""Stack Overflow and Shakespeare in the SQLite layout and with the features of TFF's own files."""

import collections
import pathlib
import sqlite3

import pytest
import tensorflow as tf
import tensorflow_federated as tff

from data import errors
from data.sources import shakespeare
from data.sources import stackoverflow

_POST = collections.OrderedDict(
  creation_date=['2010-01-08 09:34:05 UTC'] * 2,
  score=tf.constant([172, -1], tf.int64),
  tags=['sql|median', ''],
  title=['function to calculate median', 'edit'],
  tokens=['this is a nice , simple-ish median', 'edit :'],
  type=['answer', 'question'],
)


def _save_stackoverflow(file: pathlib.Path, num_train: int, num_others: int) -> None:
  splits = {f'{n:08d}': 'train' for n in range(num_train)}
  splits |= {f'{digit}{n:07d}': split for digit, split in ((8, 'heldout'), (9, 'test')) for n in range(num_others)}
  tff.simulation.datasets.save_to_sql_client_data(
    client_ids=list(splits),
    dataset_fn=lambda _: tf.data.Dataset.from_tensor_slices(_POST),
    database_filepath=str(file),
    split_names_by_client_id=splits,
  )


def _save_shakespeare(file: pathlib.Path) -> None:
  """TFF's writer cannot give one client to two splits, as TFF's Shakespeare does."""
  with sqlite3.connect(file) as connection:
    connection.execute('CREATE TABLE examples (split_name TEXT, client_id TEXT, serialized_example_proto BLOB)')
    connection.execute('CREATE TABLE client_metadata (client_id TEXT, split_name TEXT, num_examples INTEGER)')
    for split, snippet in (('train', b'Hark!\nWho goes\nthere?'), ('test', b"'Twas a rough fight.")):
      feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[snippet]))
      proto = tf.train.Example(features=tf.train.Features(feature={'snippets': feature})).SerializeToString()
      connection.execute('INSERT INTO examples VALUES (?, ?, ?)', (split, 'MACBETH', proto))
      connection.execute('INSERT INTO client_metadata VALUES (?, ?, 1)', ('MACBETH', split))
    connection.execute("INSERT INTO client_metadata VALUES ('MUTE', 'train', 0)")
  connection.close()


def test_stackoverflow_has_sentences_and_first_tags(tmp_path: pathlib.Path):
  _save_stackoverflow(tmp_path / 'so.sqlite', num_train=2, num_others=1)
  found = [(split, *example) for split, example in stackoverflow.stackoverflow(path=str(tmp_path / 'so.sqlite')).read()]
  texts = [('this is a nice , simple-ish median', 'sql'), ('edit :', None)]
  assert found == [
    (split, client, *text)
    for split, client in (
      ('train', '00000000'),
      ('train', '00000001'),
      ('validation', '80000000'),
      ('heldout', '90000000'),
    )
    for text in texts
  ]


def test_stackoverflow_takes_at_most_the_asked_clients_and_a_tenth_for_validation_and_held_out(tmp_path: pathlib.Path):
  _save_stackoverflow(tmp_path / 'so.sqlite', num_train=30, num_others=5)
  source = stackoverflow.stackoverflow(path=str(tmp_path / 'so.sqlite'), max_clients=20)
  clients = {(split, example.client) for split, example in source.read()}
  assert collections.Counter(split for split, _ in clients) == {'train': 20, 'validation': 2, 'heldout': 2}
  assert {(split, example.client) for split, example in source.read()} == clients
  everyone = stackoverflow.stackoverflow(path=str(tmp_path / 'so.sqlite'), max_clients=None)
  assert len({example.client for _, example in everyone.read()}) == 40


def test_shakespeare_holds_out_what_tff_calls_test(tmp_path: pathlib.Path):
  _save_shakespeare(tmp_path / 'sh.sqlite')
  found = [(split, *example) for split, example in shakespeare.shakespeare(path=str(tmp_path / 'sh.sqlite')).read()]
  assert found == [
    ('train', 'MUTE', '', None),
    ('train', 'MACBETH', 'Hark!', None),
    ('train', 'MACBETH', 'Who goes there?', None),
    ('heldout', 'MACBETH', "'Twas a rough fight.", None),
  ]


def test_without_a_path_tff_downloads_once_and_a_half_download_is_not_used(tmp_path: pathlib.Path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  calls = []

  def load_data(cache_dir: str) -> None:
    calls.append(cache_dir)
    file = pathlib.Path(cache_dir) / 'shakespeare.sqlite'
    file.write_bytes(b'half')
    if len(calls) == 1:
      raise OSError('planted')
    file.unlink()
    _save_shakespeare(file)

  monkeypatch.setattr(tff.simulation.datasets.shakespeare, 'load_data', load_data)
  source = shakespeare.shakespeare()
  with pytest.raises(errors.DataError, match=r'cannot download shakespeare .planted.'):
    list(source.read())
  assert len(list(source.read())) == 4
  assert len(list(source.read())) == 4
  assert len(calls) == 2
  assert [path.name for path in (tmp_path / '.tff').iterdir()] == ['shakespeare.sqlite']


def test_a_file_of_another_kind_is_refused(tmp_path: pathlib.Path):
  (tmp_path / 'junk').write_bytes(b'junk' * 1000)
  with pytest.raises(errors.DataError, match='not a whole data set'):
    list(shakespeare.shakespeare(path=str(tmp_path / 'junk')).read())
  _save_stackoverflow(tmp_path / 'so.sqlite', num_train=1, num_others=1)
  with pytest.raises(errors.DataError, match="no text feature 'snippets'"):
    list(shakespeare.shakespeare(path=str(tmp_path / 'so.sqlite')).read())
