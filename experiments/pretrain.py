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

from data import catalog as data_catalog
from data import partitions
from data import prepare
from data import prepare_images
from experiments.central import image_examples
from experiments.central import step
from experiments.central import task as pretraining_task
from experiments.central import text_examples
from experiments.central import training
from experiments.command import command_line
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import given_objects
from experiments.command import launch
from experiments.command import spec
from experiments.command import takers
from experiments.federated import fingerprint
from experiments.loggers import catalog as logger_catalog
from experiments.results import output
from experiments.results import quality
from experiments.starts import recipe
from experiments.starts import saved_encoder
from models import catalog as models_catalog
from models import checkpoint
from models import image_task
from models import task as task_lib

FLAGS = flag_table.FlagTable('pretrain')
FLAGS.string(
  'dataset',
  'docstrings',
  'The data set of the federated run: its vocabulary, its held-out clients and its text; for vit and resnet images: '
  f'{", ".join(data_catalog.IMAGE_DATASETS)}.',
)
FLAGS.string('corpus', None, 'Other text to learn from, such as text(path=...) or lm1b(path=..., max_sentences=...).')
FLAGS.string(
  'model', 'lstm', 'The model: as for experiments.language_model, or bert, albert, distilbert, vit or resnet.'
)
FLAGS.string(
  'teacher',
  None,
  'Folder of a pre-trained bert, or the name of one with a recipe, such as tiny_bert; a distilbert of half as many layers '
  'learns from it.',
)
FLAGS.string('output_dir', None, 'Folder for everything the training leaves. The same command continues it.')
FLAGS.integer('steps', 2000, 'Batches; 0 only evaluates the initial model.', lower_bound=0)
FLAGS.integer('batch_size', 64, 'Examples in a batch.', lower_bound=1)
FLAGS.float('learning_rate', 2e-3, "Adam's, at its highest.")
FLAGS.integer(
  'warmup_steps',
  100,
  'Steps in which the learning rate rises from 0; then it falls back to 0 as a half cosine.',
  lower_bound=0,
)
FLAGS.float('clip_norm', 1.0, 'Largest global norm of a gradient.')
FLAGS.integer('steps_per_eval', 200, 'Steps between evaluations on held-out clients.', lower_bound=1)
FLAGS.integer('steps_per_checkpoint', 200, 'Steps between checkpoints.', lower_bound=1)
FLAGS.integer('eval_clients', 100, 'Held-out clients that evaluations use; 0 for all of them.', lower_bound=0)
FLAGS.integer('seed', 0, 'Decides the initial weights and every draw.', 0, 2**32 - 1)
FLAGS.string(
  'log_to',
  None,
  f'Who is told the rows of metrics.csv as they come: {", ".join(logger_catalog.LOGGERS)}, offline by themselves; may '
  'change when a training continues.',
)


class _Lesson(NamedTuple):
  """What is learned, from what, by what, and the facts that decide the result besides the flags."""

  task: task_lib.Task
  examples: training.Examples
  description: checkpoint.Description
  facts: dict[str, Any]


def main(given: Mapping[str, Any]) -> None:
  """Trains what the flags name."""
  config = _config(given)
  lesson = _images(given) if takers.is_of_images(given['model']) else _text(given)
  config = dataclasses.replace(config, facts=lesson.facts | _computations(given, lesson.task, config))
  _report(training.train(lesson.task, lesson.examples, lesson.description, config), lesson.description, given)


def _text(given: Mapping[str, Any]) -> _Lesson:
  source = takers.build_dataset(given['dataset'], data_catalog.DATASETS)
  corpus = takers.build_dataset(given['corpus'], data_catalog.DATASETS, 'corpus') if given['corpus'] else None
  model = pretraining_task.named(given['model'], source.sequence_length)
  teacher = pretraining_task.load_teacher(_teacher(given['teacher']), model) if given['teacher'] else None

  text = prepare.prepare(source, partitions.natural())
  description = checkpoint.Description(
    given_objects.recorded(given['model']), text.vocabulary_size, text.sequence_length, text.tokenizer.model
  )
  if teacher is not None:
    pretraining_task.check_vocabulary(teacher, description, given['dataset'])
  task = pretraining_task.build(model, text.vocabulary_size, text.sequence_length, teacher)
  examples = text_examples.examples(text, corpus, given['eval_clients'])
  if pretraining_task.is_encoder(model):
    examples = examples._replace(training=text_examples.joined(examples.training))
  return _Lesson(task, examples, description, {} if teacher is None else dict(teacher_sha256=teacher.content_hash))


