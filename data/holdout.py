"""Chooses the held-out clients of a data set that does not name any."""

from collections.abc import Iterable

from data import client_key


def choose(clients: Iterable[str], one_in: int = 10) -> set[str]:
  """Returns one in ten (or so many) of the clients, at least one of two or more, by a hash of their names."""
  ranked = sorted(set(clients), key=lambda name: client_key.derive(name).client_id)
  if len(ranked) < 2:
    return set()
  return set(ranked[: max(1, len(ranked) // one_in)])
