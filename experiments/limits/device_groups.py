"""The clients of each tier of devices: who may train, and what a model is worth to each group."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from data import client_key
from data import population as population_lib
from data import progress
from experiments.central import evaluation as central_evaluation
from experiments.command import failures
from experiments.limits import domains
from experiments.results import markdown_table
from experiments.results import quality
from experiments.starts import pretrained
from models import task as task_lib
from optimizers import devices as devices_lib

_ENOUGH_EXAMPLES = 10_000  # Of a group: 16 s of one core a model of six blocks and 1.2 M parameters.


@dataclasses.dataclass(frozen=True)
class DeviceGroups:
  """Who has which device.

  Attributes:
    work: The data of all clients.
    members: The ids of the training clients of each tier.
  """

  work: domains.Work
  members: tuple[tuple[str, ...], ...]

  @classmethod
  def of(cls, work: domains.Work, devices: devices_lib.Devices) -> 'DeviceGroups':
    """Asks `devices` for the tier of every training client."""
    ids = work.prepared.client_ids('train')
    keys = tf.constant([client_key.of_id(client_id) for client_id in ids], tf.int64)
    draw = tf.function(lambda keys: tf.map_fn(devices.tier, keys, fn_output_signature=tf.int32), autograph=False)
    tiers = draw(keys).numpy()
    return cls(work, tuple(tuple(np.array(ids)[tiers == number].tolist()) for number in range(len(devices.shares))))

  def population(self, left_out: Collection[int], clients_per_round: int, eval_split: str) -> population_lib.Population:
    """Returns the clients of a run in which those of some tiers take no part.

    Args:
      left_out: The numbers of those tiers.
      clients_per_round: How many clients a round wants.
      eval_split: Whose clients evaluate.

    Returns:
      The clients.

    Raises:
      UsageError: If too few are left.
    """
    participants = sorted(
      client_id for number, ids in enumerate(self.members) if number not in left_out for client_id in ids
    )
    if len(participants) < max(1, clients_per_round):
      raise failures.UsageError(
        f'--clients_per_round={clients_per_round}, but {len(participants)} clients have devices that can train: lower '
        'it, or raise limits'
      )
    return dataclasses.replace(population_lib.Population.of(self.work.prepared, eval_split), participants=participants)

  def table(
    self,
    task: task_lib.Task,
    start: Sequence[np.ndarray],
    run: pathlib.Path,
    seed: int,
    enough: int = _ENOUGH_EXAMPLES,
  ) -> str:
    """Renders the accuracy on all examples of each group's own clients, before and after a run.

    Args:
      task: The run's.
      start: The weights it began with, in the order of the model.
      run: Its folder.
      seed: The run's.
      enough: If a group has more examples, clients of it are drawn by the seed until they have as many; all examples of
        those count.

    Returns:
      A Markdown table, which says how many clients and examples count; clients without examples do not.
    """
    evaluation = central_evaluation.Evaluation(task)
    models = [start, pretrained.weights_of(pretrained.load(run), task.model)]
    sizes, rows = self.work.prepared.num_examples('train'), []
    with progress.Progress('tier', len(self.members), task='accuracy by device') as bar:
      for number, ids in enumerate(self.members):
        chosen = counted({client_id: sizes[client_id] for client_id in ids}, enough, seed)
        examples = self.work.examples(chosen)
        accuracies = [_accuracy(evaluation(model, examples)) for model in models]
        num_examples = central_evaluation.num_examples(examples)
        rows.append([f'tier {number}', f'{len(ids)}', f'{len(chosen)}', f'{num_examples}', *accuracies])
        bar.advance()
    header = [
      'device', 'clients', 'of these count', 'examples', 'accuracy on their own examples, before', 'after the training',
    ]  # fmt: skip
    return markdown_table.render(header, rows)


def counted(sizes: Mapping[str, int], enough: int, seed: int) -> list[str]:
  """Returns the sorted ids of clients with examples, drawn until they have enough; all of them if they have not."""
  ids = sorted(client_id for client_id, size in sizes.items() if size)
  if sum(sizes.values()) <= enough:
    return ids
  drawn, total = [], 0
  for index in np.random.default_rng(seed).permutation(len(ids)):
    if total >= enough:
      break
    drawn.append(ids[index])
    total += sizes[ids[index]]
  return sorted(drawn)


def _accuracy(measured: Mapping[str, Any]) -> str:
  """Returns what an evaluation found, nothing if there was nothing to predict."""
  return quality.ACCURACY.text(measured[quality.ACCURACY.column])
