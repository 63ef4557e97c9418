"""Fine-tunes a tiny pre-trained Transformer, of text or images, on devices that limit memory, upload and computation.

Question: what do devices gain by training the last layers only, against LoRA, thinner models, smaller ones and fewer devices?

    python -m experiments.constrained_finetuning --output_dir=runs/constrained
    python -m experiments.constrained_finetuning --trainable='lora(drop=True)' \\
      --devices='tiers(shares=[0.3, 0.4, 0.3], memory_mb=[30, 60, 100], upload_mb=[1, 2, 4])' --output_dir=runs/constrained_lora
    python -m experiments.constrained_finetuning --flagfile=experiments/flagfiles/constrained_images.flags \\
      --output_dir=runs/constrained_images

Of the models that --model names, the one is chosen that lets devices train the most layers on average, and each device
the most of it that its limits allow; both are printed first. Models are pre-trained when they are chosen first, and kept.
The run leaves metrics.csv, summary.json, plan.md, accuracy.png, TensorBoard events and checkpoints in --output_dir; the
same command continues it if it was interrupted.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from data import catalog as data_catalog
from data import partitions
from experiments.command import failures
from experiments.command import launch
from experiments.command import spec
from experiments.command import takers
from experiments.federated import run
from experiments.federated import run_flags
from experiments.federated import run_setup
from experiments.limits import device_groups
from experiments.limits import device_limits
from experiments.limits import methods
from experiments.limits import model_family
from experiments.limits import planned_run
from experiments.limits import planning
from experiments.results import quality
from experiments.results import report
from experiments.results import terminal
from optimizers import devices

FLAGS = run_flags.take(
  'constrained_finetuning',
  without=dict(
    pretrained='each of its models has a recipe; name a folder of your own recipes by '
    "--model='transformer(recipes=...)'",
  ),
  dataset=(
    'docstrings(vocabulary="characters", sequence_length=80)',
    'Federated text, as for experiments.language_model, with vocabulary="characters": shakespeare, leaf(path=...), '
    'text(path=...), or docstrings, which needs no download. For vit and resnet images, of other classes than it is '
    f'pre-trained on: {", ".join(data_catalog.IMAGE_DATASETS)}; digits needs no download.',
  ),
  model=(
    'transformer',
    'Among which models is chosen: transformer(depths=[3, 6, 9, 12]), vit(depths=[3, 6, 9, 12]) or resnet(depths=[3, 6, 9]), '
    'which takes caff and full only; dataset="..." for other data to pre-train on, recipes=... for a folder of your own, '
    'such as experiments/flagfiles/tiny_transformers.',
  ),
  trainable=(
    'caff',
    f'What devices train within their limits: {", ".join(methods.METHODS)}; for example lora(drop=True), which '
    'leaves out devices that cannot bear the smallest.',
  ),
  download=('identity', 'How weights are encoded on their way down, as --upload.'),
  devices=(
    'tiers(shares=[0.3, 0.4, 0.3], memory_mb=[30, 45, 60])',
    'The kinds of devices: tiers(shares=[...], ...) with the fraction of clients in each and its limits: memory_mb at the '
    'peak of a local step, upload_mb and gflops of a round of the client with the most examples.',
  ),
  algorithm=('fed_avg(client_lr=0.1)', None),
  rounds=(30, None),
)


def main(given: Mapping[str, Any]) -> None:
  """Chooses what the flags allow, trains it and reports."""
  setup = run_setup.read(given, devices=devices.ALIKE)
  setup.refuse_selection('limits decide which part a device trains')
  family = takers.build_model(given['model'], model_family.FAMILIES, model_family.ModelFamily)
  method = methods.build(given['trainable'])
  tiers = device_limits.build(given['devices'])
  _refuse_hidden_upload(setup, tiers)
  source, partition = _data(setup, family)

  work = family.domain.prepare(source, partition)
  for depth in family.depths:
    work.check_learned(family.source(depth))
  costs = planning.costs(family, method, tiers, planned_run.workload(work, setup), work.build)
  plan = planning.choose(family, method, tiers, costs)
  terminal.show(planning.table(plan))
  setup = planned_run.planned(setup, plan)
  model = setup.adapt(work.build(plan.model))
  groups = device_groups.DeviceGroups.of(work, setup.devices)
  population = groups.population(plan.dropped, setup.config.clients_per_round, setup.flags['eval_split'])
  setup = setup.among(population)
  start = planned_run.start(plan, family, work, model, setup.config.settings['dataset'])

  task = work.task(model)
  description = work.describe(plan.model, plan.trainable, plan.devices)
  summary = run.run(task, setup.process(task), population, setup.config, start, description)

  by_group = 'No accuracy by device: the run diverged.'
  if summary['diverged_round'] is None:
    by_group = groups.table(task, start.of(model, setup.config.seed), setup.config.output_dir, setup.config.seed)
  (setup.config.output_dir / 'plan.md').write_text(f'{planning.table(plan)}\n\n{by_group}\n')
  terminal.show(by_group)
  report.conclude(summary, setup.config.output_dir, setup.measure(quality.ACCURACY), setup.measure(quality.LOSS))


def _refuse_hidden_upload(setup: run_setup.RunSetup, tiers: Sequence[device_limits.Tier]) -> None:
  """Raises `UsageError` for limits on an upload that does not depend on the device."""
  if setup.secure_sum is not None and any('upload_mb' in tier.limits for tier in tiers):
    raise failures.UsageError(
      'under --secure_sum every client sends what any other may, and keys: leave upload_mb out of --devices'
    )


def _data(setup: run_setup.RunSetup, family: model_family.ModelFamily) -> tuple[Any, partitions.Partition]:
  """Builds what `--dataset` and `--partition` name, found to fit the models."""
  try:
    source, partition = setup.dataset(family.domain.datasets)
  except spec.SpecError as error:
    raise failures.UsageError(f'{error}; for these models write for example {family.domain.example}') from error
  family.check(source)
  return source, partition


if __name__ == '__main__':
  launch.launch(main, FLAGS)
