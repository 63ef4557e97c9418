"""What a run is known by besides its settings: the facts that decide its result."""

from collections.abc import Mapping
import hashlib
import json
from typing import Any

import tensorflow_federated as tff

from data import population as population_lib
from experiments.federated import fingerprint
from experiments.results import output
from experiments.starts import pretrained
from models import task as task_lib
from optimizers import evaluation


def facts(
  task: task_lib.Task, population: population_lib.Population, eval_clients: int, start: pretrained.WarmStart | None
) -> dict[str, Any]:
  """Returns what follows from the settings of a run and decides its result: hashes of what it learns from and is judged by."""
  return {
    'dataset_hash': population.dataset_hash,
    'heldout_hash': population.heldout_hash,
    'evaluation_hash': population.evaluation_hash(eval_clients),
    'num_parameters': task.model.num_parameters,
    'pretrained_sha256': start.loaded.content_hash if start else None,
  }


def undeclared(
  task: task_lib.Task,
  process: tff.learning.templates.LearningProcess,
  population: population_lib.Population,
  configuration: Mapping[str, Any],
) -> dict[str, Any]:
  """Returns what decides the result where settings do not say it.

  Args:
    task: The run's.
    process: Its process.
    population: Its clients.
    configuration: What else is decided, such as the number of clients in a round.

  Returns:
    The configuration, a hash of the ids of the clients, and one of what the computations compute.
  """
  clients = [population.training_ids, sorted(population.evaluation.client_ids)]
  return {
    **configuration,
    'clients_sha256': hashlib.sha256(json.dumps(clients).encode()).hexdigest(),
    output.COMPUTATIONS: fingerprint.of([process.initialize, process.next, evaluation.build_evaluation(task)]),
  }
