"""The parts of a run under limits: what its clients' rounds cost, and where a planned model starts."""

import dataclasses

from data import federated_text
from data import source as source_lib
from experiments import constrained_plan
from experiments import launch
from experiments import model_family
from experiments import pretrained
from experiments import run
from experiments import run_flags
from models import checkpoint
from models import language_task
from models import model as model_lib
from optimizers import algorithms
from optimizers import client_costs
from optimizers import local_batches


def check(source: source_lib.TextSource, communication: algorithms.Communication, pretrained_name: str | None) -> None:
  """Raises `UsageError` for what this binary cannot do: other tokens than characters, select, and other starts."""
  if source.vocabulary != source_lib.CHARACTERS:
    raise launch.UsageError(
      f'the models of this binary predict characters: write --dataset=\'{source.name}(vocabulary="characters", ...)\''
    )
  if communication.selection is not None:
    raise launch.UsageError('--download=select(...) does not apply: limits decide which part a device trains')
  if pretrained_name:
    raise launch.UsageError(
      f'--pretrained={pretrained_name} does not apply: each of its models has a recipe; name a folder of your own '
      "recipes by --model='transformer(recipes=...)'"
    )


def setting(
  text: federated_text.FederatedText,
  algorithm: algorithms.Algorithm,
  communication: algorithms.Communication,
  batches: local_batches.LocalBatches,
  seed: int,
) -> client_costs.Setting:
  """Returns how clients train; the client with the most examples has to bear the costs."""
  most = max(text.num_examples('train').values())
  return client_costs.Setting(
    build_task=lambda model: language_task.build(model, text.sequence_length),
    optimizer=algorithm.client_optimizer,
    upload=communication.upload,
    batch_size=batches.batch_size,
    num_examples=min(most, batches.max_examples) * batches.num_epochs,
    seed=seed,
  )


def start(
  plan: constrained_plan.Plan,
  family: model_family.Family,
  adapted: model_lib.Model,
  description: checkpoint.Description,
) -> pretrained.Start:
  """Returns the pre-trained weights of the planned model, which is pre-trained now unless it has been.

  Args:
    plan: What was chosen.
    family: From where.
    adapted: The model that devices train.
    description: Of the run.

  Returns:
    The start.

  Raises:
    RunEnded: If the pre-training failed.
    UsageError: If it has other tokens.
  """
  base = family.build(plan.depth, description.vocabulary_size)
  found = pretrained.start(pretrained.load(family.pretrained(plan.depth)), base, adapted, frozenset())
  found.check_vocabulary(description, run_flags.dataset_text())
  return found


def describe(plan: constrained_plan.Plan, text: federated_text.FederatedText) -> checkpoint.Description:
  """Says what the plan makes of the model."""
  described = run_flags.description(text, None)
  return dataclasses.replace(described, model=plan.model, trainable=plan.trainable, devices=plan.devices)


def planned(config: run.Config, plan: constrained_plan.Plan) -> run.Config:
  """Returns the configuration of a run that is continued by the same plan only."""
  facts = dict(planned_model=plan.model, planned_trainable=plan.trainable, planned_devices=plan.devices)
  return dataclasses.replace(config, facts=facts)