def _images(given: Mapping[str, Any]) -> _Lesson:
  for flag in ('corpus', 'teacher'):
    if given[flag]:
      raise failures.UsageError(f'--{flag} is for models of text: leave it out')
  source = takers.build_dataset(given['dataset'], data_catalog.IMAGE_DATASETS)
  encoder = takers.build_model(given['model'], models_catalog.VISION_MODELS)
  images = prepare_images.prepare(source, partitions.iid(clients=1))
  model = image_examples.classifier(encoder, images)
  description = checkpoint.of_images(given_objects.recorded(given['model']), images.image_shape, images.class_names)
  examples = image_examples.examples(images, given['eval_clients'])
  return _Lesson(image_task.build(model, images.image_shape), examples, description, {})


def _computations(given: Mapping[str, Any], task: task_lib.Task, config: training.CentralConfig) -> dict[str, str]:
  """Returns the fact that names what a step computes, where settings do not say it."""
  if not any(given_objects.is_one(value) for name, value in given.items() if name not in output.FREE_TO_CHANGE):
    return {}
  return {output.COMPUTATIONS: fingerprint.of_traced(step.traced(task, config))}


def _teacher(name: str) -> str:
  return str(recipe.folder_of(name)) if name in recipe.names() else name


def _report(summary: Mapping[str, Any], description: checkpoint.Description, given: Mapping[str, Any]) -> None:
  """Prints what came of it, and the way on."""
  if summary['steps_per_second']:
    print(f'{summary["steps_per_second"]:.2f} steps of {given["batch_size"]} examples a second')
  is_encoder = saved_encoder.is_encoder(description)
  of = ' of hidden tokens' if is_encoder else ''
  measured = quality.of(summary)
  value = measured.text(summary[measured.column])
  print(f'{measured.name}{of} on held-out clients {value} after {summary["steps"]} steps')
  if given_objects.is_recorded(description.model):
    print(f'the model is in {given["output_dir"]}: start from it by pretrained=...')
  elif is_encoder:
    settings = dict(
      model=spec.parse(description.model)[0].name, pretrained=given['output_dir'], output_dir='runs/classified'
    )
    print(f'start a federated fine-tuning from it by {command_line.shell("text_classification", settings)}')
  elif description.image_shape:
    print('a recipe of these flags makes it a start of experiments.constrained_finetuning, see its --help')
  else:
    print(
      f'start a federated run from it by --dataset={given_objects.recorded(given["dataset"])!r} --model={description.model!r} '
      f'--pretrained={given["output_dir"]}'
    )


def _config(given: Mapping[str, Any]) -> training.CentralConfig:
  if not given['output_dir']:
    raise failures.UsageError(
      '--output_dir is missing: name the folder for this training, for example --output_dir=runs/pretrained'
    )
  return training.CentralConfig(
    output_dir=pathlib.Path(given['output_dir']),
    steps=given['steps'],
    batch_size=given['batch_size'],
    learning_rate=given['learning_rate'],
    warmup_steps=given['warmup_steps'],
    clip_norm=given['clip_norm'],
    steps_per_eval=given['steps_per_eval'],
    steps_per_checkpoint=given['steps_per_checkpoint'],
    seed=given['seed'],
    settings={name: given_objects.recorded(value) for name, value in given.items() if name != flag_table.PLUGIN},
    log_to=logger_catalog.build(given['log_to'] or logger_catalog.NONE),
  )


if __name__ == '__main__':
  launch.launch(main, FLAGS)
