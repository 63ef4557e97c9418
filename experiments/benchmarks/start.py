"""What a run in process consists of until its second round ends: the way of `experiments.language_model`, part by part."""

import itertools
import time

import psutil
import tensorflow_federated as tff

from data import catalog
from data import partitions
from data import population as population_lib
from data import prepare
from experiments.command import algorithm_specs
from experiments.command import takers
from experiments.workers import in_process
from models import language_task
from models import task as task_lib
from models import transformer
from optimizers import algorithms
from optimizers import evaluation
from optimizers import local_batches

_CLIENTS, _EVAL_CLIENTS, _BATCH_SIZE = 20, 100, 16  # As flags have them by default.


def print_parts(dataset: str) -> None:
  """Prints the seconds of each part; call it in a process that has only imported.

  Args:
    dataset: The spec of a text, which is prepared.
  """
  laps = [('start', psutil.Process().create_time())]

  def lap(name: str) -> None:
    laps.append((name, time.time()))

  in_process.share_operations()
  lap('imports')
  text = prepare.prepare(takers.build_dataset(dataset, catalog.DATASETS), partitions.natural())
  population = population_lib.Population.of(text)
  lap('open data')
  task = language_task.build(transformer.transformer(size='tiny')(text.vocabulary_size), text.sequence_length)
  process, evaluate = _traced(task, population)
  lap('trace')
  with in_process.in_process() as context:
    for computation in (process.next, evaluate):
      context.check(computation)
    lap('split and load')
    state = process.initialize()
    lap('initialize')
    evaluate(state.global_model_weights.trainable, population.evaluation_ids(_EVAL_CLIENTS))
    lap('first evaluation')
    draw = tff.simulation.build_uniform_sampling_fn(population.training_ids, random_seed=0)
    for number, name in enumerate(('first round', 'second round'), 1):
      state = process.next(state, draw(number, population.clients_per_round(_CLIENTS))).state
      lap(name)
  seconds = [f'{name} {until - since:.2f} s' for (_, since), (name, until) in itertools.pairwise(laps)]
  print(f'tiny Transformer, in_process: {", ".join(seconds)}', flush=True)


def _traced(
  task: task_lib.Task, population: population_lib.Population
) -> tuple[tff.learning.templates.LearningProcess, tff.Computation]:
  """Returns the process and the evaluation of a run on client ids."""
  process = algorithm_specs.build('fed_adam')(
    task, algorithms.Communication(), local_batches.LocalBatches(_BATCH_SIZE), 0
  )
  return (
    tff.simulation.compose_dataset_computation_with_learning_process(population.train.dataset_computation, process),
    tff.simulation.compose_dataset_computation_with_computation(
      population.evaluation.dataset_computation, evaluation.build_evaluation(task)
    ),
  )
