"""What was measured of the updates of policies: the table, and a row for each client."""

from collections.abc import Mapping
from collections.abc import Sequence
import statistics
from typing import Any
from typing import NamedTuple

from experiments.comparisons import megabytes
from experiments.results import markdown_table

_HEADER = (
  'policy',
  'parameters trained',
  'trained fraction',
  'MB up',
  'MB down',
  'gain of held-out loss, nats',
  'least to most',
  'note',
)


class PolicyUpdate(NamedTuple):
  """A client's round; `loss_after` is None where it would mislead, which `note` explains."""

  client_id: str
  num_examples: int
  trained_parameters: int
  trained_fraction: float
  upload_bytes: int
  download_bytes: int
  loss_before: float
  loss_after: float | None
  note: str = ''


class MeasuredPolicy(NamedTuple):
  """A policy and the rounds of clients by it: none if it does not fit the model, which `note` explains."""

  policy: str
  updates: Sequence[PolicyUpdate]
  note: str = ''

  @property
  def gains(self) -> list[float]:
    """By how much the update of each client lowers the held-out loss; empty unless all are measured."""
    gains = [each.loss_before - each.loss_after for each in self.updates if each.loss_after is not None]
    return gains if len(gains) == len(self.updates) else []

  def mean(self, name: str) -> float:
    """Returns the mean over clients of a field of at least one update."""
    return statistics.mean(getattr(each, name) for each in self.updates)


def table(measured: Sequence[MeasuredPolicy]) -> str:
  """Renders policies as a Markdown table, fewest bytes first, then those that do not fit."""
  fitting = [each for each in measured if each.updates]
  rows = [_row(each) for each in sorted(fitting, key=lambda each: each.mean('upload_bytes'))]
  misfits = [[f'`{each.policy}`', *[''] * (len(_HEADER) - 2), each.note] for each in measured if not each.updates]
  return markdown_table.render(_HEADER, [*rows, *misfits])


def _row(each: MeasuredPolicy) -> list[str]:
  gains = each.gains
  return [
    f'`{each.policy}`',
    f'{each.mean("trained_parameters"):,.0f}',
    f'{each.mean("trained_fraction"):.3f}',
    megabytes.text(each.mean('upload_bytes')),
    megabytes.text(each.mean('download_bytes')),
    f'{statistics.mean(gains):+.4f}' if gains else '',
    f'{min(gains):+.4f} to {max(gains):+.4f}' if len(gains) > 1 else '',
    '; '.join(dict.fromkeys(update.note for update in each.updates if update.note)),
  ]


def explanation(measured: Sequence[MeasuredPolicy], settings: Mapping[str, Any]) -> str:
  """Says what the table means.

  Args:
    measured: Its policies.
    settings: The flags of the run.
  """
  updates = next((each.updates for each in measured if each.updates), ())
  start = f'The model of the run has a held-out loss of {updates[0].loss_before:.4f} nats. ' if updates else ''
  return (
    f'{start}Each policy trains it for one more local round on the same {len(updates)} clients, with the same examples '
    f'in the same order. The gain is the mean, over these clients, of what the update of one of them, sent by '
    f'--upload={settings["upload"]}, takes from the loss: a round of many clients gains something else, and many rounds '
    f'do. All use the learning rate of the run, which was chosen for --trainable={settings["trainable"]}: a policy that '
    'trains less mostly wants a larger one.'
  )


def observed(measured: Sequence[MeasuredPolicy], folder: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
  """Returns a row of `observations` for each client and policy, and for each policy that does not fit.

  Args:
    measured: The policies.
    folder: The run's.
    settings: Its flags.
  """
  of_run = {'folder': folder} | {name: settings[name] for name in ('seed', 'model', 'download')}
  rows = []
  for each in measured:
    shared = of_run | {'trainable': each.policy}
    rows += [shared | update._asdict() for update in each.updates] or [shared | {'note': each.note}]
  return rows
