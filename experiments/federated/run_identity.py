"""What a run is known by besides its settings: the facts that decide its result."""

import hashlib
import json
from typing import Any

import tensorflow_federated as tff

from data import federated_text
from data import population as population_lib
from experiments.command import failures
from experiments.command import given_objects
from experiments.federated import fingerprint
from experiments.results import output
from experiments.starts import pretrained
from models import checkpoint
from models import task as task_lib
from optimizers import evaluation

_DEFINING = ('clients_per_round', 'rounds_per_eval', 'eval_clients', 'seed', 'draw_seed')  # Of `run.Config`.


def facts(
  task: task_lib.Task, population: population_lib.Population, config: Any, start: pretrained.WarmStart | None
) -> dict[str, Any]:
  """Returns what follows from the settings of a run and decides its result: hashes of what it learns from and is judged by."""
  private = {} if config.privacy is None else {'privacy_plan': config.privacy.facts()}
  return {
    'dataset_hash': population.dataset_hash,
    'heldout_hash': population.heldout_hash,
    'evaluation_hash': population.evaluation_hash(config.eval_clients),
    'num_parameters': task.model.num_parameters,
    'pretrained_sha256': start.loaded.content_hash if start else None,
    **private,
  }


def check_privacy(process: tff.learning.templates.LearningProcess, config: Any) -> None:
  """Raises `UsageError` if a run would account for noise that its process does not add, or add noise that it does not account."""
  measured = process.next.type_signature.result.metrics.member
  adds_noise = 'aggregator' in dir(measured) and 'clip' in dir(measured['aggregator'])
  if adds_noise != (config.privacy is not None):
    raise failures.UsageError(
      'the process and the Config of a private run belong together: give privacy=plan.mechanism(...) to the algorithm and '
      'privacy=plan to run.Config'
    )


def undeclared(
  task: task_lib.Task,
  process: tff.learning.templates.LearningProcess,
  population: population_lib.Population,
  config: Any,
) -> dict[str, Any]:
  """Returns what decides the result where settings do not say it.

  Args:
    task: The run's.
    process: Its process.
    population: Its clients.
    config: Its `run.Config`.

  Returns:
    What the configuration decides, a hash of the ids of the clients, and one of what the computations compute.
  """
  clients = [population.training_ids, sorted(population.evaluation.client_ids)]
  return {
    **_declared(config),
    'clients_sha256': hashlib.sha256(json.dumps(clients).encode()).hexdigest(),
    output.COMPUTATIONS: fingerprint.of(computations(task, process)),
  }


def computations(task: task_lib.Task, process: tff.learning.templates.LearningProcess) -> list[tff.Computation]:
  """Returns all that a run computes: how it begins, a round, how it is judged."""
  return [process.initialize, process.next, evaluation.build_evaluation(task)]


def settings(config: Any) -> dict[str, Any]:
  """Returns the settings of a `run.Config`, with what the configuration itself says, by the names of a binary's flags."""
  said = {name: value for name, value in _declared(config).items() if value is not None}
  return {**said, 'rounds': config.rounds, 'output_dir': str(config.output_dir), **config.settings}


def description(task: task_lib.Task, population: population_lib.Population) -> checkpoint.Description | None:
  """Says what the language model of a script is, so that it can be exported; None for other tasks and other clients."""
  if not task.is_language_model or population.database is None:
    return None
  text = federated_text.FederatedText.open(population.database)
  return checkpoint.Description(
    given_objects.recorded_as(given_objects.UNKNOWN), text.vocabulary_size, text.sequence_length, text.tokenizer.model
  )


def _declared(config: Any) -> dict[str, Any]:
  return {name: getattr(config, name) for name in _DEFINING}
