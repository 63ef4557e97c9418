"""Who evaluates: clients of one split that hold examples, the same ones for every seed."""

import dataclasses
import pathlib

import pytest

from data import errors
from data import federated_text
from data import partitions
from data import population
from data import prepare
from data import source

_SIZES = {'train': [1] * 3, 'validation': [2, 1], 'heldout': [0, 3, 1, 2]}  # Examples of each client.


def _prepare(folder: pathlib.Path, sizes: dict[str, list[int]]) -> federated_text.FederatedText:
  rows = [
    (split, source.Example(f'{split} {number}', f'some words {index}' if size else ' '))
    for split, counts in sizes.items()
    for number, size in enumerate(counts)
    for index in range(max(1, size))
  ]
  return prepare.prepare(
    source.TextSource('small', repr(sizes), lambda: rows, 'characters'), partitions.natural(), folder
  )


def test_only_clients_of_the_split_with_examples_evaluate_and_fewer_are_some_of_more(tmp_path: pathlib.Path):
  text = _prepare(tmp_path, _SIZES)
  clients = population.Population.of(text)
  chosen = [clients.evaluation_ids(number) for number in (0, 1, 2, 3, 9)]
  assert {text.client_name(client) for client in chosen[0]} == {'heldout 1', 'heldout 2', 'heldout 3'}
  assert chosen[3] == chosen[4] == chosen[0]
  assert [len(ids) for ids in chosen] == [3, 1, 2, 3, 3]
  assert set(chosen[1]) < set(chosen[2]) < set(chosen[3])
  validation = population.Population.of(text, 'validation')
  assert {text.client_name(client) for client in validation.evaluation_ids(0)} == {'validation 0', 'validation 1'}
  assert validation.training_ids == clients.training_ids


def test_clients_that_evaluate_and_train_are_counted_and_said(tmp_path: pathlib.Path, capsys):
  rows = [
    (split, source.Example(client, f'some words of the {split}'))
    for split, clients in {'train': 'abcd', 'validation': 'v', 'heldout': 'bcx'}.items()
    for client in clients
  ]
  text = source.TextSource('split by examples', '', lambda: rows, 'characters')
  clients = population.Population.of(prepare.prepare(text, partitions.natural(), tmp_path))
  capsys.readouterr()
  clients.say_who_also_trains(0)
  assert capsys.readouterr().err.startswith('2 of the 3 clients that evaluate also train, on other examples of theirs')
  others = population.Population.of(_prepare(tmp_path, _SIZES))
  capsys.readouterr()
  others.say_who_also_trains(0)
  assert not capsys.readouterr().err


def test_the_hash_of_what_judges_changes_with_its_content_and_with_who_judges(tmp_path: pathlib.Path):
  text = _prepare(tmp_path, _SIZES)
  clients = population.Population.of(text)
  more = population.Population.of(_prepare(tmp_path, _SIZES | {'heldout': [0, 3, 1, 1]}))
  others = population.Population.of(_prepare(tmp_path, _SIZES | {'train': [2] * 3}))
  hashes = [clients.evaluation_hash(number) for number in (0, 3, 2)]
  assert hashes[0] == hashes[1] != hashes[2]
  assert more.evaluation_hash(0) != hashes[0] == others.evaluation_hash(0)
  assert population.Population.of(text, 'validation').evaluation_hash(0) not in hashes


def test_an_evaluation_without_an_example_is_refused(tmp_path: pathlib.Path):
  text = _prepare(tmp_path, _SIZES | {'heldout': [0, 0]})
  with pytest.raises(
    errors.DataError, match=r'^no heldout client of the data set has an example: what is evaluated is held out'
  ):
    population.Population.of(text)
  few = _prepare(tmp_path, {'train': [1] * 3, 'heldout': [1]})
  with pytest.raises(
    errors.DataError,
    match=r'^no validation client of the data set has an example: give it ten training clients or more, or leave',
  ):
    population.Population.of(few, 'validation')


def test_a_script_that_names_no_judges_has_all_clients(tmp_path: pathlib.Path):
  clients = dataclasses.replace(population.Population.of(_prepare(tmp_path, _SIZES)), judges=None)
  assert len(clients.evaluation_ids(0)) == 4
