"""The clients of a run: who trains, who only evaluates, and where their data is."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import pathlib

import tensorflow_federated as tff

from data import prepared_examples


@dataclasses.dataclass(frozen=True)
class Population:
  """The clients of a run.

  Attributes:
    train: Clients that train.
    evaluation: Clients that only evaluate.
    dataset_hash: Names the content of both.
    heldout_hash: Names what those who evaluate hold, whichever of them does; None if unknown.
    find_unreadable: Returns those of some clients whose data cannot be read, which then are skipped; by default none.
    participants: The ids of those of `train` that take part; None for all.
    database: The file that workers read both from, see `data.store`; None if they are not read from a file.
  """

  train: tff.simulation.datasets.ClientData
  evaluation: tff.simulation.datasets.ClientData
  dataset_hash: str
  heldout_hash: str | None = None
  find_unreadable: Callable[[Sequence[str]], list[str]] = lambda client_ids: []
  participants: Sequence[str] | None = None
  database: pathlib.Path | None = None

  @property
  def training_ids(self) -> list[str]:
    """The sorted ids of the clients that may be drawn."""
    return sorted(self.train.client_ids if self.participants is None else self.participants)

  @classmethod
  def of(cls, text: prepared_examples.PreparedExamples) -> 'Population':
    """Returns the clients of a prepared data set."""
    return cls(
      text.clients('train'),
      text.clients('heldout'),
      text.dataset_hash,
      text.heldout_hash,
      text.unreadable,
      database=text.database,
    )

  def evaluation_ids(self, eval_clients: int, seed: int) -> list[str]:
    """Returns the ids that every evaluation of a run uses."""
    return evaluation_ids(self.evaluation.client_ids, eval_clients, seed)


def evaluation_ids(client_ids: Sequence[str], eval_clients: int, seed: int) -> list[str]:
  """Returns `eval_clients` of the ids (all of them for 0), sorted; the same ones whenever the seed is the same."""
  ids = sorted(client_ids)
  if not eval_clients or eval_clients >= len(ids):
    return ids
  return sorted(tff.simulation.build_uniform_sampling_fn(ids, random_seed=seed)(0, eval_clients))
