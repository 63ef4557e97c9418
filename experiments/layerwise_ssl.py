"""Trains an encoder of images or texts on clients without labels, block by block, and finds out what its features are worth.

Question: what do clients save if each stage trains one block on top of frozen ones, and what does that cost in accuracy?

    python -m experiments.layerwise_ssl --output_dir=runs/layerwise
    python -m experiments.layerwise_ssl --stages=end_to_end --output_dir=runs/end_to_end
    python -m experiments.layerwise_ssl --dataset=docstring_packages --output_dir=runs/layerwise_text
    python -m experiments.text_classification --pretrained=runs/layerwise_text/stage_04 --output_dir=runs/classified

The stages share --rounds equally. Clients keep what is frozen, and receive and send the newest block and the head only.
At the end a linear classifier is trained on the features, in one place, with the labels of --probe_examples, and then,
for --finetune_steps, the encoder with it. The training leaves metrics.csv of all stages, stages.png, summary.json and a
folder for each stage in --output_dir; the same command continues it if it was interrupted. Encoders of images (vit,
resnet) learn from two views of each, encoders of text (bert, distilbert) from tokens that are hidden at random.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import Any

from absl import flags
import tensorflow_federated as tff

from data import catalog as data_catalog
from data import population as population_lib
from data import prepared_examples
from experiments.command import launch
from experiments.command import spec
from experiments.federated import run
from experiments.federated import run_flags
from experiments.results import markdown_table
from experiments.results import output
from experiments.results import run_files
from experiments.results import terminal
from experiments.stages import downstream
from experiments.stages import lessons
from experiments.stages import stage_plot
from experiments.stages import stage_runs
from experiments.starts import pretrained
from models import task as task_lib
from optimizers import devices
from optimizers import stages as stages_lib

_IMAGES, _TEXT = lessons.IMAGES, lessons.TEXT

flags.adopt_module_key_flags(run_flags)
run_flags.specialize(
  dataset=(
    'digits',
    f'Images: {", ".join(data_catalog.IMAGE_DATASETS)}; or texts: {", ".join(data_catalog.CLASSIFICATION_DATASETS)}; '
    'digits and docstring_packages need no download. Clients do not see the labels.',
  ),
  partition=('iid(clients=10)', 'Who holds which example: iid(clients=...), dirichlet(alpha=..., clients=...).'),
  model=(
    _IMAGES.defaults['model'],
    'The encoder: vit, with size="tiny" or "small", or resnet; any dimension as an argument; of texts bert or distilbert, by '
    f'default {_TEXT.defaults["model"]}.',
  ),
  algorithm=(
    _IMAGES.defaults['algorithm'],
    f'Who optimizes how, see experiments.language_model; of texts by default {_TEXT.defaults["algorithm"]}.',
  ),
  clients_per_round=(_IMAGES.defaults['clients_per_round'], None),
  local_epochs=(_IMAGES.defaults['local_epochs'], None),
  batch_size=(64, None),
  eval_clients=(0, None),
  download=('identity', 'How weights are encoded on their way down, as --upload.'),
  trainable=('all', 'Not for this binary: --stages says what clients train.'),
  devices=('alike', 'Not for this binary.'),
  pretrained=(None, 'Not for this binary.'),
  rounds=(
    _IMAGES.defaults['rounds'],
    f'Federated rounds, which all stages share equally; of texts by default {_TEXT.defaults["rounds"]}, of all clients, '
    'with one local epoch.',
  ),
)
_STAGES = flags.DEFINE_string(
  'stages',
  'layerwise',
  'How the encoder grows: layerwise(layers_per_stage=1), progressive(layers_per_stage=1), each with head="per_stage" or '
  '"shared", or end_to_end. layerwise(drop_rate=0.5) leaves frozen blocks out at random, drop_per="step", "client" or '
  '"round".',
)
_OBJECTIVE = flags.DEFINE_string(
  'objective',
  _IMAGES.defaults['objective'],
  f'What clients learn: {", ".join(_IMAGES.catalogues["objective"])}, for example simclr(temperature=0.2); of texts '
  f'{", ".join(_TEXT.catalogues["objective"])}, by itself.',
)
_VOCABULARY = flags.DEFINE_string(
  'vocabulary',
  None,
  'The text whose sub-words texts are cut into: an argument of --dataset of experiments.language_model, by default '
  f'{_TEXT.defaults["vocabulary"]}.',
)
_CHUNK_SIZE = flags.DEFINE_integer(
  'chunk_size',
  0,
  'Views that an encoder of images sees at once, 0 for all of a batch: less memory, for one more forward pass of what is '
  'trained. The loss still compares all views of the batch.',
  lower_bound=0,
)
_PROBE_EXAMPLES = flags.DEFINE_integer(
  'probe_examples',
  0,
  'Training examples, as many of each class, whose labels the classifiers at the end may see; 0 for all.',
  lower_bound=0,
)
_FINETUNE_STEPS = flags.DEFINE_integer(
  'finetune_steps',
  0,
  'Batches of 64 on which the encoder and a new classifier are trained together at the end; 0 to leave it as it is.',
  lower_bound=0,
)

_NOT_HERE = dict(trainable='all', devices='alike', pretrained=None)  # Flags, and what they are when nobody gives them.


def main() -> None:
  """Trains what the flags name, in stages, and probes it."""
  source, partition = run_flags.dataset(lessons.DATASETS)
  _check_flags()
  domain = lessons.of(flags.FLAGS.dataset)
  run_flags.specialize(**{name: (value, None) for name, value in domain.defaults.items()})
  encoder, objective = (domain.build(flag, flags.FLAGS[flag].value) for flag in ('model', 'objective'))
  domain.check(encoder, source)
  if _CHUNK_SIZE.value and domain is not _IMAGES:
    raise launch.UsageError(f'--chunk_size={_CHUNK_SIZE.value} is for images: leave it out')
  stages, keeps_head = _stages(encoder.num_layers)
  config = dataclasses.replace(run_flags.config(), settings=run_flags.settings() | _settings())

  examples = domain.prepare(source, partition, _VOCABULARY.value)
  lesson = domain.lesson(encoder, objective, examples, _CHUNK_SIZE.value)
  plan = _plan(lesson, stages, keeps_head, config)
  downstream.check(lesson, _PROBE_EXAMPLES.value)
  facts = _check(plan, examples)
  with output.claimed(config.output_dir, config.settings, facts):
    summary = stage_runs.train(plan)
    stage_plot.plot(config.output_dir / 'metrics.csv', config.output_dir / 'stages.png')
    learned = pretrained.load(stage_runs.folder(config.output_dir, stages[-1].number))
    summary |= downstream.accuracies(
      lesson, learned, config, run_flags.eval_split(), _PROBE_EXAMPLES.value, _FINETUNE_STEPS.value
    )
    run_files.write_summary(summary, config.output_dir)
  terminal.show(_table(summary))
  print(f'everything is in {config.output_dir}; the picture is {config.output_dir / "stages.png"}')


def defaults_for(given: Mapping[str, str]) -> Mapping[str, Any]:
  """Returns the values of flags that nobody gives, where they depend on those that are given, as texts by name."""
  return lessons.of(given.get('dataset', flags.FLAGS['dataset'].default)).defaults


def _check(plan: stage_runs.Plan, examples: prepared_examples.PreparedExamples) -> dict[str, Any]:
  """Returns what decides the result besides the flags; raises `UsageError` for a plan that could not be followed."""
  config, num_stages = plan.config, len(plan.stages)
  if config.rounds % num_stages:
    raise launch.UsageError(f'--rounds={config.rounds} must be a multiple of the {num_stages} stages')
  plan.population.clients_per_round(config.clients_per_round)
  if examples.num_classes < 2:
    raise launch.UsageError('a linear classifier needs examples of two classes at least: choose more in --dataset')
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
    dataset_hash=examples.dataset_hash,
    heldout_hash=plan.population.heldout_hash,
    evaluation_hash=plan.population.evaluation_hash(config.eval_clients),
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


def _stages(num_blocks: int) -> tuple[Sequence[stages_lib.Stage], bool]:
  """Returns the stages, and whether they share a head."""
  named = spec.build(_STAGES.value, stages_lib.STAGES, 'stages')
  try:
    return named.of(num_blocks), named.head == 'shared'
  except ValueError as error:
    raise spec.SpecError(f'stages {_STAGES.value!r}: {error}') from error


def _settings() -> dict[str, Any]:
  return {
    flag.name: flag.value for flag in (_STAGES, _OBJECTIVE, _VOCABULARY, _CHUNK_SIZE, _PROBE_EXAMPLES, _FINETUNE_STEPS)
  }


def _plan(
  lesson: lessons.Lesson, stages: Sequence[stages_lib.Stage], keeps_head: bool, config: run.Config
) -> stage_runs.Plan:
  algorithm, communication, batches = run_flags.algorithm(), run_flags.communication(), run_flags.batches()
  client_dropout, client_weighting = run_flags.client_dropout(), run_flags.client_weighting()

  def build_process(task: task_lib.Task, stage: stages_lib.Stage, seed: int) -> tff.learning.templates.LearningProcess:
    who = devices.Devices((stage.policy,))
    return algorithm(task, communication, batches, seed, who, client_dropout, client_weighting)

  return stage_runs.Plan(
    stages=stages,
    keeps_head=keeps_head,
    build_task=lesson.build_task,
    build_process=build_process,
    describe=lesson.describe,
    download=communication.download,
    population=population_lib.Population.of(lesson.examples, run_flags.eval_split()),
    config=config,
  )


def _table(summary: Mapping[str, Any]) -> str:
  lines = [
    ['rounds', f'{summary["rounds"]}'],
    *downstream.rows(summary),
    ['uploaded', f'{summary["upload_bytes_total"] / 1e6:.1f} MB'],
    ['downloaded', f'{summary["download_bytes_total"] / 1e6:.1f} MB'],
  ]
  return markdown_table.render(['', ''], lines)


if __name__ == '__main__':
  launch.launch(main)
