"""Partitions use every example once, depend on their seed alone, and say what they cannot do."""

import numpy as np
import pytest

from data import errors
from data import partitions

_LABELS = np.array([0, 1, 2, 0, 1, 0, 3, 2, 2, 1, 0, 3] * 5)

_PARTITIONS = [
  partitions.iid(clients=7),
  partitions.shards(clients=6, labels=2),
  partitions.dirichlet(alpha=0.1, clients=7),
  partitions.dirichlet(alpha=100, clients=7),
]


@pytest.mark.parametrize('partition', _PARTITIONS, ids=lambda partition: partition.fingerprint)
def test_gives_every_example_to_one_client_the_same_every_time(partition: partitions.Partition):
  clients, owner = partition.assign(_LABELS)
  assert owner.shape == _LABELS.shape
  assert set(owner) <= set(range(len(clients)))
  assert len(set(clients)) == len(clients)
  np.testing.assert_array_equal(partition.assign(_LABELS).client_of_example, owner)


@pytest.mark.parametrize('seed', range(3))
def test_seeds_differ(seed: int):
  for build in (
    lambda s: partitions.iid(clients=5, seed=s),
    lambda s: partitions.shards(clients=5, labels=2, seed=s),
    lambda s: partitions.dirichlet(alpha=1.0, clients=5, seed=s),
  ):
    one, other = build(seed), build(seed + 1)
    assert one.fingerprint != other.fingerprint
    assert (one.assign(_LABELS).client_of_example != other.assign(_LABELS).client_of_example).any()


def test_iid_deals_evenly():
  owner = partitions.iid(clients=7).assign(_LABELS).client_of_example
  assert set(np.bincount(owner)) == {8, 9}  # 60 examples over 7 clients


def test_shards_are_even_and_bound_the_labels_of_a_client():
  labels = np.repeat(np.arange(4), 30)
  owner = partitions.shards(clients=20, labels=2).assign(labels).client_of_example
  assert set(np.bincount(owner)) == {6}  # 120 examples, 40 shards of 3, 2 shards a client
  assert max(len(set(labels[owner == client])) for client in range(20)) == 2


def test_a_small_alpha_makes_clients_one_sided():
  labels = np.repeat(np.arange(4), 500)

  def mean_share_of_top_label(alpha: float) -> float:
    owner = partitions.dirichlet(alpha=alpha, clients=10).assign(labels).client_of_example
    counts = [np.bincount(labels[owner == client], minlength=4) for client in set(owner)]
    return float(np.mean([count.max() / count.sum() for count in counts]))

  assert mean_share_of_top_label(1000) < 0.35 < 0.6 < mean_share_of_top_label(0.05)


@pytest.mark.parametrize('partition', _PARTITIONS[1:], ids=lambda partition: partition.fingerprint)
def test_label_partitions_need_labels(partition: partitions.Partition):
  with pytest.raises(errors.DataError, match='needs labels'):
    partition.assign(np.append(_LABELS, -1))


@pytest.mark.parametrize('partition', _PARTITIONS, ids=lambda partition: partition.fingerprint)
def test_more_clients_than_examples_are_refused(partition: partitions.Partition):
  with pytest.raises(errors.DataError, match='ask for fewer'):
    partition.assign(_LABELS[:5])


def test_natural_assigns_nothing():
  assert partitions.natural().assign is None
