"""Scores a classifier of texts in this process, without TFF: the same measures as a run's evaluation."""

from collections.abc import Sequence
import pathlib
from typing import Any

from data import partitions
from data import population
from data import prepare_labelled
from data import source as source_lib
from experiments.central import evaluation
from experiments.command import failures
from experiments.starts import saved_classifier
from models import classification_task


def evaluate(folder: str | pathlib.Path, source: source_lib.LabelledSource, eval_clients: int) -> dict[str, Any]:
  """Scores the model in a folder on held-out texts.

  Args:
    folder: Where the model is.
    source: Whose held-out texts count; of the same classes as those that it was trained on. They are cut at its
      `sequence_length`, whatever that of the training was.
    eval_clients: How many of the ten clients that hold them; 0 for all. A run with as many evaluates on the same ones.

  Returns:
    `eval/loss`, `eval/accuracy`, `eval/perplexity`, which is not measured, `num_clients`, `num_examples` and
    `model_sha256`.

  Raises:
    UsageError: If the model is not sound, names no classes or other ones, or cannot read texts of this length.
    DataError: If the source is malformed or has no held-out texts.
  """
  loaded = saved_classifier.load(folder)
  _check(loaded, source)
  text = prepare_labelled.prepare(source, partitions.iid(clients=1), loaded.tokenizer)
  ids = population.Population.of(text).evaluation_ids(eval_clients)
  tokens, labels = text.arrays('heldout', ids)
  task = classification_task.build(loaded.model, text.sequence_length)
  return {
    **evaluation.Evaluation(task)(loaded.weights, dict(tokens=tokens, label=labels)),
    'num_clients': len(ids),
    'num_examples': len(labels),
    'model_sha256': loaded.content_hash,
  }


def _check(loaded: saved_classifier.TextClassifier, source: source_lib.LabelledSource) -> None:
  if not loaded.class_names:
    raise failures.UsageError(
      'this model does not tell the names of its classes, which may not be those of --dataset: score it by '
      'experiments.text_classification --pretrained=... --rounds=0'
    )
  if tuple(source.class_names) != loaded.class_names:
    raise failures.UsageError(
      f'this model names {_listed(loaded.class_names)}, but --dataset has {_listed(source.class_names)}: choose the '
      'data set that it was trained on'
    )
  if source.sequence_length > loaded.max_length:
    raise failures.UsageError(
      f'sequence_length={source.sequence_length} of --dataset is more than the {loaded.max_length} positions of the '
      'model: lower it'
    )


def _listed(names: Sequence[str]) -> str:
  """Returns the first names, the beginning of each."""
  return ', '.join([name[:40] for name in names[:20]] + ['...'] * (len(names) > 20))
