"""The accuracy by device group is that of all clients of the group, or of as many as it says."""

import collections
import re

import numpy as np
import pytest

from data import partitions
from data.sources import text
from experiments.limits import device_groups
from experiments.limits import domains
from models import checkpoint
from optimizers import devices as devices_lib
from optimizers import policies

_MODEL = 'transformer(num_layers=1, width=4, mlp_width=4, num_heads=1)'
_DEVICES = devices_lib.Devices((policies.Suffix(blocks=1), policies.All()), (0.5, 0.5))
_NUM_CLIENTS, _NUM_LINES = 42, 140  # Together more than 2,000 examples in each half.


@pytest.fixture(scope='module')
def work(tmp_path_factory):
  """Clients of whom each writes one letter, more or less often, and one who writes nothing."""
  folder = tmp_path_factory.mktemp('text')
  for client in range(_NUM_CLIENTS):
    (folder / f'client_{client}').mkdir()
    lines = ['e' * (client % 7) + 'abcd'[client % 4] * 3 for _ in range(_NUM_LINES - client)]
    (folder / f'client_{client}' / 'a.txt').write_text('\n'.join(lines))
  (folder / 'silent').mkdir()
  (folder / 'silent' / 'a.txt').write_text('')
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('LEANFED_CACHE', str(tmp_path_factory.mktemp('cache')))
    yield domains.LANGUAGE.prepare(text.text(str(folder), 'characters', sequence_length=8), partitions.natural())


@pytest.fixture(scope='module')
def task(work):
  return work.task(work.build(_MODEL))


def _guess(task, token):
  """Weights by name of a model that predicts one token, whatever comes before."""
  weights = {variable.name: np.zeros(variable.shape, np.float32) for variable in task.model.variables}
  weights['head/bias'][token] = 1.0
  return weights


def _frequency(work, client_ids, token):
  """The share of a token among all that these clients have to predict, counted client by client."""
  counts = collections.Counter()
  for client_id in client_ids:
    counts.update(work.prepared.tokens('train', [client_id])[:, 1:].ravel().tolist())
  del counts[0]  # Padding.
  return counts[token] / counts.total()


@pytest.fixture(scope='module')
def tokens(work):
  """The two most frequent letters."""
  found = work.prepared.tokens('train')[:, 1:]
  ids, counts = np.unique(found[found > 3], return_counts=True)
  return ids[np.argsort(-counts)][:2].tolist()


@pytest.fixture(scope='module')
def run(work, task, tokens, tmp_path_factory):
  """The folder of a run that ended with a model that predicts the second letter."""
  folder = tmp_path_factory.mktemp('run')
  checkpoint.save(folder, _guess(task, tokens[1]), work.describe(_MODEL, 'all', 'alike'), 5)
  return folder


def _rows(table):
  """The cells of each tier."""
  return [re.split(r' *\| *', line.strip('| ')) for line in table.splitlines()[2:]]


def _with_examples(work, ids):
  sizes = work.prepared.num_examples('train')
  return [client_id for client_id in ids if sizes[client_id]]


def test_all_clients_of_a_group_count(work, task, tokens, run):
  groups = device_groups.DeviceGroups.of(work, _DEVICES)
  start = list(_guess(task, tokens[0]).values())
  table = groups.table(task, start, run, seed=0)
  sizes = work.prepared.num_examples('train')
  for ids, row in zip(groups.members, _rows(table), strict=True):
    num_examples = sum(sizes[client_id] for client_id in ids)
    assert num_examples > 2000
    assert row[1:4] == [str(len(ids)), str(len(_with_examples(work, ids))), str(num_examples)]
    assert row[4:] == [f'{_frequency(work, ids, token):.3f}' for token in tokens]
  assert sum(len(ids) for ids in groups.members) == len(sizes)
  assert 0 in sizes.values()
  assert len({tuple(row[4:]) for row in _rows(table)}) == 2  # So that no group passes for another.


def test_of_a_large_group_whole_clients_are_drawn_until_they_are_enough(work, task, tokens, run):
  groups = device_groups.DeviceGroups.of(work, _DEVICES)
  start = list(_guess(task, tokens[0]).values())
  tables = [groups.table(task, start, run, seed, enough=1000) for seed in (0, 0, 1)]
  assert tables[0] == tables[1]
  assert tables[0] != tables[2]
  for ids, row in zip(groups.members, _rows(tables[0]), strict=True):
    num_clients, num_counted, num_examples = map(int, row[1:4])
    assert num_clients == len(ids)
    assert 1 < num_counted < len(_with_examples(work, ids))
    assert 1000 <= num_examples < 1000 + _NUM_LINES


def test_draws_do_not_follow_the_order_of_ids():
  sizes = {f'{client:03}': 10 for client in range(100)}
  drawn = [device_groups.counted(sizes, 200, seed) for seed in range(20)]
  assert {len(each) for each in drawn} == {20}
  assert all(each == sorted(each) for each in drawn)
  # Of 400 draws 200 +- 5 standard deviations of 10 are of the first half.
  assert abs(sum(client_id < '050' for each in drawn for client_id in each) - 200) < 50
  assert device_groups.counted(sizes, 1000, 0) == list(sizes)
  assert device_groups.counted({'a': 5, 'b': 0}, 5, 0) == ['a']
