"""The parts of a run under limits: what its clients' rounds cost, and where a planned model starts."""

import dataclasses

from experiments.command import launch
from experiments.federated import run
from experiments.federated import run_flags
from experiments.limits import domains
from experiments.limits import model_family
from experiments.limits import planning
from experiments.starts import pretrained
from models import model as model_lib
from optimizers import algorithms
from optimizers import client_costs
from optimizers import local_batches


def check(communication: algorithms.Communication, pretrained_name: str | None) -> None:
  """Raises `UsageError` for what this binary cannot do: select, and other starts."""
  if communication.selection is not None:
    raise launch.UsageError('--download=select(...) does not apply: limits decide which part a device trains')
  if pretrained_name:
    raise launch.UsageError(
      f'--pretrained={pretrained_name} does not apply: each of its models has a recipe; name a folder of your own '
      "recipes by --model='transformer(recipes=...)'"
    )


def setting(
  work: domains.Work,
  algorithm: algorithms.Algorithm,
  communication: algorithms.Communication,
  batches: local_batches.LocalBatches,
  seed: int,
) -> client_costs.Setting:
  """Returns how clients train; the client with the most examples has to bear the costs."""
  most = max(work.prepared.num_examples('train').values())
  return client_costs.Setting(
    build_task=work.task,
    optimizer=algorithm.client_optimizer,
    upload=communication.upload,
    batch_size=batches.batch_size,
    num_examples=min(most, batches.max_examples) * batches.num_epochs,
    seed=seed,
  )


def start(
  plan: planning.Plan, family: model_family.Family, work: domains.Work, adapted: model_lib.Model
) -> pretrained.Start:
  """Returns the pre-trained weights of the planned model, which is pre-trained now unless it has been.

  Args:
    plan: What was chosen.
    family: From where.
    work: For which data.
    adapted: The model that devices train.

  Returns:
    The start.

  Raises:
    RunEnded: If the pre-training failed.
    UsageError: If it does not fit the data.
  """
  loaded = pretrained.load(family.pretrained(plan.depth))
  return work.start(loaded, plan.model, adapted, run_flags.dataset_text())


def planned(config: run.Config, plan: planning.Plan) -> run.Config:
  """Returns the configuration of a run that is continued by the same plan only."""
  facts = dict(planned_model=plan.model, planned_trainable=plan.trainable, planned_devices=plan.devices)
  return dataclasses.replace(config, facts=facts)
