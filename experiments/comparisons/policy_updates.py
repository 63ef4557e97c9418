"""What was measured of the updates of policies: the table, and a row for each client."""

from collections.abc import Mapping
from collections.abc import Sequence
import math
import statistics
from typing import Any
from typing import NamedTuple

from experiments.comparisons import megabytes
from experiments.results import markdown_table

LENGTHS = tuple(2.0**power for power in range(-5, 3))  # By which an update is multiplied before it is subtracted.
_HEADER = (
  'policy',
  'parameters trained',
  'trained fraction',
  'MB up',
  'MB down',
  'gain, nats',
  'gain at best length, nats',
  'least to most',
  'best length',
  'note',
)


class PolicyUpdate(NamedTuple):
  """A client's round; `losses` are those after its update of each of `LENGTHS`, none where they would mislead: see `note`."""

  client_id: str
  num_examples: int
  trained_parameters: int
  trained_fraction: float
  upload_bytes: int
  download_bytes: int
  loss_before: float
  losses: Sequence[float]
  note: str = ''

  def loss(self, length: float) -> float:
    """Returns the loss after the update of a length, if it is known."""
    return self.losses[LENGTHS.index(length)]


class MeasuredPolicy(NamedTuple):
  """A policy and the rounds of clients by it: none if it does not fit the model, which `note` explains."""

  policy: str
  updates: Sequence[PolicyUpdate]
  note: str = ''

  @property
  def has_gains(self) -> bool:
    """Whether the gain of every client is known."""
    return bool(self.updates) and all(each.losses for each in self.updates)

  @property
  def best_length(self) -> float:
    """The length of updates, one for all clients, at which the mean gain is largest."""
    return max(LENGTHS, key=lambda length: (_finite(self.mean_gain(length)), -abs(length - 1.0)))

  def gains(self, length: float) -> list[float]:
    """Returns by how much the update of each client, of a length, lowers the held-out loss."""
    return [each.loss_before - each.loss(length) for each in self.updates]

  def mean_gain(self, length: float) -> float:
    """Returns the mean over clients of `gains`."""
    return statistics.mean(self.gains(length))

  def mean(self, name: str) -> float:
    """Returns the mean over clients of a field of at least one update."""
    return statistics.mean(getattr(each, name) for each in self.updates)


def _finite(value: float) -> float:
  return value if math.isfinite(value) else -math.inf


def table(measured: Sequence[MeasuredPolicy]) -> str:
  """Renders policies as a Markdown table, fewest bytes first, then those that do not fit."""
  fitting = [each for each in measured if each.updates]
  rows = [_row(each) for each in sorted(fitting, key=lambda each: each.mean('upload_bytes'))]
  misfits = [[f'`{each.policy}`', *[''] * (len(_HEADER) - 2), each.note] for each in measured if not each.updates]
  return markdown_table.render(_HEADER, [*rows, *misfits])


def _row(each: MeasuredPolicy) -> list[str]:
  return [
    f'`{each.policy}`',
    f'{each.mean("trained_parameters"):,.0f}',
    f'{each.mean("trained_fraction"):.3f}',
    megabytes.text(each.mean('upload_bytes')),
    megabytes.text(each.mean('download_bytes')),
    *(_gains(each) if each.has_gains else [''] * 4),
    '; '.join(dict.fromkeys(update.note for update in each.updates if update.note)),
  ]


def _gains(each: MeasuredPolicy) -> list[str]:
  length = each.best_length
  best = each.gains(length)
  return [
    f'{each.mean_gain(1.0):+.4f}',
    f'{each.mean_gain(length):+.4f}',
    f'{min(best):+.4f} to {max(best):+.4f}' if len(best) > 1 else '',
    f'{length:g}',
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
    f'--upload={settings["upload"]}, takes from the loss, as it is and at the length that gains most: the update of one '
    'client may be too long, which the server of a run mends, or too short. A round of many clients gains something else, '
    'and so do many rounds. All use the learning rate of the run, which was chosen for '
    f'--trainable={settings["trainable"]}: a policy that trains less mostly wants a larger one.'
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
    rows += [shared | _observed(update, each) for update in each.updates] or [shared | {'note': each.note}]
  return rows


def _observed(update: PolicyUpdate, measured: MeasuredPolicy) -> dict[str, Any]:
  fields = {name: value for name, value in update._asdict().items() if name != 'losses'}
  if not measured.has_gains:
    return fields
  best = measured.best_length
  return fields | {'loss_after': update.loss(1.0), 'best_length': best, 'loss_at_best_length': update.loss(best)}
