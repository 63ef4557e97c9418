"""Names the classes of texts by a trained classifier."""

from collections.abc import Iterable
from collections.abc import Iterator
import itertools
import pathlib
import sys
from typing import Any

import numpy as np
import tensorflow as tf

from experiments.command import failures
from experiments.starts import saved_classifier

_BATCH_SIZE = 64  # Changes memory and speed only.


def predict(folder: str | pathlib.Path, texts: Iterable[str]) -> list[dict[str, Any]]:
  """Names the classes of texts by the classifier in a folder.

  Args:
    folder: The `--output_dir` of experiments.text_classification, or what experiments.export made of it.
    texts: The texts; what is beyond the model's sequence length is not read.

  Returns:
    What `predictions` yields.

  Raises:
    UsageError: If there is no sound classifier of texts, or its scores are not finite.
  """
  return list(predictions(saved_classifier.load(folder), texts))


def predictions(classifier: saved_classifier.TextClassifier, texts: Iterable[str]) -> Iterator[dict[str, Any]]:
  """Names the class of each text.

  Where class names are not known or not unique, the classes are called by their numbers, which standard error says.

  Args:
    classifier: Who says so.
    texts: Read a few at a time.

  Yields:
    For each text `text`, `label`, the likeliest class, and `probabilities` by class. A text in which the tokenizer finds
    nothing, such as an empty one, has the label None and no probabilities.

  Raises:
    UsageError: If the model's scores are not finite.
  """
  names, texts = _names(classifier), iter(texts)
  weights = classifier.model.by_name([tf.constant(weight) for weight in classifier.weights])
  score = tf.function(
    lambda tokens: classifier.model.apply(weights, tokens, None),
    autograph=False,
    input_signature=[tf.TensorSpec([None, classifier.sequence_length], tf.int32)],
  )
  while batch := list(itertools.islice(texts, _BATCH_SIZE)):
    tokens = classifier.tokenizer.encode(batch, classifier.sequence_length)
    probabilities = _softmax(score(tokens).numpy())
    for text, ids, row in zip(batch, tokens, probabilities, strict=True):
      is_empty = ids[1] == classifier.tokenizer.end_id
      by_name = {} if is_empty else dict(zip(names, row.tolist(), strict=True))
      yield dict(text=text, label=max(by_name, key=by_name.get, default=None), probabilities=by_name)


def _names(classifier: saved_classifier.TextClassifier) -> tuple[str, ...]:
  if len(set(classifier.class_names)) == classifier.num_classes:
    return classifier.class_names
  print('the model does not tell its classes apart by name: they are called by their numbers', file=sys.stderr)
  return tuple(map(str, range(classifier.num_classes)))


def _softmax(logits: np.ndarray) -> np.ndarray:
  if not np.isfinite(logits).all():
    raise failures.UsageError('the scores of the model are not finite: choose one whose training did not diverge')
  scores = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
  return scores / scores.sum(axis=1, keepdims=True)
