"""Groups of runs in series, which differ only in how many clients hold the data or take part in a round."""

from collections.abc import Sequence
import json

from experiments.command import spec
from experiments.comparisons import labels
from experiments.comparisons import runs

_OF_CLIENTS = (runs.DATA, runs.START, 'clients_per_round')


def by_clients(found: Sequence[runs.Group]) -> dict[str, list[runs.Group]]:
  """Gathers groups into series.

  Args:
    found: At least one.

  Returns:
    The groups of each series, the fewest clients first, by what tells it from the other series, in words.
  """
  settings = {}
  gathered: dict[str, list[runs.Group]] = {}
  for group in found:
    compared = runs.compared(group.runs[0])
    kept = {name: value for name, value in compared.items() if name not in _OF_CLIENTS}
    kept['partition'] = _without_clients(str(kept.get('partition', 'natural')))
    key = json.dumps(kept, sort_keys=True)
    settings[key] = kept
    gathered.setdefault(key, []).append(group)
  return {
    name: sorted(gathered[key], key=lambda group: group.clients_per_round)
    for name, key in zip(labels.plain(list(settings.values())), settings, strict=True)
  }


def _without_clients(partition: str) -> str:
  """Returns the spec of a partition without the number of clients."""
  (call,) = spec.parse(partition)
  arguments = ', '.join(f'{name}={value}' for name, value in call.arguments.items() if name != 'clients')
  return f'{call.name}({arguments})' if arguments else call.name
