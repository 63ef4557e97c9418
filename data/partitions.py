"""Regroups training examples into clients: as they are, at random, by label shards or by a Dirichlet draw."""

from collections.abc import Callable
import dataclasses
from typing import NamedTuple

import numpy as np

from data import arguments
from data import errors

_MAX_CLIENTS = 10_000_000
_MAX_SEED = 2**63 - 1


class Assignment(NamedTuple):
  """The client of every example: `clients[client_of_example[i]]`, with client_of_example int64 [num_examples]."""

  clients: list[str]
  client_of_example: np.ndarray


@dataclasses.dataclass(frozen=True)
class Partition:
  """A way to regroup the training split; the other splits keep their natural clients.

  Attributes:
    fingerprint: The spec in full, such as `iid(clients=32, seed=0)`.
    assign: Maps int64 label numbers [num_examples] (-1 = no label) to an Assignment; None keeps the clients.
  """

  fingerprint: str
  assign: Callable[[np.ndarray], Assignment] | None


def natural() -> Partition:
  """Keeps the clients of the data set."""
  return Partition('natural()', None)


def iid(clients: int, seed: int = 0) -> Partition:
  """Deals the shuffled examples to `clients` clients, whose sizes differ by one at most.

  Args:
    clients: Number of clients.
    seed: Decides who gets what; independent of the run's seed.
  """
  _check(clients, seed)

  def assign(labels: np.ndarray) -> Assignment:
    _require_examples(len(labels), clients)
    owner = np.empty(len(labels), np.int64)
    owner[np.random.default_rng(seed).permutation(len(labels))] = np.arange(len(labels)) % clients
    return Assignment(_names(clients), owner)

  return Partition(f'iid(clients={clients}, seed={seed})', assign)


def shards(clients: int, labels: int, seed: int = 0) -> Partition:
  """Sorts examples by label, cuts them into `clients * labels` equal shards and gives each client `labels` of them.

  Args:
    clients: See `iid`.
    labels: Shards of a client.
    seed: See `iid`.
  """
  _check(clients, seed)
  arguments.require_integer('labels', labels, 1, 10_000)
  shards_per_client = labels

  def assign(labels: np.ndarray) -> Assignment:
    _require_labels('shards', labels)
    num_shards = clients * shards_per_client
    _require_examples(len(labels), num_shards, what=f'shards (clients={clients} x labels={shards_per_client})')
    owner_of_shard = np.random.default_rng(seed).permutation(num_shards) // shards_per_client
    owner = np.empty(len(labels), np.int64)
    owner[np.argsort(labels, kind='stable')] = owner_of_shard[np.arange(len(labels)) * num_shards // len(labels)]
    return Assignment(_names(clients), owner)

  return Partition(f'shards(clients={clients}, labels={labels}, seed={seed})', assign)


def dirichlet(alpha: float, clients: int, seed: int = 0) -> Partition:
  """Spreads each label over the clients in proportions drawn from Dirichlet(alpha); small alpha = one-sided clients.

  Hsu, Qi, Brown, "Measuring the Effects of Non-Identical Data Distribution", 2019, with the draw made per label, so
  that every example is used once. A client may end up without examples.

  Args:
    alpha: Concentration, 0.001 to 1,000,000.
    clients: See `iid`.
    seed: See `iid`.
  """
  _check(clients, seed)
  if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 1e-3 <= alpha <= 1e6:
    raise errors.DataError(f'alpha={alpha!r} must be a number from 0.001 to 1000000')

  def assign(labels: np.ndarray) -> Assignment:
    _require_labels('dirichlet', labels)
    _require_examples(len(labels), clients)
    generator = np.random.default_rng(seed)
    owner = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
      members = generator.permutation(np.flatnonzero(labels == label))
      bounds = np.cumsum(generator.dirichlet(np.full(clients, float(alpha))))
      bounds = np.rint(bounds * len(members) / bounds[-1])
      owner[members] = np.searchsorted(bounds, np.arange(len(members)), side='right')
    return Assignment(_names(clients), owner)

  return Partition(f'dirichlet(alpha={float(alpha)}, clients={clients}, seed={seed})', assign)


def _check(clients: int, seed: int) -> None:
  arguments.require_integer('clients', clients, 1, _MAX_CLIENTS)
  arguments.require_integer('seed', seed, 0, _MAX_SEED)


def _names(clients: int) -> list[str]:
  return [f'client_{number}' for number in range(clients)]


def _require_examples(num_examples: int, wanted: int, what: str = 'clients') -> None:
  if wanted > num_examples:
    raise errors.DataError(f'{wanted} {what} are more than the {num_examples} training examples: ask for fewer')


def _require_labels(partition: str, labels: np.ndarray) -> None:
  if len(labels) and labels.min() < 0:
    raise errors.DataError(
      f'partition {partition} needs labels, which this data set lacks: use natural or iid(clients=...)'
    )
