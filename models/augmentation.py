"""Two random views of each image, for self-supervised learning (Chen et al. 2020, arXiv 2002.05709, appendix A).

    crop and resize -> flip -> brightness -> contrast -> saturation -> greyscale -> clip

A view is a function of its seed. Images are changed in one go, each by draws of its own.
"""

import dataclasses
import math

import tensorflow as tf

from data import arguments

_GREYSCALE_RATE = 0.2
_LARGEST_RATIO = 4 / 3
_PURPOSE = 2 << 32  # Tells these draws from those of the model's dropouts, which count from 0.
_AREA, _RATIO, _TOP, _LEFT, _FLIP, _BRIGHTNESS, _CONTRAST, _SATURATION, _GREYSCALE = range(9)


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How views differ from their image.

  Attributes:
    min_area: Smallest fraction of the image that a crop keeps, in (0, 1].
    flip: Whether every second view, on average, is mirrored left to right.
    jitter: Strength s of the change of colours, in [0, 1]: factors are uniform in [1 - s, 1 + s].
    greyscale: Whether every fifth view of three channels, on average, loses its colours.
  """

  min_area: float = 0.2
  flip: bool = True
  jitter: float = 0.4
  greyscale: bool = True

  def __post_init__(self):
    arguments.check_within('(0, 1]', min_area=self.min_area)
    arguments.check_within('[0, 1]', jitter=self.jitter)
    arguments.check_bool(flip=self.flip, greyscale=self.greyscale)


def two_views(images: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tuple[tf.Tensor, tf.Tensor]:
  """Draws two views of each image.

  Args:
    images: float32 [batch, height, width, channels] in [-1, 1]; all but the batch is static.
    seed: int64[2], on which the views depend besides the images.
    augmentation: How they differ from their image.

  Returns:
    The views, float32 [batch, height, width, channels] in [-1, 1] each.
  """
  first, second = (_view(images, _folded(seed, _PURPOSE + index), augmentation) for index in range(2))
  return first, second


def _view(images: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
  has_colours = images.shape[3] == 3
  x = _cropped(images, seed, augmentation.min_area)
  if augmentation.flip:
    x = tf.where(_column(_uniform(images, seed, _FLIP) < 0.5), tf.reverse(x, [2]), x)
  if augmentation.jitter > 0.0:
    x = _jittered(x, seed, augmentation.jitter, has_colours)
  if augmentation.greyscale and has_colours:
    x = tf.where(_column(_uniform(images, seed, _GREYSCALE) < _GREYSCALE_RATE), _grey(x), x)
  return tf.clip_by_value(x, -1.0, 1.0)


def _cropped(images: tf.Tensor, seed: tf.Tensor, min_area: float) -> tf.Tensor:
  """Cuts a rectangle out of each image and stretches it bilinearly to the image's size, corner on corner.

  Its area is a uniform fraction of the image, in [min_area, 1]. The ratio of its sides, width over height, is uniform on
  a logarithmic scale in [3/4, 4/3], and then as near to that as a rectangle of this area within the image can be.
  """
  _, height, width, channels = images.shape
  area = min_area + (1.0 - min_area) * _uniform(images, seed, _AREA)
  ratio = tf.exp(math.log(_LARGEST_RATIO) * (2.0 * _uniform(images, seed, _RATIO) - 1.0))
  ratio = tf.clip_by_value(ratio * (height / width), area, 1.0 / area)  # Now of fractions of the image's sides.
  rows, columns = tf.minimum(tf.sqrt(area / ratio), 1.0), tf.minimum(tf.sqrt(area * ratio), 1.0)
  top, left = _uniform(images, seed, _TOP) * (1.0 - rows), _uniform(images, seed, _LEFT) * (1.0 - columns)
  boxes = tf.stack([top, left, top + rows, left + columns], axis=1)
  crops = tf.image.crop_and_resize(images, boxes, tf.range(tf.shape(images)[0]), [height, width])
  return tf.ensure_shape(crops, [images.shape[0], height, width, channels])


def _jittered(x: tf.Tensor, seed: tf.Tensor, strength: float, has_colours: bool) -> tf.Tensor:
  """Adds to the brightness, then scales the contrast around each image's mean, then the distance from its grey."""

  def factor(draw: int) -> tf.Tensor:
    return _column(1.0 + strength * (2.0 * _uniform(x, seed, draw) - 1.0))

  x += factor(_BRIGHTNESS) - 1.0
  mean = tf.reduce_mean(x, axis=[1, 2, 3], keepdims=True)
  x = mean + factor(_CONTRAST) * (x - mean)
  if not has_colours:
    return x
  grey = _grey(x)
  return grey + factor(_SATURATION) * (x - grey)


def _grey(x: tf.Tensor) -> tf.Tensor:
  """Returns the luminance of each pixel of [batch, height, width, 3] (ITU-R BT.601), in all three channels."""
  return tf.tile(tf.image.rgb_to_grayscale(x), [1, 1, 1, 3])


def _uniform(images: tf.Tensor, seed: tf.Tensor, draw: int) -> tf.Tensor:
  """Draws one number in [0, 1) for each image: float32 [batch]."""
  return tf.random.stateless_uniform(tf.shape(images)[:1], _folded(seed, draw))


def _folded(seed: tf.Tensor, number: int) -> tf.Tensor:
  return tf.random.experimental.stateless_fold_in(seed, tf.constant(number, tf.int64))


def _column(values: tf.Tensor) -> tf.Tensor:
  """Shapes [batch] so that each value meets all of its image."""
  return tf.reshape(values, [-1, 1, 1, 1])
