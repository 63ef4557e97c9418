"""Self-supervised learning of an image encoder: two random views of an image should be alike (Guo et al. 2023, arXiv
2309.05213, across clients).

    h = LN(features(view));  z = relu(h A + a) B + b

The views of an image, h and the hidden layer are the same for all objectives; what z is compared with is theirs. No head
keeps statistics, which would be those of one client.
"""

import abc
import collections
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from models import augmentation as augmentation_lib
from models import image_encoder
from models import image_task
from models import layers
from models import model as model_lib
from models import sizes
from models import task as task_lib

Outputs = tuple[tf.Tensor, ...]

_EPSILON = 1e-5  # Variance floor of `standardized`.


@dataclasses.dataclass(frozen=True)
class Objective(abc.ABC):
  """What the views of an image should have in common, and the head that is trained for it.

  Attributes:
    augmentation: How views are drawn.
    width: Units of the hidden layer between features and projections.
    outputs: Length of a projection.
  """

  augmentation: augmentation_lib.Augmentation
  width: int
  outputs: int

  def __post_init__(self):
    sizes.check_dimensions(width=self.width, outputs=self.outputs)

  @property
  def target_momentum(self) -> float | None:
    """See `models.task.Task`; `scores` then takes the pair of the outputs of `model` and of its target."""
    return None

  @abc.abstractmethod
  def head_variables(self, feature_width: int) -> list[model_lib.Variable]:
    """Declares what `head` needs, under `head/`."""

  @abc.abstractmethod
  def head(self, weights: layers.Named, features: tf.Tensor) -> Outputs:
    """Returns what `scores` takes of normalized features, float32 [2 * batch, width]: second views after the first."""

  @abc.abstractmethod
  def scores(self, outputs: Outputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the loss of each image, and whether the other view is the nearest, a mean over both: float32 [batch]."""

  def model(self, encoder: image_encoder.FeatureExtractor, image_shape: Sequence[int]) -> model_lib.Model:
    """Returns a model of float32 images [batch, height, width, channels] in [-1, 1] to what `scores` takes.

    It draws the views itself, with the seed of dropout; without one, they depend on nothing but the size of the batch.

    Args:
      encoder: What sees the views.
      image_shape: Height, width and channels.

    Raises:
      ValueError: If the encoder cannot take such images.
    """

    def apply(weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> Outputs:
      views_seed = tf.constant([0, 0], tf.int64) if seed is None else seed
      views = tf.concat(augmentation_lib.two_views(images, views_seed, self.augmentation), axis=0)
      return self.head(weights, layers.norm(weights, 'head/norm', encoder.features(weights, views, seed)))

    variables = (
      *encoder.variables(image_shape),
      *layers.norm_variables('head/norm', encoder.feature_width),
      *self.head_variables(encoder.feature_width),
    )
    return model_lib.Model(variables, apply, skips_blocks=True)


def build(objective: Objective, encoder: image_encoder.FeatureExtractor, image_shape: Sequence[int]) -> task_lib.Task:
  """Returns the task of seeing that two views are of one image. Labels are not looked at.

  Args:
    objective: What is learned.
    encoder: Who learns it.
    image_shape: Height, width and channels.

  Returns:
    A task over examples of int32 `image` [height, width, channels] in 0..255, int32 `label` [] and int64 `client_key` [].
    It measures the objective's scores, with a weight of 1 for each image; their comparison is within a batch.

  Raises:
    ValueError: If the encoder cannot take such images.
  """

  def measure(outputs: Outputs, batch: task_lib.Batch) -> task_lib.Measures:
    losses, correct = objective.scores(outputs)
    return collections.OrderedDict(
      loss_sum=tf.reduce_sum(losses),
      correct_sum=tf.reduce_sum(correct),
      weight_sum=tf.cast(tf.shape(batch['image'])[0], tf.float32),
    )

  task = image_task.build(objective.model(encoder, image_shape), image_shape)
  return dataclasses.replace(task, measure=measure, measure_each=None, target_momentum=objective.target_momentum)


def mlp_variables(name: str, inputs: int, width: int, outputs: int) -> list[model_lib.Variable]:
  """Declares the variables of `mlp`."""
  return [
    *layers.projection_variables(f'{name}_hidden', inputs, width),
    *layers.projection_variables(f'{name}_output', width, outputs),
  ]


def mlp(
  weights: layers.Named, name: str, x: tf.Tensor, normalize: Callable[[tf.Tensor], tf.Tensor] = tf.identity
) -> tf.Tensor:
  """Passes `x` [batch, inputs] through a hidden layer, normalized before its rectifier: float32 [batch, outputs]."""
  hidden = tf.nn.relu(normalize(layers.projection(weights, f'{name}_hidden', x)))
  return layers.projection(weights, f'{name}_output', hidden)


def standardized(x: tf.Tensor) -> tf.Tensor:
  """Brings each column of float32 [batch, width] to zero mean and unit variance."""
  mean, variance = tf.nn.moments(x, axes=[0], keepdims=True)
  return (x - mean) * tf.math.rsqrt(variance + _EPSILON)
