"""What an encoder's features are worth: a linear classifier on them, trained in one place with all labels."""

from collections.abc import Mapping
from collections.abc import Sequence

import numpy as np
from sklearn import linear_model
from sklearn import pipeline
from sklearn import preprocessing
import tensorflow as tf

from data import labelled_images
from models import image_encoder
from models import image_task

_BATCH_SIZE = 256  # Does not change the result, only memory and speed.
_MAX_ITERATIONS = 1000


def accuracy(
  encoder: image_encoder.ImageEncoder, weights: Mapping[str, np.ndarray], images: labelled_images.LabelledImages
) -> float:
  """Returns the accuracy on held-out images of logistic regression on the features of the training images.

  Args:
    encoder: The encoder.
    weights: Its weights, by name; others may be there.
    images: With labels, which the encoder has not seen.
  """
  training, heldout = images.arrays('train'), images.arrays('heldout')
  classifier = pipeline.make_pipeline(
    preprocessing.StandardScaler(), linear_model.LogisticRegression(max_iter=_MAX_ITERATIONS)
  )
  classifier.fit(features(encoder, weights, training['image']), training['label'])
  return float(classifier.score(features(encoder, weights, heldout['image']), heldout['label']))


def features(
  encoder: image_encoder.ImageEncoder, weights: Mapping[str, np.ndarray], images: Sequence[np.ndarray]
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
