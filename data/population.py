"""The clients of a run: who trains, who only evaluates, and where their data is."""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
import hashlib
import json
import pathlib
import sys

import tensorflow_federated as tff

from data import errors
from data import prepared_examples


@dataclasses.dataclass(frozen=True)
class Population:
  """The clients of a run.

  Attributes:
    train: Clients that train.
    evaluation: Clients that only evaluate.
    dataset_hash: Names the content of both.
    heldout_hash: Names what those who evaluate hold, whichever of them does; None if unknown.
    judges: The ids of those of `evaluation` that hold an example; None for all.
    judges_are_users: Whether they are users, whose own examples are alike, and not parts of one pile of examples.
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
  judges: Sequence[str] | None = None
  judges_are_users: bool = False
  database: pathlib.Path | None = None

  @property
  def training_ids(self) -> list[str]:
    """The sorted ids of the clients that may be drawn."""
    return sorted(self.train.client_ids if self.participants is None else self.participants)

  def clients_per_round(self, wanted: int) -> int:
    """Returns how many clients a round has, all of them for 0; raises `DataError` if it wants more than there are."""
    num_clients = len(self.training_ids)
    if wanted > num_clients:
      raise errors.DataError(f'clients_per_round={wanted}, but only {num_clients} clients train: lower it')
    return wanted or num_clients

  @classmethod
  def of(cls, prepared: prepared_examples.PreparedExamples, eval_split: str = 'heldout') -> 'Population':
    """Returns the clients of a prepared data set.

    Args:
      prepared: The data set.
      eval_split: Whose clients evaluate: `heldout` or `validation`.

    Returns:
      The clients that train and those that evaluate.

    Raises:
      DataError: If no client that trains, or none that evaluates, holds an example.
    """
    evaluation = prepared.clients(eval_split)
    judges = [client_id for client_id, size in prepared.num_examples(eval_split).items() if size]
    return cls(
      prepared.clients('train'),
      evaluation,
      prepared.dataset_hash,
      prepared.content_hash(eval_split),
      prepared.unreadable,
      judges=judges,
      database=prepared.database,
    )

  def evaluation_ids(self, eval_clients: int) -> list[str]:
    """Returns the ids that every evaluation of a run uses, whatever its seed."""
    return evaluation_ids(self.evaluation.client_ids if self.judges is None else self.judges, eval_clients)

  def say_who_also_trains(self, eval_clients: int) -> None:
    """Prints to standard error how many of those who evaluate also train, if any: they are no new clients."""
    judges = self.evaluation_ids(eval_clients)
    if known := set(judges) & set(self.training_ids):
      print(
        f'{len(known)} of the {len(judges)} clients that evaluate also train, on other examples of theirs: '
        'quality is that for clients who took part, not for new ones',
        file=sys.stderr,
        flush=True,
      )

  def evaluation_hash(self, eval_clients: int) -> str:
    """Returns SHA-256 in hexadecimal of what `evaluation_ids` hold, and of the ids: runs with equal ones are judged alike."""
    held = [self.heldout_hash or self.dataset_hash, self.evaluation_ids(eval_clients)]
    return hashlib.sha256(json.dumps(held).encode()).hexdigest()


def evaluation_ids(client_ids: Iterable[str], eval_clients: int) -> list[str]:
  """Returns `eval_clients` of the ids (all of them for 0), sorted: those that come first, ids being hashes of names.

  A larger number has the clients of a smaller one, too.
  """
  return sorted(client_ids)[: eval_clients or None]
