"""What a training in stages consists of, found to fit together before it begins."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

import tensorflow_federated as tff

from compression import update_codec
from data import population as population_lib
from experiments.command import failures
from experiments.federated import fingerprint
from experiments.federated import run
from experiments.federated import run_identity
from experiments.federated import run_setup
from experiments.results import output
from experiments.stages import lessons
from models import checkpoint
from models import task as task_lib
from optimizers import devices
from optimizers import stages as stages_lib


@dataclasses.dataclass(frozen=True)
class StagePlan:
  """What a training consists of.

  Attributes:
    stages: The stages.
    keeps_head: Whether a stage goes on with the head of the last.
    build_task: From the number of blocks to the task.
    build_process: From a task, a stage and a seed to the learning process.
    describe: From the number of blocks to the description that is saved with the model.
    download: Encodes what is frozen on its way to the clients.
    population: The clients.
    config: That of the training; its rounds are those of all stages, which share them equally.
  """

  stages: Sequence[stages_lib.TrainingStage]
  keeps_head: bool
  build_task: Callable[[int], task_lib.Task]
  build_process: Callable[[task_lib.Task, stages_lib.TrainingStage, int], tff.learning.templates.LearningProcess]
  describe: Callable[[int], checkpoint.Description]
  download: update_codec.UpdateCodec
  population: population_lib.Population
  config: run.Config


def build(
  setup: run_setup.RunSetup, lesson: lessons.Lesson, stages: Sequence[stages_lib.TrainingStage], keeps_head: bool
) -> StagePlan:
  """Returns the plan of what a set-up says of each stage."""

  def build_process(
    task: task_lib.Task, stage: stages_lib.TrainingStage, seed: int
  ) -> tff.learning.templates.LearningProcess:
    return _of_stage(setup, stage).process(task, seed)

  return StagePlan(
    stages=stages,
    keeps_head=keeps_head,
    build_task=lesson.build_task,
    build_process=build_process,
    describe=lesson.describe,
    download=setup.communication.download,
    population=setup.population(lesson.examples),
    config=setup.config,
  )


def check(plan: StagePlan, setup: run_setup.RunSetup) -> None:
  """Raises `UsageError` for a plan that could not be followed to its end."""
  config, num_stages = plan.config, len(plan.stages)
  if config.rounds % num_stages:
    raise failures.UsageError(f'--rounds={config.rounds} must be a multiple of the {num_stages} stages')
  plan.population.clients_per_round(config.clients_per_round)
  try:
    _check_head(plan)
    for stage in plan.stages:
      _of_stage(setup, stage).check(plan.build_task(stage.num_blocks).model)
  except ValueError as error:
    raise failures.UsageError(f'these flags do not fit each other: {error}') from error


def facts(plan: StagePlan) -> dict[str, Any]:
  """Returns what decides the result besides the flags."""
  computations = {} if plan.config.settings_are_complete else {output.COMPUTATIONS: _fingerprint(plan)}
  return dict(
    computations,
    dataset_hash=plan.population.dataset_hash,
    heldout_hash=plan.population.heldout_hash,
    evaluation_hash=plan.population.evaluation_hash(plan.config.eval_clients),
    num_parameters=plan.build_task(plan.stages[-1].num_blocks).model.num_parameters,
    rounds_of_all_stages=plan.config.rounds,
  )


def _fingerprint(plan: StagePlan) -> str:
  """Returns a hash of what the computations of all stages compute."""
  tasks = [plan.build_task(stage.num_blocks) for stage in plan.stages]
  found = []
  for task, stage in zip(tasks, plan.stages, strict=True):
    found += run_identity.computations(task, plan.build_process(task, stage, plan.config.seed))
  return fingerprint.of(found)


def _of_stage(setup: run_setup.RunSetup, stage: stages_lib.TrainingStage) -> run_setup.RunSetup:
  return setup.trained_by(devices.Devices((stage.policy,)))


def _check_head(plan: StagePlan) -> None:
  """Raises `ValueError` if stages share a head that does not fit all of them, as where features grow with the depth."""
  if not plan.keeps_head:
    return
  first, *others = (
    {variable.name: variable.shape for variable in plan.build_task(stage.num_blocks).model.variables}
    for stage in plan.stages
  )
  for stage, shapes in zip(plan.stages[1:], others, strict=True):
    for name, shape in first.items():
      if name.startswith('head/') and shapes[name] != shape:
        raise ValueError(
          f'{name} has shape {list(shape)} in stage 1, but {list(shapes[name])} in stage {stage.number}, so the stages '
          'cannot share a head: write head="per_stage"'
        )
