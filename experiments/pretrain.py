"""Trains a language model, an encoder or a model of images in one place, so that a federated training can start from it.

Question: which perplexity on federated clients does a model reach that has never seen one?

    python -m experiments.pretrain --model='transformer(size="small")' --output_dir=runs/pretrained
    python -m experiments.language_model --model='transformer(size="small")' --pretrained=runs/pretrained \\
      --output_dir=runs/warm

    python -m experiments.pretrain --model='bert(size="tiny")' --output_dir=runs/bert
    python -m experiments.pretrain --model='distilbert(size="tiny")' --teacher=runs/bert \\
      --output_dir=runs/distilbert
    python -m experiments.text_classification --model=distilbert --pretrained=runs/distilbert --output_dir=runs/classified

Learns from the pre-training text of --dataset, or from --corpus, in the sub-words of --dataset: name the same --dataset
as the federated run. An encoder (bert, albert, distilbert) learns to predict tokens that are hidden at random, 15 % of
them, and its perplexity is that of hidden tokens. Its examples are neighbouring sentences, as many as there is room for
in those of --dataset='docstrings(sequence_length=64)'; held-out sentences stand alone. A vit or resnet learns the classes
of images, such as --dataset='digits(classes=[0, 1, 2, 3, 4])', for a fine-tuning on others.
Leaves the model, metrics.csv, summary.json and a checkpoint in --output_dir; the same command continues a training that
was interrupted.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any
from typing import NamedTuple

from absl import flags

from data import catalog as data_catalog
from data import partitions
from data import prepare
from data import prepare_images
from experiments.central import image_examples
from experiments.central import task as pretraining_task
from experiments.central import text_examples
from experiments.central import training
from experiments.command import command_line
from experiments.command import failures
from experiments.command import launch
from experiments.command import spec
from experiments.command import takers
from experiments.loggers import catalog as logger_catalog
from experiments.results import quality
from experiments.starts import recipe
from experiments.starts import saved_encoder
from models import catalog as models_catalog
from models import checkpoint
from models import image_task
from models import task as task_lib

_DATASET = flags.DEFINE_string(
  'dataset',
  'docstrings',
  'The data set of the federated run: its vocabulary, its held-out clients and its text; for vit and resnet images: '
  f'{", ".join(data_catalog.IMAGE_DATASETS)}.',
)
_CORPUS = flags.DEFINE_string(
  'corpus', None, 'Other text to learn from, such as text(path=...) or lm1b(path=..., max_sentences=...).'
)
_MODEL = flags.DEFINE_string(
  'model', 'lstm', 'The model: as for experiments.language_model, or bert, albert, distilbert, vit or resnet.'
)
_TEACHER = flags.DEFINE_string(
  'teacher',
  None,
  'Folder of a pre-trained bert, or the name of one with a recipe, such as tiny_bert; a distilbert of half as many layers '
  'learns from it.',
)
_OUTPUT_DIR = flags.DEFINE_string(
  'output_dir', None, 'Folder for everything the training leaves. The same command continues it.'
)
_STEPS = flags.DEFINE_integer('steps', 2000, 'Batches; 0 only evaluates the initial model.', lower_bound=0)
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 64, 'Examples in a batch.', lower_bound=1)
_LEARNING_RATE = flags.DEFINE_float('learning_rate', 2e-3, "Adam's, at its highest.")
_WARMUP_STEPS = flags.DEFINE_integer(
  'warmup_steps',
  100,
  'Steps in which the learning rate rises from 0; then it falls back to 0 as a half cosine.',
  lower_bound=0,
)
_CLIP_NORM = flags.DEFINE_float('clip_norm', 1.0, 'Largest global norm of a gradient.')
_STEPS_PER_EVAL = flags.DEFINE_integer(
  'steps_per_eval', 200, 'Steps between evaluations on held-out clients.', lower_bound=1
)
_STEPS_PER_CHECKPOINT = flags.DEFINE_integer('steps_per_checkpoint', 200, 'Steps between checkpoints.', lower_bound=1)
_EVAL_CLIENTS = flags.DEFINE_integer(
  'eval_clients', 100, 'Held-out clients that evaluations use; 0 for all of them.', lower_bound=0
)
_SEED = flags.DEFINE_integer('seed', 0, 'Decides the initial weights and every draw.', 0, 2**32 - 1)
_LOG_TO = flags.DEFINE_string(
  'log_to',
  None,
  f'Who is told the rows of metrics.csv as they come: {", ".join(logger_catalog.LOGGERS)}, offline by themselves; may '
  'change when a training continues.',
)
flags.DEFINE_bool('version', False, 'Print the version and exit.')


class _Lesson(NamedTuple):
  """What is learned, from what, by what, and the facts that decide the result besides the flags."""

  task: task_lib.Task
  examples: training.Examples
  description: checkpoint.Description
  facts: dict[str, Any]


def main() -> None:
  """Trains what the flags name."""
  config = _config()
  is_of_images = spec.parse(_MODEL.value)[0].name in models_catalog.VISION_MODELS
  lesson = _images() if is_of_images else _text()
  config = dataclasses.replace(config, facts=lesson.facts)
  _report(training.train(lesson.task, lesson.examples, lesson.description, config), lesson.description)


def _text() -> _Lesson:
  source = takers.build_dataset(_DATASET.value, data_catalog.DATASETS)
  corpus = takers.build_dataset(_CORPUS.value, data_catalog.DATASETS, 'corpus') if _CORPUS.value else None
  model = pretraining_task.named(_MODEL.value, source.sequence_length)
  teacher = pretraining_task.load_teacher(_teacher(_TEACHER.value), model) if _TEACHER.value else None

  text = prepare.prepare(source, partitions.natural())
  description = checkpoint.Description(_MODEL.value, text.vocabulary_size, text.sequence_length, text.tokenizer.model)
  if teacher is not None:
    pretraining_task.check_vocabulary(teacher, description, _DATASET.value)
  task = pretraining_task.build(model, text.vocabulary_size, text.sequence_length, teacher)
  examples = text_examples.examples(text, corpus, _EVAL_CLIENTS.value)
  if pretraining_task.is_encoder(model):
    examples = examples._replace(training=text_examples.joined(examples.training))
  return _Lesson(task, examples, description, {} if teacher is None else dict(teacher_sha256=teacher.content_hash))


def _images() -> _Lesson:
  for flag in (_CORPUS, _TEACHER):
    if flag.value:
      raise failures.UsageError(f'--{flag.name} is for models of text: leave it out')
  source = takers.build_dataset(_DATASET.value, data_catalog.IMAGE_DATASETS)
  encoder = spec.build(_MODEL.value, models_catalog.VISION_MODELS, 'model')
  images = prepare_images.prepare(source, partitions.iid(clients=1))
  model = image_examples.classifier(encoder, images)
  description = checkpoint.of_images(_MODEL.value, images.image_shape, images.class_names)
  examples = image_examples.examples(images, _EVAL_CLIENTS.value)
  return _Lesson(image_task.build(model, images.image_shape), examples, description, {})


def _teacher(name: str) -> str:
  return str(recipe.folder_of(name)) if name in recipe.names() else name


def _report(summary: Mapping[str, Any], description: checkpoint.Description) -> None:
  """Prints what came of it, and the way on."""
  if summary['steps_per_second']:
    print(f'{summary["steps_per_second"]:.2f} steps of {_BATCH_SIZE.value} examples a second')
  is_encoder = saved_encoder.is_encoder(description)
  of = ' of hidden tokens' if is_encoder else ''
  measured = quality.of(summary)
  value = measured.text(summary[measured.column])
  print(f'{measured.name}{of} on held-out clients {value} after {summary["steps"]} steps')
  if is_encoder:
    settings = dict(model=spec.parse(_MODEL.value)[0].name, pretrained=_OUTPUT_DIR.value, output_dir='runs/classified')
    print(f'start a federated fine-tuning from it by {command_line.shell("text_classification", settings)}')
  elif description.image_shape:
    print('a recipe of these flags makes it a start of experiments.constrained_finetuning, see its --help')
  else:
    print(
      f'start a federated run from it by --dataset={_DATASET.value!r} --model={_MODEL.value!r} '
      f'--pretrained={_OUTPUT_DIR.value}'
    )


def _config() -> training.CentralConfig:
  if not _OUTPUT_DIR.value:
    raise failures.UsageError(
      '--output_dir is missing: name the folder for this training, for example --output_dir=runs/pretrained'
    )
  return training.CentralConfig(
    output_dir=pathlib.Path(_OUTPUT_DIR.value),
    steps=_STEPS.value,
    batch_size=_BATCH_SIZE.value,
    learning_rate=_LEARNING_RATE.value,
    warmup_steps=_WARMUP_STEPS.value,
    clip_norm=_CLIP_NORM.value,
    steps_per_eval=_STEPS_PER_EVAL.value,
    steps_per_checkpoint=_STEPS_PER_CHECKPOINT.value,
    seed=_SEED.value,
    settings=_settings(),
    log_to=logger_catalog.build(_LOG_TO.value or logger_catalog.NONE),
  )


def _settings() -> dict[str, Any]:
  return {flag.name: flag.value for flag in flags.FLAGS.get_flags_for_module(__name__) if flag.name != 'version'}


if __name__ == '__main__':
  launch.launch(main)
