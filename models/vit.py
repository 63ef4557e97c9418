"""Vision Transformer (Dosovitskiy et al. 2021, arXiv 2010.11929) for images of any size that patches divide.

    x <- patches W + positions;  x <- x + Attention(LN(x));  x <- x + MLP(LN(x));  logits = mean(LN(x)) C + b

Positions have a fixed code of sines and the classes are read off the mean over patches, as in Beyer et al. 2022 (arXiv
2205.01580), so that no variable depends on the size of the image.
"""

from collections.abc import Sequence
import dataclasses
import functools

import tensorflow as tf

from data import arguments
from models import image_encoder
from models import layers
from models import model as model_lib
from models import sizes

SIZES = {
  'tiny': dict(width=192, mlp_width=768, num_layers=12, num_heads=3),
  'small': dict(width=384, mlp_width=1536, num_layers=12, num_heads=6),
}


@dataclasses.dataclass(frozen=True)
class VisionTransformer(image_encoder.ImageEncoder):
  """A stack of attention layers over the patches of images.

  Attributes:
    width: Width of what passes from layer to layer; a multiple of 4.
    mlp_width: Hidden width of each layer's MLP.
    num_layers: Number of layers.
    num_heads: Attention heads; divides width.
    patch_size: Pixels on each side of a patch.
    dropout: Rate after each sub-layer while training, in [0, 1).
  """

  name = 'vit'

  width: int
  mlp_width: int
  num_layers: int
  num_heads: int
  patch_size: int
  dropout: float = 0.0

  def __post_init__(self):
    arguments.check_within('[0, 1)', dropout=self.dropout)
    sizes.head_width(self.width, self.num_heads)
    if self.width % 4:
      raise ValueError(f'width={self.width} must be a multiple of 4: rows and columns have sines and cosines each')

  @property
  def feature_width(self) -> int:
    """Length of the vector that `features` returns for an image."""
    return self.width

  def classifier(self, image_shape: Sequence[int], num_classes: int) -> model_lib.Model:
    """Returns a model of float32 images [batch, height, width, channels] to float32 logits [batch, num_classes].

    Args:
      image_shape: Height, width and channels.
      num_classes: Number of classes.

    Raises:
      ValueError: If patches do not divide the image.
    """
    variables = [
      *self.variables(image_shape),
      *layers.norm_variables('head/norm', self.width),
      *layers.projection_variables('head/classifier', self.width, num_classes),
    ]

    def apply(weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      x = layers.norm(
        weights, 'head/norm', self.through_blocks(weights, self.embedded(weights, images), seed, range(self.num_layers))
      )
      return layers.projection(weights, 'head/classifier', tf.reduce_mean(x, axis=1))

    return model_lib.Model(tuple(variables), apply, skips_blocks=True)

  def variables(self, image_shape: Sequence[int]) -> tuple[model_lib.Variable, ...]:
    """Declares embedding and blocks, which all models of this Transformer have; each adds a head.

    Args:
      image_shape: Height, width and channels.

    Raises:
      ValueError: If patches do not divide the image.
    """
    self._check(image_shape)
    embedding = layers.projection_variables('embedding/patch', self.patch_size**2 * image_shape[2], self.width)
    return (*embedding, *self._block_variables())

  def embedded(self, weights: layers.Named, images: tf.Tensor) -> tf.Tensor:
    """See `ImageEncoder.embedded`: float32 [batch, patches, width]."""
    rows, columns = images.shape[1] // self.patch_size, images.shape[2] // self.patch_size
    x = layers.projection(weights, 'embedding/patch', patches(images, self.patch_size))
    return x + _positions(rows, columns, self.width)

  def block(self, weights: layers.Named, index: int, x: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """See `ImageEncoder.block`."""
    return layers.passed(weights, f'block_{index}', x, functools.partial(self._block, weights, index, seed=seed))

  def pooled(self, states: tf.Tensor) -> tf.Tensor:
    """See `ImageEncoder.pooled`; the mean over patches."""
    return tf.reduce_mean(states, axis=1)

  def _check(self, image_shape: Sequence[int]) -> None:
    height, width, _ = image_shape
    if height % self.patch_size or width % self.patch_size:
      raise ValueError(f'patch_size={self.patch_size} must divide images of {height} x {width} pixels')

  def _block_variables(self) -> list[model_lib.Variable]:
    variables = []
    for index in range(self.num_layers):
      variables += layers.attention_variables(f'block_{index}/attention', self.width, self.num_heads)
      variables += layers.mlp_variables(f'block_{index}/mlp', self.width, self.mlp_width)
    return variables

  def _block(self, weights: layers.Named, index: int, x: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    name, head_width = f'block_{index}/attention', self.width // self.num_heads
    y = layers.self_attention(weights, name, layers.norm(weights, f'{name}/norm', x), head_width, hidden=None)
    x += layers.dropout(y, self.dropout, seed, 2 * index)
    y = layers.mlp(weights, f'block_{index}/mlp', x, tf.nn.gelu)
    return x + layers.dropout(y, self.dropout, seed, 2 * index + 1)


def vit(
  size: str = 'tiny',
  width: int | None = None,
  mlp_width: int | None = None,
  num_layers: int | None = None,
  num_heads: int | None = None,
  patch_size: int = 4,
  dropout: float = 0.0,
) -> VisionTransformer:
  """Configures a Vision Transformer.

  Args:
    size: `tiny` or `small`, the published ViT-Tiny (Touvron et al. 2021, arXiv 2012.12877) and ViT-Small; the other
      arguments override its dimensions.
    width: See `VisionTransformer`.
    mlp_width: See `VisionTransformer`.
    num_layers: See `VisionTransformer`.
    num_heads: See `VisionTransformer`.
    patch_size: See `VisionTransformer`.
    dropout: See `VisionTransformer`.

  Returns:
    The Transformer, which builds models.

  Raises:
    ValueError: For dimensions out of range.
  """
  dimensions = sizes.chosen(
    SIZES, size, dict(width=width, mlp_width=mlp_width, num_layers=num_layers, num_heads=num_heads)
  )
  sizes.check_dimensions(patch_size=patch_size)
  return VisionTransformer(**dimensions, patch_size=patch_size, dropout=dropout)


def patches(images: tf.Tensor, patch_size: int) -> tf.Tensor:
  """Cuts images [batch, height, width, channels] into [batch, patches, patch_size * patch_size * channels], row by row."""
  _, height, width, channels = images.shape
  rows, columns = height // patch_size, width // patch_size
  x = tf.reshape(images, [-1, rows, patch_size, columns, patch_size, channels])
  return tf.reshape(tf.transpose(x, [0, 1, 3, 2, 4, 5]), [-1, rows * columns, patch_size**2 * channels])


def _positions(rows: int, columns: int, width: int) -> tf.Tensor:
  """Returns [rows * columns, width]: the code of the row beside that of the column."""
  row_code, column_code = (layers.sinusoidal_positions(length, width // 2) for length in (rows, columns))
  return tf.concat([tf.repeat(row_code, columns, axis=0), tf.tile(column_code, [rows, 1])], axis=1)
