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

from typing import Any

from absl import flags

from data import catalog as data_catalog
from data import partitions
from experiments.command import device_specs
from experiments.command import launch
from experiments.command import spec
from experiments.federated import run
from experiments.federated import run_flags
from experiments.limits import device_groups
from experiments.limits import device_limits
from experiments.limits import methods
from experiments.limits import model_family
from experiments.limits import planned_run
from experiments.limits import planning
from experiments.results import quality
from experiments.results import report
from experiments.results import terminal

flags.adopt_module_key_flags(run_flags)
run_flags.specialize(
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
  pretrained=(None, 'Not for this binary: each of its models has a recipe.'),
  algorithm=('fed_avg(client_lr=0.1)', None),
  rounds=(30, None),
)


def main() -> None:
  """Chooses what the flags allow, trains it and reports."""
  family, method = run_flags.model(model_family.FAMILIES), run_flags.method(methods.METHODS)
  source, partition = _data(family)
  tiers, algorithm, communication = (
    device_limits.build(run_flags.limits()),
    run_flags.algorithm(),
    run_flags.communication(),
  )
  batches, config = run_flags.batches(), run_flags.config()
  client_dropout, client_weighting = run_flags.client_dropout(), run_flags.client_weighting()
  planned_run.check(communication, run_flags.pretrained_name())

  work = family.domain.prepare(source, partition)
  for depth in family.depths:
    work.check_learned(family.source(depth))
  setting = planned_run.setting(work, algorithm, communication, batches, config.seed)
  costs = planning.costs(family, method, tiers, setting, work.build)
  plan = planning.choose(family, method, tiers, costs)
  terminal.show(planning.table(plan))
  devices = device_specs.build(plan.trainable, plan.devices)
  model = run_flags.adapt(devices, work.build(plan.model))
  groups = device_groups.DeviceGroups.of(work, devices)
  population = groups.population(plan.dropped, config.clients_per_round, run_flags.eval_split())
  start = planned_run.start(plan, family, work, model)

  task = work.task(model)
  process = algorithm(task, communication, batches, config.seed, devices, client_dropout, client_weighting)
  description = work.describe(plan.model, plan.trainable, plan.devices)
  summary = run.run(task, process, population, planned_run.planned(config, plan), start, description)

  accuracy = report.Measure(quality.ACCURACY, judges=quality.JUDGES[run_flags.eval_split()])
  report.plot(config.output_dir / 'metrics.csv', config.output_dir / 'accuracy.png', accuracy)
  by_group = 'No accuracy by device: the run diverged.'
  if summary['diverged_round'] is None:
    by_group = groups.table(task, start.of(model, config.seed), config.output_dir, config.seed)
  (config.output_dir / 'plan.md').write_text(f'{planning.table(plan)}\n\n{by_group}\n')
  terminal.show(
    report.table(summary, [accuracy, report.Measure(quality.LOSS, judges=quality.JUDGES[run_flags.eval_split()])])
  )
  terminal.show(by_group)
  print(f'everything is in {config.output_dir}; the picture is {config.output_dir / "accuracy.png"}')


def _data(family: model_family.Family) -> tuple[Any, partitions.Partition]:
  """Builds what `--dataset` and `--partition` name, found to fit the models."""
  try:
    source, partition = run_flags.dataset(family.domain.datasets)
  except spec.SpecError as error:
    raise launch.UsageError(f'{error}; for these models write for example {family.domain.example}') from error
  family.check(source)
  return source, partition


if __name__ == '__main__':
  launch.launch(main)
