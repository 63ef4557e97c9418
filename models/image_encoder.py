"""What every encoder of images offers, to be pre-trained, fine-tuned, grown block by block and judged by its features."""

import abc
from collections.abc import Iterable
from collections.abc import Sequence
import dataclasses
from typing import ClassVar

import tensorflow as tf

from models import layers
from models import model as model_lib


class FeatureExtractor(abc.ABC):
  """What makes vectors of images."""

  @property
  @abc.abstractmethod
  def feature_width(self) -> int:
    """Length of the vector that `features` returns for an image; it may depend on the depth."""

  @abc.abstractmethod
  def variables(self, image_shape: Sequence[int]) -> tuple[model_lib.Variable, ...]:
    """Declares embedding and blocks, which all models of this encoder have; each adds a head.

    Args:
      image_shape: Height, width and channels.

    Raises:
      ValueError: If it cannot take such images.
    """

  @abc.abstractmethod
  def features(self, weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """Returns the vectors, float32 [batch, feature_width].

    Args:
      weights: Those of `variables`, also with fewer blocks (numbered from 0); others may be there.
      images: float32 [batch, height, width, channels].
      seed: int64[2] for dropout, or None.
    """


class ImageEncoder(FeatureExtractor):
  """Residual blocks over images of any size that it can take.

  It is a frozen dataclass whose fields are the arguments of its builder. One of fewer layers has the first of the blocks
  of a deeper one, and the same variables for them.

  Attributes:
    name: A key of `catalog.VISION_MODELS`.
    num_layers: Number of blocks.
  """

  name: ClassVar[str]
  num_layers: int

  @property
  def spec(self) -> str:
    """The text that `--model` takes to build it."""
    arguments = (f'{field.name}={getattr(self, field.name)!r}' for field in dataclasses.fields(self))
    return f'{self.name}({", ".join(arguments)})'

  @abc.abstractmethod
  def classifier(self, image_shape: Sequence[int], num_classes: int) -> model_lib.Model:
    """Returns a model of float32 images [batch, height, width, channels] to float32 logits [batch, num_classes].

    Args:
      image_shape: Height, width and channels.
      num_classes: Number of classes.

    Raises:
      ValueError: If it cannot take such images.
    """

  @abc.abstractmethod
  def embedded(self, weights: layers.Named, images: tf.Tensor) -> tf.Tensor:
    """Returns what the first block takes of images as for `features`."""

  @abc.abstractmethod
  def block(self, weights: layers.Named, index: int, x: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """Returns what comes out of a block, numbered from 0, or passes it by; see `layers.passed`."""

  @abc.abstractmethod
  def pooled(self, states: tf.Tensor) -> tf.Tensor:
    """Returns the features, given what comes out of the last block."""

  def features(self, weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """See `FeatureExtractor.features`."""
    return self.pooled(self.through_blocks(weights, self.embedded(weights, images), seed, range(self.num_layers)))

  def through_blocks(
    self, weights: layers.Named, x: tf.Tensor, seed: tf.Tensor | None, blocks: Iterable[int]
  ) -> tf.Tensor:
    """Passes `x` through those of some blocks, in their order, of which the weights are there."""
    there = {model_lib.block_of(name) for name in weights}
    for index in blocks:
      if f'block_{index}' in there:
        x = self.block(weights, index, x, seed)
    return x
