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
from typing import Any

from data import catalog as data_catalog
from experiments.command import failures
from experiments.command import launch
from experiments.command import spec
from experiments.federated import run_flags
from experiments.federated import run_setup
from experiments.results import markdown_table
from experiments.results import output
from experiments.results import run_files
from experiments.results import terminal
from experiments.stages import downstream
from experiments.stages import stage_plan
from experiments.stages import stage_plot
from experiments.stages import stage_runs
from experiments.stages import subjects
from experiments.starts import pretrained
from optimizers import stages as stages_lib

_IMAGES, _TEXTS = subjects.defaults('digits'), subjects.defaults('docstring_packages')

FLAGS = run_flags.take(
  'layerwise_ssl',
  defaults_for=lambda given: subjects.defaults(given.get('dataset', 'digits')),
  without=dict(
    trainable='--stages says what clients train',
    base='clients keep what --stages freezes',
    devices='--stages says what clients train',
    pretrained='the first stage begins with random weights',
    privacy='each stage would have an epsilon of its own',
    epsilon_budget='no run of it is private',
    secure_sum='the values of each stage have a range of their own',
  ),
  dataset=(
    'digits',
    f'Images: {", ".join(data_catalog.IMAGE_DATASETS)}; or texts: {", ".join(data_catalog.CLASSIFICATION_DATASETS)}; '
    'digits and docstring_packages need no download. Clients do not see the labels.',
  ),
  partition=('iid(clients=10)', 'Who holds which example: iid(clients=...), dirichlet(alpha=..., clients=...).'),
  model=(
    _IMAGES['model'],
    'The encoder: vit, with size="tiny" or "small", or resnet; any dimension as an argument; of texts bert or distilbert, by '
    f'default {_TEXTS["model"]}.',
  ),
  algorithm=(
    _IMAGES['algorithm'],
    f'Who optimizes how, see experiments.language_model; of texts by default {_TEXTS["algorithm"]}.',
  ),
  base=('every_round', None),
  clients_per_round=(_IMAGES['clients_per_round'], 'Clients drawn in each round; 0 for all, the default of texts.'),
  local_epochs=(
    _IMAGES['local_epochs'],
    f'Passes of a client over its own examples in a round; of texts by default {_TEXTS["local_epochs"]}.',
  ),
  batch_size=(64, None),
  eval_clients=(0, None),
  download=('identity', 'How weights are encoded on their way down, as --upload.'),
  rounds=(
    _IMAGES['rounds'],
    f'Federated rounds, which all stages share equally; of texts by default {_TEXTS["rounds"]}.',
  ),
)
FLAGS.string(
  'stages',
  'layerwise',
  'How the encoder grows: layerwise(layers_per_stage=1), progressive(layers_per_stage=1), each with head="per_stage" or '
  '"shared", or end_to_end. layerwise(drop_rate=0.5) leaves frozen blocks out at random, drop_per="step", "client" or '
  '"round".',
)
FLAGS.string(
  'objective',
  _IMAGES['objective'],
  f'What clients learn: {", ".join(subjects.IMAGES.catalogues["objective"])}, for example simclr(temperature=0.2); of texts '
  f'{", ".join(subjects.TEXT.catalogues["objective"])}, by itself.',
)
FLAGS.string(
  'vocabulary',
  None,
  'The text whose sub-words texts are cut into: an argument of --dataset of experiments.language_model, by default '
  f'{_TEXTS["vocabulary"]}.',
)
FLAGS.integer(
  'chunk_size',
  0,
  'Views that an encoder of images sees at once, 0 for all of a batch: less memory, for one more forward pass of what is '
  'trained. The loss still compares all views of the batch.',
  lower_bound=0,
)
FLAGS.integer(
  'probe_examples',
  0,
  'Training examples, as many of each class, whose labels the classifiers at the end may see; 0 for all.',
  lower_bound=0,
)
FLAGS.integer(
  'finetune_steps',
  0,
  'Batches of 64 on which the encoder and a new classifier are trained together at the end; 0 to leave it as it is.',
  lower_bound=0,
)


def main(given: Mapping[str, Any]) -> None:
  """Trains what the flags name, in stages, and probes it."""
  setup = run_setup.read(given)
  setup.refuse_selection('--stages says what clients receive')
  subject, (source, partition) = subjects.of(setup.flags['dataset']), setup.dataset(subjects.DATASETS)
  encoder, objective = (subject.build(flag, setup.flags[flag]) for flag in ('model', 'objective'))
  subject.check(encoder, source)
  _check_chunks(subject, given['chunk_size'])
  stages, keeps_head = _stages(given['stages'], encoder.num_layers)

  examples = subject.prepare(source, partition, given['vocabulary'])
  lesson = subject.lesson(encoder, objective, examples, given['chunk_size'])
  downstream.check(lesson, given['probe_examples'])
  plan, config = stage_plan.build(setup, lesson, stages, keeps_head), setup.config
  stage_plan.check(plan, setup)
  with output.claimed(config.output_dir, config.settings, stage_plan.facts(plan)):
    summary = stage_runs.train(plan)
    stage_plot.plot(config.output_dir / 'metrics.csv', config.output_dir / 'stages.png')
    learned = pretrained.load(stage_runs.folder(config.output_dir, stages[-1].number))
    summary |= downstream.accuracies(
      lesson, learned, config, setup.flags['eval_split'], given['probe_examples'], given['finetune_steps']
    )
    run_files.write_summary(summary, config.output_dir)
    stage_runs.log(config)
  terminal.show(_table(summary))
  print(f'everything is in {config.output_dir}; the picture is {config.output_dir / "stages.png"}')


def _check_chunks(subject: subjects.Subject, chunk_size: int) -> None:
  """Raises `UsageError` for `--chunk_size` where there are no views."""
  if chunk_size and subject is not subjects.IMAGES:
    raise failures.UsageError(f'--chunk_size={chunk_size} is for images: leave it out')


def _stages(text: Any, num_blocks: int) -> tuple[Sequence[stages_lib.TrainingStage], bool]:
  """Returns the stages, and whether they share a head."""
  named = spec.build(text, stages_lib.GROWTHS, 'stages', kind=stages_lib.Growth)
  try:
    stages = named.of(num_blocks)
    stages_lib.check(stages, num_blocks)
  except (TypeError, ValueError) as error:
    raise spec.SpecError(f'stages {text!r}: {error}') from error
  return stages, named.head == 'shared'


def _table(summary: Mapping[str, Any]) -> str:
  lines = [
    ['rounds', f'{summary["rounds"]}'],
    *downstream.rows(summary),
    ['uploaded', f'{summary["upload_bytes_total"] / 1e6:.1f} MB'],
    ['downloaded', f'{summary["download_bytes_total"] / 1e6:.1f} MB'],
  ]
  return markdown_table.render(['', ''], lines)


if __name__ == '__main__':
  launch.launch(main, FLAGS)
