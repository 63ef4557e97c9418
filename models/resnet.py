"""Residual network for small images (He et al. 2016, arXiv 1512.03385, section 4.2), normalized without the batch.

    x <- relu(norm(conv(image)));  x <- relu(shortcut(x) + norm(conv(relu(norm(conv(x))))));  logits = mean(x) C + b

All convolutions are 3 x 3. Groups of blocks have widths w, 2w and 4w; the first block of a later group moves by two pixels.
Group normalization (Wu & He 2018, arXiv 1803.08494) stands for that over the batch, which would be over the images of one
client (Hsieh et al. 2020, arXiv 1910.00189). Shortcuts have no variables (option A of the paper), so that skipping a
block leaves its shortcut. No variable depends on the size of the image.
"""

from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from models import image_encoder
from models import layers
from models import model as model_lib
from models import sizes
from models import weight as weight_lib

_NUM_GROUPS = 3
_KERNEL_SIZE = 3
_EPSILON = 1e-5  # Variance floor, that of the paper on group normalization.


@dataclasses.dataclass(frozen=True)
class ResNet(image_encoder.ImageEncoder):
  """A stack of residual blocks of two convolutions each.

  Attributes:
    width: Channels of the first group; a multiple of `norm_groups`.
    num_layers: Number of blocks, at most three groups of them.
    blocks_per_group: Blocks after which the width doubles; a network of fewer blocks ends within a group.
    norm_groups: Groups of channels that are normalized together.
  """

  name = 'resnet'

  width: int
  num_layers: int
  blocks_per_group: int
  norm_groups: int

  def __post_init__(self):
    sizes.check_dimensions(**dataclasses.asdict(self))
    if self.width % self.norm_groups:
      raise ValueError(f'norm_groups={self.norm_groups} must divide width={self.width}')
    if self.num_layers > _NUM_GROUPS * self.blocks_per_group:
      raise ValueError(
        f'num_layers={self.num_layers} is more than {_NUM_GROUPS} groups of blocks_per_group={self.blocks_per_group}: '
        'raise that'
      )

  @property
  def feature_width(self) -> int:
    """Channels of the last block."""
    return self._width(self.num_layers - 1)

  def classifier(self, image_shape: Sequence[int], num_classes: int) -> model_lib.Model:
    """See `ImageEncoder.classifier`."""
    variables = [
      *self.variables(image_shape),
      *layers.projection_variables('head/classifier', self.feature_width, num_classes),
    ]

    def apply(weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      return layers.projection(weights, 'head/classifier', self.features(weights, images, seed))

    return model_lib.Model(tuple(variables), apply, skips_blocks=True)

  def variables(self, image_shape: Sequence[int]) -> tuple[model_lib.Variable, ...]:
    """See `ImageEncoder.variables`."""
    variables = _convolution_variables('embedding', image_shape[2], self.width)
    for index in range(self.num_layers):
      width = self._width(index)
      variables += _convolution_variables(f'block_{index}/first', self._width(max(index - 1, 0)), width)
      variables += _convolution_variables(f'block_{index}/second', width, width)
    return tuple(variables)

  def embedded(self, weights: layers.Named, images: tf.Tensor) -> tf.Tensor:
    """See `ImageEncoder.embedded`: float32 [batch, height, width, channels]."""
    return tf.nn.relu(self._convolution(weights, 'embedding', images))

  def block(self, weights: layers.Named, index: int, x: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """See `ImageEncoder.block`; `x` is not negative, so that a shortcut alone would pass the last rectifier."""
    del seed
    width, block = self._width(index), f'block_{index}'
    stride = 2 if width > x.shape[3] else 1

    def run(shortcut: tf.Tensor) -> tf.Tensor:
      return tf.nn.relu(shortcut + self._branch(weights, block, x, stride))

    return layers.passed(weights, block, _shortcut(x, width, stride), run)

  def pooled(self, states: tf.Tensor) -> tf.Tensor:
    """See `ImageEncoder.pooled`; the mean over pixels."""
    return tf.reduce_mean(states, axis=[1, 2])

  def _width(self, index: int) -> int:
    return self.width * 2 ** (index // self.blocks_per_group)

  def _branch(self, weights: layers.Named, block: str, x: tf.Tensor, stride: int) -> tf.Tensor:
    hidden = tf.nn.relu(self._convolution(weights, f'{block}/first', x, stride))
    return self._convolution(weights, f'{block}/second', hidden)

  def _convolution(self, weights: layers.Named, name: str, x: tf.Tensor, stride: int = 1) -> tf.Tensor:
    y = weight_lib.of(weights[f'{name}/kernel']).convolution(x, stride)
    scale, bias = weights[f'{name}/norm_scale'], weights[f'{name}/norm_bias']
    return weight_lib.of(scale).scaled(_normalized(y, self.norm_groups)) + bias


def resnet(width: int = 16, num_layers: int = 9, blocks_per_group: int = 3, norm_groups: int = 4) -> ResNet:
  """Configures a residual network; by default the ResNet-20 of the paper, but for the normalization.

  Args:
    width: See `ResNet`.
    num_layers: See `ResNet`.
    blocks_per_group: See `ResNet`.
    norm_groups: See `ResNet`.

  Returns:
    The network, which builds models.

  Raises:
    ValueError: For dimensions out of range.
  """
  return ResNet(width, num_layers, blocks_per_group, norm_groups)


def _convolution_variables(name: str, inputs: int, outputs: int) -> list[model_lib.Variable]:
  """Declares a kernel and the normalization behind it, which makes a bias needless."""
  shape = (_KERNEL_SIZE, _KERNEL_SIZE, inputs, outputs)
  return [
    model_lib.Variable(f'{name}/kernel', shape, model_lib.he_normal),
    *layers.norm_variables(f'{name}/norm', outputs),
  ]


def _shortcut(x: tf.Tensor, width: int, stride: int) -> tf.Tensor:
  """Keeps every `stride`-th pixel of `x` [batch, height, width, channels], with zeros for what it lacks in channels."""
  return tf.pad(x[:, ::stride, ::stride], [[0, 0], [0, 0], [0, 0], [0, width - x.shape[3]]])


def _normalized(x: tf.Tensor, num_groups: int) -> tf.Tensor:
  """Brings each group of neighbouring channels of each image [batch, height, width, channels] to zero mean, variance one."""
  _, height, width, channels = x.shape
  grouped = tf.reshape(x, [-1, height * width, num_groups, channels // num_groups])
  mean, variance = tf.nn.moments(grouped, axes=[1, 3], keepdims=True)
  return tf.reshape((grouped - mean) * tf.math.rsqrt(variance + _EPSILON), [-1, height, width, channels])
