"""The accuracy of classifiers without a network: what a text classifier has to beat."""

import numpy as np
from sklearn import linear_model
from sklearn.feature_extraction import text

MAX_TEXTS = 25_000  # As many as IMDB has; more would take minutes.
_PAD = 0
_INVERSE_REGULARIZATION = 10.0
_MAX_ITERATIONS = 1000


def largest_class(train_labels: np.ndarray, labels: np.ndarray) -> float:
  """Returns the fraction of `labels` that are the most frequent of `train_labels`; both integers [n], n > 0."""
  return float(np.mean(labels == np.bincount(train_labels).argmax()))


def bag_of_tokens(train_tokens: np.ndarray, train_labels: np.ndarray, tokens: np.ndarray, labels: np.ndarray) -> float:
  """Returns the accuracy of logistic regression on how often which token occurs, weighted by TF-IDF.

  It sees the same sub-words as an encoder does, in no order, and learns from `MAX_TEXTS` texts at most, evenly chosen.

  Args:
    train_tokens: Integers [n, length], padded with 0, to learn from.
    train_labels: Integers [n].
    tokens: Integers [m, length], to name the classes of.
    labels: Integers [m].

  Returns:
    The fraction of `labels` named right; that of the only class if there is but one to learn.
  """
  if len(np.unique(train_labels)) == 1:
    return largest_class(train_labels, labels)
  step = -(-len(train_labels) // MAX_TEXTS)
  train_tokens, train_labels = train_tokens[::step], train_labels[::step]
  weights = text.TfidfVectorizer(analyzer=_without_padding, sublinear_tf=True)
  features = weights.fit_transform(train_tokens)
  classifier = linear_model.LogisticRegression(C=_INVERSE_REGULARIZATION, max_iter=_MAX_ITERATIONS)
  classifier.fit(features, train_labels)
  return float(classifier.score(weights.transform(tokens), labels))


def _without_padding(tokens: np.ndarray) -> list[int]:
  return tokens[tokens != _PAD].tolist()
