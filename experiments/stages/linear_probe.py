"""What an encoder's features are worth: a linear classifier on them, trained in one place."""

from collections.abc import Callable

import numpy as np
from sklearn import linear_model
from sklearn import pipeline
from sklearn import preprocessing
import tensorflow as tf

_BATCH_SIZE = 256  # Does not change the result, only memory and speed.
_MAX_ITERATIONS = 1000

Labelled = tuple[np.ndarray, np.ndarray]


def correct(encode: Callable[[tf.Tensor], tf.Tensor], training: Labelled, heldout: Labelled) -> np.ndarray:
  """Returns which held-out examples logistic regression on the features of the training examples classifies rightly.

  Args:
    encode: From a batch of examples to their features, float32 [batch, width], in a graph.
    training: Examples, int32 [n, ...], and their labels, int32 [n].
    heldout: Likewise.

  Returns:
    bool [n] of the held-out examples, whose mean is the accuracy.
  """
  classifier = pipeline.make_pipeline(
    preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=_MAX_ITERATIONS)
  )
  classifier.fit(features(encode, training[0]), training[1])
  return classifier.predict(features(encode, heldout[0])) == heldout[1]


def features(encode: Callable[[tf.Tensor], tf.Tensor], examples: np.ndarray) -> np.ndarray:
  """Returns the features, float32 [n, width], of examples, int32 [n, ...]; see `correct`."""
  of_batch = tf.function(
    encode, autograph=False, input_signature=[tf.TensorSpec([None, *examples.shape[1:]], tf.int32)]
  )
  batches = [examples[start : start + _BATCH_SIZE] for start in range(0, len(examples), _BATCH_SIZE)]
  return np.concatenate([of_batch(tf.constant(batch)).numpy() for batch in batches])
