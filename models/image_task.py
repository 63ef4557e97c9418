"""Classification of images: cross-entropy and accuracy per image."""

import collections
from collections.abc import Sequence

import tensorflow as tf

from models import classification_task
from models import model as model_lib
from models import task as task_lib


def build(model: model_lib.Model, image_shape: Sequence[int]) -> task_lib.Task:
  """Returns the task of naming the class of each image.

  Args:
    model: float32 images [batch, height, width, channels] in [-1, 1] to logits [batch, classes].
    image_shape: Height, width and channels.

  Returns:
    A task over examples of int32 `image` [height, width, channels] in 0..255, int32 `label` [] and int64 `client_key` [].
  """
  return task_lib.Task(
    model=model,
    example_spec=collections.OrderedDict(
      image=tf.TensorSpec(list(image_shape), tf.int32),
      label=tf.TensorSpec([], tf.int32),
      client_key=tf.TensorSpec([], tf.int64),
    ),
    inputs=lambda batch: scaled(batch['image']),
    measure=lambda logits, batch: classification_task.class_measures(logits, batch['label']),
    measure_each=lambda logits, batch: classification_task.measures_of_each(logits, batch['label']),
    is_language_model=False,
  )


def scaled(images: tf.Tensor) -> tf.Tensor:
  """Maps pixels, int32 in 0..255, to float32 in [-1, 1]."""
  return tf.cast(images, tf.float32) / 127.5 - 1.0
