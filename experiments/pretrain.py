"""Trains a language model or an encoder in one place, so that a federated training can start from it.

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
in those of --dataset='docstrings(sequence_length=64)'; held-out sentences stand alone.
Leaves the model, metrics.csv, summary.json and a checkpoint in --output_dir; the same command continues a training that
was interrupted.
"""

from collections.abc import Mapping
import dataclasses
import pathlib
from typing import Any

from absl import flags

from data import catalog as data_catalog
from data import partitions
from data import prepare
from experiments import central_training
from experiments import command_line
from experiments import launch
from experiments import pretraining_task
from experiments import pretraining_text
from experiments import recipe
from experiments import spec
from models import checkpoint

_DATASET = flags.DEFINE_string(
  'dataset', 'docstrings', 'The data set of the federated run: its vocabulary, its held-out clients and its text.'
)
_CORPUS = flags.DEFINE_string(
  'corpus', None, 'Other text to learn from, such as text(path=...) or lm1b(path=..., max_sentences=...).'
)
_MODEL = flags.DEFINE_string(
  'model', 'lstm', 'The model: as for experiments.language_model, or bert, albert or distilbert.'
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
  'eval_clients', 100, 'Held-out clients, drawn once, that evaluations use; 0 for all of them.', lower_bound=0
)
_SEED = flags.DEFINE_integer('seed', 0, 'Decides the initial weights and every draw.', 0, 2**32 - 1)
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def main() -> None:
  """Trains what the flags name."""
  source = spec.build(_DATASET.value, data_catalog.DATASETS, 'dataset')
  corpus = spec.build(_CORPUS.value, data_catalog.DATASETS, 'corpus') if _CORPUS.value else None
  model, config = pretraining_task.named(_MODEL.value, source.sequence_length), _config()
  teacher = pretraining_task.load_teacher(_teacher(_TEACHER.value), model) if _TEACHER.value else None

  text = prepare.prepare(source, partitions.natural())
  description = checkpoint.Description(_MODEL.value, text.vocabulary_size, text.sequence_length, text.tokenizer.model)
  if teacher is not None:
    pretraining_task.check_vocabulary(teacher, description, _DATASET.value)
    config = dataclasses.replace(config, facts=dict(teacher_sha256=teacher.content_hash))
  task = pretraining_task.build(model, text.vocabulary_size, text.sequence_length, teacher)
  examples = pretraining_text.examples(text, corpus, _EVAL_CLIENTS.value, _SEED.value)
  is_encoder = pretraining_task.is_encoder(model)
  if is_encoder:
    examples = examples._replace(training=pretraining_text.joined(examples.training))
  _report(central_training.train(task, examples, description, config), is_encoder)


def _teacher(name: str) -> str:
  return str(recipe.folder_of(name)) if name in recipe.names() else name


def _report(summary: Mapping[str, Any], is_encoder: bool) -> None:
  """Prints what came of it, and the way on."""
  if summary['steps_per_second']:
    print(f'{summary["steps_per_second"]:.2f} steps of {_BATCH_SIZE.value} examples a second')
  of = ' of hidden tokens' if is_encoder else ''
  print(f'perplexity{of} on held-out clients {summary["eval/perplexity"]:.1f} after {summary["steps"]} steps')
  if is_encoder:
    settings = dict(model=spec.parse(_MODEL.value)[0].name, pretrained=_OUTPUT_DIR.value, output_dir='runs/classified')
    print(f'start a federated fine-tuning from it by {command_line.shell("text_classification", settings)}')
  else:
    print(
      f'start a federated run from it by --dataset={_DATASET.value!r} --model={_MODEL.value!r} '
      f'--pretrained={_OUTPUT_DIR.value}'
    )


def _config() -> central_training.Config:
  if not _OUTPUT_DIR.value:
    raise launch.UsageError(
      '--output_dir is missing: name the folder for this training, for example --output_dir=runs/pretrained'
    )
  return central_training.Config(
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
  )


def _settings() -> dict[str, Any]:
  return {flag.name: flag.value for flag in flags.FLAGS.get_flags_for_module(__name__) if flag.name != 'version'}


if __name__ == '__main__':
  launch.launch(main)
