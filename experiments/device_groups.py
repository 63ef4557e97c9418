"""The clients of each tier of devices: who may train, and what a model is worth to each group."""

from collections.abc import Collection
from collections.abc import Sequence
import dataclasses
import pathlib

import numpy as np
import tensorflow as tf

from data import client_key
from data import federated_text
from experiments import central_evaluation
from experiments import markdown_table
from experiments import population as population_lib
from models import checkpoint
from models import model as model_lib
from models import task as task_lib
from optimizers import devices as devices_lib


@dataclasses.dataclass(frozen=True)
class DeviceGroups:
  """Who has which device.

  Attributes:
    text: Of all clients.
    members: The ids of the training clients of each tier.
  """

  text: federated_text.FederatedText
  members: tuple[tuple[str, ...], ...]

  @classmethod
  def of(cls, text: federated_text.FederatedText, devices: devices_lib.Devices) -> 'DeviceGroups':
    """Asks `devices` for the tier of every training client."""
    ids = text.client_ids('train')
    keys = tf.constant([client_key.of_id(client_id) for client_id in ids], tf.int64)
    tiers = tf.map_fn(devices.tier, keys, fn_output_signature=tf.int32).numpy()
    return cls(text, tuple(tuple(np.array(ids)[tiers == number].tolist()) for number in range(len(devices.shares))))

  def population(self, left_out: Collection[int]) -> population_lib.Population:
    """Returns the clients of a run in which those of some tiers take no part."""
    taking_part = [client_id for number, ids in enumerate(self.members) if number not in left_out for client_id in ids]
    return dataclasses.replace(population_lib.Population.of(self.text), participants=sorted(taking_part))

  def table(
    self, task: task_lib.Task, start: Sequence[np.ndarray], run: pathlib.Path, max_clients: int, seed: int
  ) -> str:
    """Renders the accuracy on each group's own training text, before and after a run.

    Args:
      task: Of the run.
      start: The weights it began with, in the order of the model.
      run: Its folder.
      max_clients: Clients of a group that count, drawn by the seed; 0 for all.
      seed: Of the run.

    Returns:
      A Markdown table.
    """
    evaluation, weights = central_evaluation.Evaluation(task), _weights(run, task.model)
    rows = []
    for number, ids in enumerate(self.members):
      tokens = self.text.tokens('train', population_lib.evaluation_ids(ids, max_clients, seed))
      accuracies = [evaluation(each, tokens)['eval/accuracy'] for each in (start, weights)] if len(tokens) else []
      rows.append([f'tier {number}', f'{len(ids)}', *(f'{accuracy:.3f}' for accuracy in accuracies)])
    return markdown_table.render(
      ['device', 'clients', 'accuracy on their own text, before', 'after the training'], rows
    )


def _weights(run: pathlib.Path, model: model_lib.Model) -> list[np.ndarray]:
  weights = checkpoint.load(run).weights
  return [weights[variable.name] for variable in model.variables]
