"""Self-supervised learning of an image encoder: two random views of an image should be alike (Guo et al. 2023, arXiv
2309.05213, across clients).

    h = LN(features(view));  z = relu(h A) B
    simclr: the loss of z among all z of the batch;  simsiam: p = relu(z C) D;  -cos(p, z of the other view)

Biases are left out above. SimCLR: Chen et al. 2020 (arXiv 2002.05709); SimSiam: Chen & He 2020 (arXiv 2011.10566). No
head keeps statistics, which would be those of one client. SimSiam, which otherwise maps all images to one point, brings
z and both hidden layers to zero mean and unit variance over the batch at hand, both views, in evaluations too.
"""

import collections
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import math

import tensorflow as tf

from models import augmentation as augmentation_lib
from models import contrastive
from models import image_encoder
from models import image_task
from models import layers
from models import model as model_lib
from models import sizes
from models import task as task_lib

Outputs = tuple[tf.Tensor, ...]

_EPSILON = 1e-5  # Variance floor of `_standardized`.


@dataclasses.dataclass(frozen=True)
class Objective:
  """What the views of an image should have in common, and the head that is trained for it.

  Attributes:
    augmentation: How views are drawn.
    width: Of the hidden layer between features and projections.
    outputs: Length of a projection.
    temperature: Of SimCLR's loss; None for SimSiam.
    bottleneck: Width of the hidden layer between projections and predictions of SimSiam; None for SimCLR.
  """

  augmentation: augmentation_lib.Augmentation
  width: int
  outputs: int
  temperature: float | None = None
  bottleneck: int | None = None

  def model(self, encoder: image_encoder.ImageEncoder, image_shape: Sequence[int]) -> model_lib.Model:
    """Returns a model of float32 images [batch, height, width, channels] in [-1, 1] to what `scores` takes.

    It draws the views itself, with the seed of dropout; without one, they depend on nothing but the size of the batch.

    Args:
      encoder: What sees the views.
      image_shape: Height, width and channels.

    Raises:
      ValueError: If the encoder cannot take such images.
    """
    variables = [
      *encoder.variables(image_shape),
      *layers.norm_variables('head/norm', encoder.feature_width),
      *_hidden_layer_variables('head/projection', encoder.feature_width, self.width, self.outputs),
    ]
    if self.bottleneck is not None:
      variables += _hidden_layer_variables('head/prediction', self.outputs, self.bottleneck, self.outputs)

    def apply(weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> Outputs:
      views_seed = tf.constant([0, 0], tf.int64) if seed is None else seed
      views = tf.concat(augmentation_lib.two_views(images, views_seed, self.augmentation), axis=0)
      x = layers.norm(weights, 'head/norm', encoder.features(weights, views, seed))
      if self.bottleneck is None:
        return tuple(tf.split(_hidden_layer(weights, 'head/projection', x), 2))
      projections = _standardized(_hidden_layer(weights, 'head/projection', x, _standardized))
      predictions = _hidden_layer(weights, 'head/prediction', projections, _standardized)
      return (*tf.split(predictions, 2), *tf.split(projections, 2))

    return model_lib.Model(tuple(variables), apply, skips_blocks=True)

  def scores(self, outputs: Outputs) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns loss, and whether the other view is the nearest, of each image: float32 [batch], means over both views.

    Args:
      outputs: Those of `model`: the projections of first and second views, float32 [batch, outputs] each; for SimSiam,
        the predictions of both before them.
    """
    if self.bottleneck is None:
      return contrastive.nt_xent(*outputs, self.temperature)
    first, second, first_target, second_target = outputs
    crossed = ((first, second_target), (second, first_target))
    losses = [contrastive.negative_cosine(predicted, target) for predicted, target in crossed]
    correct = [contrastive.nearest(predicted, target) for predicted, target in crossed]
    return sum(losses) / 2.0, sum(correct) / 2.0


def simclr(
  temperature: float = 0.2,
  width: int = 128,
  outputs: int = 64,
  min_area: float = 0.2,
  flip: bool = True,
  jitter: float = 0.4,
  greyscale: bool = True,
) -> Objective:
  """Configures SimCLR (Chen et al. 2020): each view tells its other view from those of the other images.

  Args:
    temperature: Of the loss, above 0: the smaller, the more the nearest other images count.
    width: Of the hidden layer of the head.
    outputs: Length of the vectors that are compared.
    min_area: See `augmentation.Augmentation`; so are the others.
    flip: See there.
    jitter: See there.
    greyscale: See there.

  Returns:
    The objective.

  Raises:
    ValueError: For values out of range.
  """
  is_number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
  if not is_number or not 0.0 < temperature < math.inf:
    raise ValueError(f'temperature must be a number above 0, not {temperature!r}')
  _check_dimensions(width=width, outputs=outputs)
  augmentation = augmentation_lib.Augmentation(min_area, flip, jitter, greyscale)
  return Objective(augmentation, width, outputs, temperature=temperature)


def simsiam(
  width: int = 128,
  outputs: int = 64,
  bottleneck: int = 32,
  min_area: float = 0.2,
  flip: bool = True,
  jitter: float = 0.4,
  greyscale: bool = True,
) -> Objective:
  """Configures SimSiam (Chen & He 2020): each view predicts its other view, and no other image is needed.

  It may end in one vector for all images: a loss of -1 with hardly any image right.

  Args:
    width: Of the hidden layer of the projection.
    outputs: Length of the vectors that are predicted.
    bottleneck: Of the hidden layer of the prediction.
    min_area: See `augmentation.Augmentation`; so are the others.
    flip: See there.
    jitter: See there.
    greyscale: See there.

  Returns:
    The objective.

  Raises:
    ValueError: For values out of range.
  """
  _check_dimensions(width=width, outputs=outputs, bottleneck=bottleneck)
  augmentation = augmentation_lib.Augmentation(min_area, flip, jitter, greyscale)
  return Objective(augmentation, width, outputs, bottleneck=bottleneck)


def build(objective: Objective, encoder: image_encoder.ImageEncoder, image_shape: Sequence[int]) -> task_lib.Task:
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

  return dataclasses.replace(image_task.build(objective.model(encoder, image_shape), image_shape), measure=measure)


def _check_dimensions(**dimensions: int) -> None:
  for name, value in dimensions.items():
    sizes.check_dimension(name, value)


def _hidden_layer_variables(name: str, inputs: int, width: int, outputs: int) -> list[model_lib.Variable]:
  return [
    *layers.projection_variables(f'{name}_hidden', inputs, width),
    *layers.projection_variables(f'{name}_output', width, outputs),
  ]


def _hidden_layer(
  weights: layers.Named, name: str, x: tf.Tensor, normalize: Callable[[tf.Tensor], tf.Tensor] = tf.identity
) -> tf.Tensor:
  hidden = tf.nn.relu(normalize(layers.projection(weights, f'{name}_hidden', x)))
  return layers.projection(weights, f'{name}_output', hidden)


def _standardized(x: tf.Tensor) -> tf.Tensor:
  """Brings each column of [batch, width] to zero mean and unit variance."""
  mean, variance = tf.nn.moments(x, axes=[0], keepdims=True)
  return (x - mean) * tf.math.rsqrt(variance + _EPSILON)
