"""What an encoder's features are worth: a linear classifier on them, trained in one place."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from sklearn import linear_model
from sklearn import pipeline
from sklearn import preprocessing
import tensorflow as tf

from experiments import central_training
from models import image_task
from models import vit

_BATCH_SIZE = 256  # Does not change the result, only memory and speed.
_MAX_ITERATIONS = 1000


def accuracy(
  encoder: vit.VisionTransformer, weights: Mapping[str, np.ndarray], examples: central_training.Examples
) -> float:
  """Returns the accuracy on held-out images of logistic regression on the features of the training images.

  Args:
    encoder: The encoder.
    weights: Its weights, by name; others may be there.
    examples: Images with labels, which the encoder has not seen.
  """
  training, heldout = examples
  classifier = pipeline.make_pipeline(
    preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=_MAX_ITERATIONS)
  )
  classifier.fit(features(encoder, weights, training['image']), training['label'])
  return float(classifier.score(features(encoder, weights, heldout['image']), heldout['label']))


def features(
  encoder: vit.VisionTransformer, weights: Mapping[str, np.ndarray], images: Sequence[np.ndarray]
) -> np.ndarray:
  """Returns what an encoder makes of images.

  Args:
    encoder: The encoder.
    weights: Its weights, by name.
    images: int32 [n, height, width, channels] in 0..255.

  Returns:
    float32 [n, width].
  """
  names = [variable.name for variable in encoder.variables(images.shape[1:])]
  held = {name: tf.constant(weights[name]) for name in names}
  of_batch = tf.function(
    lambda batch: encoder.features(held, image_task.scaled(batch), None),
    autograph=False,
    input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.int32)],
  )
  batches = [images[start : start + _BATCH_SIZE] for start in range(0, len(images), _BATCH_SIZE)]
  return np.concatenate([of_batch(tf.constant(batch)).numpy() for batch in batches])
