"""Trains an encoder of images on clients without labels, block by block, and finds out what its features are worth.

Question: what do clients save if each stage trains one block on top of frozen ones, and what does that cost in accuracy?

    python -m experiments.layerwise_ssl --output_dir=runs/layerwise
    python -m experiments.layerwise_ssl --stages=end_to_end --output_dir=runs/end_to_end

The stages share --rounds equally. Clients keep what is frozen, and receive and send the newest block and the head only.
At the end a linear classifier is trained on the features, in one place, with all labels. The training leaves metrics.csv
of all stages, summary.json and a folder for each stage in --output_dir; the same command continues it if it was
interrupted.
"""

from collections.abc import Mapping
import dataclasses
from typing import Any

from absl import flags
import tensorflow_federated as tff

from data import catalog as data_catalog
from data import labelled_images
from data import prepare_images
from data import progress
from experiments import launch
from experiments import linear_probe
from experiments import markdown_table
from experiments import output
from experiments import population as population_lib
from experiments import pretrained
from experiments import run
from experiments import run_flags
from experiments import spec
from experiments import stage_runs
from experiments import stages as stages_lib
from models import catalog as models_catalog
from models import checkpoint
from models import image_encoder
from models import self_supervised_task
from models import task as task_lib
from optimizers import devices

flags.adopt_module_key_flags(run_flags)
run_flags.specialize(
  dataset=(
    'digits',
    f'Images: {", ".join(data_catalog.IMAGE_DATASETS)}; digits needs no download. Clients do not see the labels.',
  ),
  partition=('iid(clients=10)', 'Who holds which image: iid(clients=...), dirichlet(alpha=..., clients=...).'),
  model=(
    'vit(width=64, mlp_width=256, num_layers=6, num_heads=4, patch_size=2)',
    'The encoder: vit, with size="tiny" or "small", or resnet; any dimension as an argument.',
  ),
  algorithm=('fed_avg(client_lr=0.3)', None),
  clients_per_round=(0, None),
  batch_size=(64, None),
  eval_clients=(0, None),
  trainable=('all', 'Not for this binary: --stages says what clients train.'),
  devices=('alike', 'Not for this binary.'),
  pretrained=(None, 'Not for this binary.'),
  rounds=(60, 'Federated rounds, which all stages share equally.'),
)
_STAGES = flags.DEFINE_string(
  'stages',
  'layerwise',
  'How the encoder grows: layerwise(layers_per_stage=1), progressive(layers_per_stage=1), each with head="per_stage" or '
  '"shared", or end_to_end.',
)
_OBJECTIVE = flags.DEFINE_string(
  'objective',
  'simclr',
  f'What clients learn: {", ".join(models_catalog.OBJECTIVES)}; for example simclr(temperature=0.2).',
)

_NOT_HERE = dict(trainable='all', devices='alike', pretrained=None)  # Flags, and what they are when nobody gives them.


def main() -> None:
  """Trains what the flags name, in stages, and probes it."""
  source, partition = run_flags.dataset(data_catalog.IMAGE_DATASETS)
  _check_flags()
  encoder, objective = run_flags.model(models_catalog.VISION_MODELS), _objective()
  stages, keeps_head = _stages(encoder)
  config = dataclasses.replace(run_flags.config(), settings=run_flags.settings() | _settings())

  images = prepare_images.prepare(source, partition)
  plan = _plan(encoder, objective, stages, keeps_head, images, config)
  facts = _check(plan, images)
  with output.claimed(config.output_dir, config.settings, facts):
    summary = stage_runs.train(plan)
    last = stage_runs.folder(config.output_dir, stages[-1].number)
    summary |= _probe(encoder, pretrained.load(last), plan, images)
    output.write_json(config.output_dir / 'summary.json', summary)
  print(_table(summary))
  print(f'everything is in {config.output_dir}')


def _check(plan: stage_runs.Plan, images: labelled_images.LabelledImages) -> dict[str, Any]:
  """Returns what decides the result besides the flags; raises `UsageError` for a plan that could not be followed."""
  config, num_stages, num_clients = plan.config, len(plan.stages), len(plan.population.training_ids)
  if config.rounds % num_stages:
    raise launch.UsageError(f'--rounds={config.rounds} must be a multiple of the {num_stages} stages')
  if config.clients_per_round > num_clients:
    raise launch.UsageError(f'--clients_per_round={config.clients_per_round}, but only {num_clients} clients train')
  if images.num_classes < 2:
    raise launch.UsageError('a linear classifier needs images of two classes at least: choose more in --dataset')
  try:
    stage_runs.check_head(plan)
    model = plan.build_task(plan.stages[-1].num_blocks).model
    for stage in plan.stages:
      run_flags.algorithm().check(
        plan.build_task(stage.num_blocks).model, run_flags.communication(), devices.Devices((stage.policy,))
      )
  except ValueError as error:
    raise launch.UsageError(f'these flags do not fit each other: {error}') from error
  return dict(
    dataset_hash=images.dataset_hash,
    heldout_hash=images.heldout_hash,
    num_parameters=model.num_parameters,
    rounds_of_all_stages=config.rounds,
  )


