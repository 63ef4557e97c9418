"""A generated population reads like TFF's Stack Overflow, is the same whenever it is made, and is whole or not there."""

import collections
import contextlib
import pathlib
import sqlite3

import pytest
import tensorflow_federated as tff

from data import errors
from data import generated_population
from data import partitions
from data import prepare
from data.sources import stackoverflow

_FEATURES = {'creation_date', 'score', 'tags', 'title', 'tokens', 'type'}


def _read(database: pathlib.Path) -> list[tuple[str, tuple]]:
  return list(stackoverflow.stackoverflow(path=str(database), max_clients=None).read())


@pytest.fixture(scope='module')
def database(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  path = tmp_path_factory.mktemp('population') / 'population.sqlite'
  generated_population.write(path, num_clients=200)
  return path


def test_has_the_asked_clients_and_a_tenth_for_validation_and_held_out(database: pathlib.Path):
  clients = {(split, example.client) for split, example in _read(database)}
  assert collections.Counter(split for split, _ in clients) == {'train': 200, 'validation': 20, 'heldout': 20}
  assert len({client for _, client in clients}) == 240


def test_sentences_are_heavy_tailed_words_with_a_tag(database: pathlib.Path):
  rows = _read(database)
  counts = collections.Counter(example.client for _, example in rows)
  assert 2 < len(rows) / len(counts) < 5
  assert min(counts.values()) == 1
  assert 10 < max(counts.values()) <= 100
  words = collections.Counter(word for _, example in rows for word in example.text.split())
  assert all(word.isalpha() for word in words)
  assert words.most_common(1)[0][1] > 0.05 * words.total()  # Zipf: 1 / (1 + 1/2 + ... + 1/2000) = 0.12
  assert {3, 17} <= {len(example.text.split()) for _, example in rows} <= set(range(3, 18))
  assert None not in {example.label for _, example in rows}


def test_tff_reads_its_own_features(database: pathlib.Path):
  clients = tff.simulation.datasets.SqlClientData(str(database), 'train')
  assert len(clients.client_ids) == 200
  stored = clients.create_tf_dataset_for_client('00000000')
  example = next(iter(tff.simulation.datasets.stackoverflow._add_proto_parsing(stored)))
  assert set(example) == _FEATURES
  assert example['tokens'].numpy().decode() == _read(database)[0][1].text


def test_counts_of_examples_are_true(database: pathlib.Path):
  with contextlib.closing(sqlite3.connect(database)) as connection:
    query = 'SELECT split_name, client_id, COUNT(*) FROM examples GROUP BY 1, 2 ORDER BY 1, 2'
    counted = connection.execute(query).fetchall()
    query = 'SELECT split_name, client_id, num_examples FROM client_metadata ORDER BY 1, 2'
    assert connection.execute(query).fetchall() == counted


def test_the_arguments_alone_decide_the_content(database: pathlib.Path, tmp_path: pathlib.Path):
  for name, seed in (('same', 0), ('other', 1)):
    generated_population.write(tmp_path / name, num_clients=200, seed=seed)
  assert _read(tmp_path / 'same') == _read(database)
  assert _read(tmp_path / 'other') != _read(database)


def test_is_prepared_like_any_data_set(database: pathlib.Path, tmp_path: pathlib.Path):
  source = stackoverflow.stackoverflow(path=str(database), max_clients=None, vocabulary=300, sequence_length=8)
  text = prepare.prepare(source, partitions.natural(), tmp_path)
  assert (len(text.client_ids('train')), len(text.client_ids('heldout'))) == (200, 20)
  assert len(text.tokens('train')) == sum(split == 'train' for split, _ in _read(database))


def test_is_generated_once(tmp_path: pathlib.Path):
  first = generated_population.cached(5, cache_dir=tmp_path)
  written = first.stat().st_mtime_ns
  assert generated_population.cached(5, cache_dir=tmp_path) == first
  assert first.stat().st_mtime_ns == written
  assert generated_population.cached(6, cache_dir=tmp_path) != first
  assert not list(tmp_path.glob('*.part'))


@pytest.mark.parametrize('arguments', [dict(num_clients=0), dict(num_clients=1.5), dict(num_clients=1, seed=-1)])
def test_wrong_arguments_are_refused(tmp_path: pathlib.Path, arguments: dict):
  with pytest.raises(errors.DataError, match='must be an integer from'):
    generated_population.write(tmp_path / 'population.sqlite', **arguments)
  assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_one_line(tmp_path: pathlib.Path):
  with pytest.raises(errors.DataError, match=r'cannot write .*choose another folder'):
    generated_population.write(tmp_path / 'absent' / 'population.sqlite', num_clients=1)
