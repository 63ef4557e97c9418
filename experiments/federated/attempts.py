"""A round that a lost worker or a client's unreadable data does not end: begun again, without that client."""

from collections.abc import Callable
from collections.abc import Sequence
import sys
from typing import Generic
from typing import NamedTuple
from typing import TypeVar

from experiments.command import failures
from experiments.federated import supervision

_T = TypeVar('_T')
MAX_LOST_WORKERS = 3
MAX_SKIPPED_FRACTION = 0.25


class Outcome(NamedTuple, Generic[_T]):
  """What came of a computation on clients.

  Attributes:
    result: What it returned.
    num_skipped: Clients whose data could not be read.
    num_retries: How often it began again because the worker was lost.
  """

  result: _T
  num_skipped: int
  num_retries: int


class Attempts:
  """Computes as `on_clients` does on the clients of one run, and counts what that took for its rows."""

  def __init__(self, supervisor: supervision.Supervisor, find_unreadable: Callable[[Sequence[str]], list[str]]):
    """Takes what `on_clients` takes."""
    self._supervisor = supervisor
    self._find_unreadable = find_unreadable
    self._num_retries = self._num_skipped = 0  # Since the last row.

  def on_clients(self, compute: Callable[[list[str]], _T], client_ids: Sequence[str]) -> _T:
    """Returns what `compute` returns for the clients whose data can be read; raises what `on_clients` does."""
    outcome = on_clients(self._supervisor, compute, client_ids, self._find_unreadable)
    self._num_retries += outcome.num_retries
    self._num_skipped += outcome.num_skipped
    return outcome.result

  def of_worker(self, ask: Callable[[], _T]) -> _T:
    """Returns what `ask` returns, which needs the worker and no client."""
    return self.on_clients(lambda _: ask(), ())

  def columns(self) -> dict[str, int]:
    """Returns the columns that tell what happened since the last call."""
    counts = dict(round_retries=self._num_retries, skipped_clients=self._num_skipped)
    self._num_retries = self._num_skipped = 0
    return counts


def on_clients(
  supervisor: supervision.Supervisor,
  compute: Callable[[list[str]], _T],
  client_ids: Sequence[str],
  find_unreadable: Callable[[Sequence[str]], list[str]],
) -> Outcome[_T]:
  """Returns what `compute` returns for the clients whose data can be read.

  Args:
    supervisor: Watches the worker that computes.
    compute: Computes from its start; called again after a failure.
    client_ids: The clients.
    find_unreadable: Returns those of them whose data cannot be read; called after a failure only.

  Returns:
    The outcome.

  Raises:
    RunEnded: If the worker was lost `MAX_LOST_WORKERS` times, or the data of more than `MAX_SKIPPED_FRACTION` of the
      clients cannot be read.
    Stopped: If a signal came.
    Exception: What `compute` raises while the worker is well and the clients' data can be read.
  """
  readable, num_lost = list(client_ids), 0
  while True:
    try:
      result = supervisor.attempt(lambda: compute(readable))
      return Outcome(result, len(client_ids) - len(readable), num_lost)
    except Exception as failure:  # Only clients whose data cannot be read excuse it.
      unreadable = set(find_unreadable(readable))
      if isinstance(failure, supervision.WorkerLost):
        num_lost += 1
        print(f"TFF's worker was lost ({failure}): beginning again with a new one", file=sys.stderr)
      elif not unreadable:
        raise
      if num_lost == MAX_LOST_WORKERS:
        raise failures.RunEnded(f'gave up after {num_lost} lost workers, the last one so: {failure}') from failure
      readable = [client_id for client_id in readable if client_id not in unreadable]
      if len(client_ids) - len(readable) > MAX_SKIPPED_FRACTION * len(client_ids):
        raise failures.RunEnded(
          f'the data of {len(client_ids) - len(readable)} of {len(client_ids)} clients cannot be read, for example of '
          f'{min(unreadable)}: delete the prepared data set, which is then made anew'
        ) from failure
      if unreadable:
        print(f'skipping clients whose data cannot be read: {", ".join(sorted(unreadable))}', file=sys.stderr)