def _check_flags() -> None:
  """Raises `UsageError` for flags of other binaries that have no meaning here."""
  given = run_flags.settings()
  if run_flags.communication().selection is not None:
    raise launch.UsageError('--download=select(...) does not apply: --stages says what clients receive')
  for name, default in _NOT_HERE.items():
    if given[name] != default:
      raise launch.UsageError(f'--{name}={given[name]} does not apply: --stages says what clients train')


def _objective() -> self_supervised_task.Objective:
  return spec.build(_OBJECTIVE.value, models_catalog.OBJECTIVES, 'objective')


def _stages(encoder: image_encoder.ImageEncoder) -> tuple[tuple[stages_lib.Stage, ...], bool]:
  """Returns the stages, and whether they share a head."""
  named = spec.build(_STAGES.value, stages_lib.STAGES, 'stages')
  try:
    return named.of(encoder.num_layers), named.head == 'shared'
  except ValueError as error:
    raise spec.SpecError(f'stages {_STAGES.value!r}: {error}') from error


def _settings() -> dict[str, Any]:
  return {flag.name: flag.value for flag in (_STAGES, _OBJECTIVE)}


def _plan(
  encoder: image_encoder.ImageEncoder,
  objective: self_supervised_task.Objective,
  stages: tuple[stages_lib.Stage, ...],
  keeps_head: bool,
  images: labelled_images.LabelledImages,
  config: run.Config,
) -> stage_runs.Plan:
  algorithm, communication, batches = run_flags.algorithm(), run_flags.communication(), run_flags.batches()
  client_dropout, client_weighting = run_flags.client_dropout(), run_flags.client_weighting()

  def of_depth(num_blocks: int) -> image_encoder.ImageEncoder:
    return dataclasses.replace(encoder, num_layers=num_blocks)

  def describe(num_blocks: int) -> checkpoint.Description:
    return checkpoint.of_images(of_depth(num_blocks).spec, images.image_shape, ())

  def build_process(task: task_lib.Task, stage: stages_lib.Stage, seed: int) -> tff.learning.templates.LearningProcess:
    who = devices.Devices((stage.policy,))
    return algorithm(task, communication, batches, seed, who, client_dropout, client_weighting)

  return stage_runs.Plan(
    stages=stages,
    keeps_head=keeps_head,
    build_task=lambda num_blocks: self_supervised_task.build(objective, of_depth(num_blocks), images.image_shape),
    build_process=build_process,
    describe=describe,
    download=communication.download,
    population=population_lib.Population.of(images),
    config=config,
  )


def _probe(
  encoder: image_encoder.ImageEncoder,
  learned: checkpoint.Checkpoint,
  plan: stage_runs.Plan,
  images: labelled_images.LabelledImages,
) -> dict[str, float]:
  """Returns what a linear classifier makes of the features that were learned, and of those of a random encoder."""
  model = plan.build_task(encoder.num_layers).model
  random = model.by_name([weight.numpy() for weight in model.initial_weights(plan.config.seed)])
  with progress.bar('linear probe', 2, 'encoder') as report:
    accuracies = {}
    for name, weights in (('probe/accuracy', learned.weights), ('probe/accuracy_random', random)):
      accuracies[name] = linear_probe.accuracy(encoder, weights, images)
      report(1)
  return accuracies


def _table(summary: Mapping[str, Any]) -> str:
  lines = [
    ['rounds', f'{summary["rounds"]}'],
    ['accuracy of a linear classifier on the features', f'{summary["probe/accuracy"]:.3f}'],
    ['the same of a random encoder', f'{summary["probe/accuracy_random"]:.3f}'],
    ['uploaded', f'{summary["upload_bytes_total"] / 1e6:.1f} MB'],
    ['downloaded', f'{summary["download_bytes_total"] / 1e6:.1f} MB'],
  ]
  return markdown_table.render(['', ''], lines)


if __name__ == '__main__':
  launch.launch(main)
