"""Scores the model in a folder on text: a language model, or an encoder by tokens that are hidden at random, the same whenever the text is."""

import pathlib
from typing import Any

from data import catalog
from data import encoded_text
from data import errors
from data import population
from data import source as source_lib
from data import tokenizer as tokenizer_lib
from experiments.central import evaluation
from experiments.central import task as pretraining_task
from experiments.command import failures
from experiments.starts import pretrained
from models import checkpoint
from models import language_task
from models import task as task_lib


def evaluate(folder: str | pathlib.Path, source: source_lib.TextSource, eval_clients: int) -> dict[str, Any]:
  """Scores the model in a folder on held-out clients, whose text is cut by the model's own tokenizer.

  Args:
    folder: Where the model is.
    source: Whose held-out text counts.
    eval_clients: How many clients; 0 for all. A run with as many evaluates on the same ones.

  Returns:
    `eval/loss`, `eval/accuracy`, `eval/perplexity`, `num_clients`, `num_examples` and `model_sha256`.

  Raises:
    UsageError: If there is no sound model, or it has too few positions for the examples.
    DataError: If the source is malformed or has no held-out text.
  """
  loaded = pretrained.load(folder)
  task = _task_of(loaded.description, source.sequence_length)
  weights = pretrained.weights_of(loaded, task.model)
  text = encoded_text.encode(source, ['heldout'], tokenizer_lib.Tokenizer(loaded.description.tokenizer))
  if not len(text.tokens):
    raise errors.DataError(f'data set {source.name} has no heldout text: choose another --dataset')
  ids = population.evaluation_ids(text.client_ids_with_examples, eval_clients)
  tokens = text.of(ids)
  return {
    **evaluation.Evaluation(task)(weights, dict(tokens=tokens)),
    'num_clients': len(ids),
    'num_examples': len(tokens),
    'model_sha256': loaded.content_hash,
  }


def _task_of(description: checkpoint.Description, sequence_length: int) -> task_lib.Task:
  if description.class_names:
    raise failures.UsageError(
      f'this model names classes and predicts no tokens: score it on one of {", ".join(catalog.CLASSIFICATION_DATASETS)}'
    )
  model = pretraining_task.named(description.model, sequence_length)
  if pretraining_task.is_encoder(model):
    return pretraining_task.build(model, description.vocabulary_size, sequence_length)
  return language_task.build(pretrained.build_model(description), sequence_length)
