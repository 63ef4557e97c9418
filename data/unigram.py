"""The perplexity of guessing every token by its frequency alone: what a language model has to beat."""

from collections.abc import Iterable

import numpy as np

from data import errors

_PAD = 0


def unigram_perplexity(
  train_batches: Iterable[np.ndarray], evaluation_tokens: np.ndarray, vocabulary_size: int
) -> float:
  """Returns the perplexity on `evaluation_tokens` of add-one smoothed token frequencies of `train_batches`.

  The former, and each of the latter, are integers [n, sequence_length + 1]; only targets count: not the first column,
  not padding (0). Raises DataError if there is no target to evaluate.
  """
  train_counts = np.zeros([vocabulary_size], np.int64)
  for tokens in train_batches:
    train_counts += _count_targets(tokens, vocabulary_size)
  evaluation_counts = _count_targets(evaluation_tokens, vocabulary_size)
  if not evaluation_counts.sum():
    raise errors.DataError('no token to evaluate: the evaluation data is empty; choose data with more text')
  log_probabilities = np.log((train_counts + 1) / (train_counts.sum() + vocabulary_size))
  return float(np.exp(-(evaluation_counts @ log_probabilities) / evaluation_counts.sum()))


def _count_targets(tokens: np.ndarray, vocabulary_size: int) -> np.ndarray:
  targets = tokens[:, 1:]
  return np.bincount(targets[targets != _PAD], minlength=vocabulary_size)
