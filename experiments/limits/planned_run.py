"""The parts of a run under limits: what its clients' rounds cost, and where a planned model starts."""

import dataclasses

from experiments.command import device_specs
from experiments.federated import run_setup
from experiments.limits import domains
from experiments.limits import model_family
from experiments.limits import planning
from experiments.starts import pretrained
from models import model as model_lib
from optimizers import client_costs


def workload(work: domains.Work, setup: run_setup.RunSetup) -> client_costs.ClientWorkload:
  """Returns how clients train; the client with the most examples has to bear the costs."""
  most, batches = max(work.prepared.num_examples('train').values()), setup.batches
  return client_costs.ClientWorkload(
    build_task=work.task,
    optimizer=setup.algorithm.client_optimizer,
    upload=setup.communication.upload,
    batch_size=batches.batch_size,
    num_examples=min(most, batches.max_examples) * batches.num_epochs,
    seed=setup.config.seed,
  )


def start(
  plan: planning.DevicePlan,
  family: model_family.ModelFamily,
  work: domains.Work,
  adapted: model_lib.Model,
  dataset: str,
) -> pretrained.WarmStart:
  """Returns the pre-trained weights of the planned model, which is pre-trained now unless it has been.

  Args:
    plan: What was chosen.
    family: From where.
    work: For which data.
    adapted: The model that devices train.
    dataset: What the data is called in messages.

  Returns:
    The start.

  Raises:
    RunEnded: If the pre-training failed.
    UsageError: If it does not fit the data.
  """
  loaded = pretrained.load(family.pretrained(plan.depth))
  return work.start(loaded, plan.model, adapted, dataset)


def planned(setup: run_setup.RunSetup, plan: planning.DevicePlan) -> run_setup.RunSetup:
  """Returns the set-up in which devices train what is planned for them; the run is continued by the same plan only."""
  facts = dict(planned_model=plan.model, planned_trainable=plan.trainable, planned_devices=plan.devices)
  config = dataclasses.replace(setup.config, facts=setup.config.facts | facts)
  devices = device_specs.build(plan.trainable, plan.devices)
  return dataclasses.replace(setup, devices=devices, config=config)
