"""How a model does on each unit of held-out clients, found in this process: a worker would only send sums."""

from collections.abc import Sequence
from concurrent import futures
import os

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from data import population as population_lib
from experiments.results import heldout_units
from models import task as task_lib
from optimizers import evaluation


def of(task: task_lib.Task, population: population_lib.Population) -> 'HeldoutScores | None':
  """Returns what scores those who evaluate; None for a task that compares the examples of a batch with each other."""
  if not task.is_language_model and task.measure_each is None:
    return None
  return HeldoutScores(task, population.evaluation, population.judges_are_users)


class HeldoutScores:
  """Scores weights of one task on clients; the graph is built once."""

  def __init__(self, task: task_lib.Task, clients: tff.simulation.datasets.ClientData, are_users: bool = False):
    """Scores each of the clients if they are users or the task judges no examples; else each example."""
    self._of_examples = task.measure_each is not None and not are_users
    self._scores = evaluation.build_scores(task, clients.serializable_dataset_fn)

  def __call__(
    self, weights: Sequence[tf.Tensor | np.ndarray], client_ids: Sequence[str]
  ) -> heldout_units.HeldoutUnits:
    """Returns the units of some clients, in their order.

    Args:
      weights: In the order of the task's model.
      client_ids: At least one.

    Raises:
      tf.errors.OpError: If a client's examples cannot be read.
    """
    weights = tuple(tf.convert_to_tensor(weight) for weight in weights)

    def scores_of(client_id: str) -> np.ndarray:
      return self._scores(weights, tf.constant(client_id)).numpy().astype(np.float64)

    names, parts = [], []
    with futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
      found = list(pool.map(scores_of, client_ids))
    for client_id, scores in zip(client_ids, found, strict=True):
      if self._of_examples:
        names += [(client_id, str(number)) for number in range(len(scores))]
        parts.append(scores)
      else:
        names.append((client_id, ''))
        parts.append(scores.sum(axis=0, keepdims=True))
    loss_sum, num_correct, num_predicted = np.concatenate(parts).T
    return heldout_units.HeldoutUnits(names, num_predicted, loss_sum, num_correct)
