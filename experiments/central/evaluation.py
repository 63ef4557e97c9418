"""Scores a model in this process, without TFF: the same measures as a run's evaluation.

Those of an encoder are of tokens that are hidden at random, the same whenever the text is.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf

from data import encoded_text
from data import errors
from data import population
from data import source as source_lib
from data import tokenizer as tokenizer_lib
from experiments.central import task as pretraining_task
from experiments.command import launch
from experiments.results import metrics
from experiments.starts import pretrained
from models import checkpoint
from models import language_task
from models import task as task_lib

_BATCH_SIZE = 64  # Does not change the result, only memory and speed.


class Evaluation:
  """Scores weights of one task; the graph is built once."""

  def __init__(self, task: task_lib.Task):
    specs = tuple(tf.TensorSpec(variable.shape) for variable in task.model.variables)
    batch = {name: tf.TensorSpec([None, *spec.shape], spec.dtype) for name, spec in task.example_spec.items()}
    del batch['client_key']  # No measure depends on it.
    self._is_language_model = task.is_language_model
    self._measure = tf.function(task.evaluate, autograph=False, input_signature=[specs, batch])

  def __call__(self, weights: Sequence[tf.Tensor | np.ndarray], examples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns `eval/loss`, `eval/accuracy` and `eval/perplexity`.

    Args:
      weights: In the order of the task's model.
      examples: int32 [n, ...] by name, as in `Task.example_spec` but for the key of the client.
    """
    weights = tuple(tf.convert_to_tensor(weight) for weight in weights)
    sums = dict.fromkeys(task_lib.zero_measures(), 0.0)
    for start in range(0, num_examples(examples), _BATCH_SIZE):
      batch = {name: tf.constant(values[start : start + _BATCH_SIZE]) for name, values in examples.items()}
      for name, value in self._measure(weights, batch).items():
        sums[name] += float(value)
    return metrics.evaluation_columns(sums, self._is_language_model)


def num_examples(examples: Mapping[str, np.ndarray]) -> int:
  """Returns how many there are, given their features by name."""
  return len(next(iter(examples.values())))


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
    **Evaluation(task)(weights, dict(tokens=tokens)),
    'num_clients': len(ids),
    'num_examples': len(tokens),
    'model_sha256': loaded.content_hash,
  }


def _task_of(description: checkpoint.Description, sequence_length: int) -> task_lib.Task:
  if description.class_names:
    raise launch.UsageError(
      'this model names classes and predicts no tokens: score it by experiments.text_classification --rounds=0'
    )
  model = pretraining_task.named(description.model, sequence_length)
  if pretraining_task.is_encoder(model):
    return pretraining_task.build(model, description.vocabulary_size, sequence_length)
  return language_task.build(pretrained.build_model(description), sequence_length)
