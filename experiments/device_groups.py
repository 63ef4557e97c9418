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
from data import progress
from experiments import central_evaluation
from experiments import domains
from experiments import launch
from experiments import markdown_table
from experiments import metrics
from experiments import population as population_lib
from experiments import pretrained
from experiments import quality
from models import task as task_lib
from optimizers import devices as devices_lib

_MAX_EXAMPLES = 2000


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
      raise launch.UsageError(
        f'--clients_per_round={clients_per_round}, but {len(participants)} clients have devices that can train: lower '
        'it, or raise limits'
      )
    return dataclasses.replace(population_lib.Population.of(self.work.prepared, eval_split), participants=participants)

  def table(
    self, task: task_lib.Task, start: Sequence[np.ndarray], run: pathlib.Path, max_clients: int, seed: int
  ) -> str:
    """Renders the accuracy on each group's own training examples, before and after a run.

    Args:
      task: Of the run.
      start: The weights it began with, in the order of the model.
      run: Its folder.
      max_clients: Clients of a group that count, drawn by the seed; 0 for all. Of their examples the first 2,000 do.
      seed: Of the run.

    Returns:
      A Markdown table.
    """
    evaluation = central_evaluation.Evaluation(task)
    models = [start, pretrained.weights_of(pretrained.load(run), task.model)]
    rows = []
    with progress.bar('accuracy by device', len(self.members), 'tier') as report:
      for number, ids in enumerate(self.members):
        examples = self._examples(population_lib.evaluation_ids(ids, max_clients))
        accuracies = [_accuracy(evaluation(model, examples)) for model in models]
        rows.append([f'tier {number}', f'{len(ids)}', *accuracies])
        report(1)
    return markdown_table.render(
      ['device', 'clients', 'accuracy on their own examples, before', 'after the training'], rows
    )

  def _examples(self, client_ids: Sequence[str]) -> dict[str, np.ndarray]:
    return {name: values[:_MAX_EXAMPLES] for name, values in self.work.examples(client_ids).items()}


def _accuracy(measured: Mapping[str, Any]) -> str:
  """Returns what an evaluation found, nothing if there was nothing to predict."""
  found = measured[quality.ACCURACY.column]
  return '' if found == metrics.NOT_MEASURED else quality.ACCURACY.text(found)
