"""An encoder of images that sees a few at a time, so that a client's memory hardly grows with its batch.

    h = features(images), chunk by chunk, nothing kept;   in the backward pass, for each chunk: features again, and its
    share of the gradients                                (Gao et al. 2021, arXiv 2101.06983, for contrastive losses)

The loss still compares all images of a batch. What lies below the first trained block is computed once and its output
kept; what is trained runs forward twice, and a target all over again. Dropout draws
by chunk.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

import tensorflow as tf

from models import image_encoder
from models import layers
from models import model as model_lib
from models import sizes
from models import weight as weight_lib

Rows = Callable[
  [layers.Named, tf.Tensor, tf.Tensor | None], tf.Tensor
]  # From weights, rows and a seed to as many rows.


@dataclasses.dataclass(frozen=True)
class ChunkedEncoder(image_encoder.FeatureExtractor):
  """An encoder that is applied to chunks of its input.

  Attributes:
    encoder: The encoder.
    chunk_size: Images in a chunk; the last one may hold fewer.
  """

  encoder: image_encoder.ImageEncoder
  chunk_size: int

  def __post_init__(self):
    sizes.check_dimensions(chunk_size=self.chunk_size)

  @property
  def feature_width(self) -> int:
    """See `FeatureExtractor`."""
    return self.encoder.feature_width

  def variables(self, image_shape: Sequence[int]) -> tuple[model_lib.Variable, ...]:
    """See `FeatureExtractor`."""
    return self.encoder.variables(image_shape)

  def features(self, weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    """See `FeatureExtractor.features`."""
    num_frozen, encoder = _num_frozen_blocks(weights), self.encoder
    if num_frozen is None:
      return _rematerialized(encoder.features, weights, images, seed, self.chunk_size)

    def below(weights: layers.Named, images: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      return encoder.through_blocks(weights, encoder.embedded(weights, images), seed, range(num_frozen))

    def above(weights: layers.Named, x: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
      return encoder.pooled(encoder.through_blocks(weights, x, seed, range(num_frozen, encoder.num_layers)))

    x = _mapped(lambda rows, index: below(weights, rows, _of_chunk(seed, index)), images, self.chunk_size)
    return _rematerialized(above, weights, x, seed, self.chunk_size)


def by_chunks(encoder: image_encoder.ImageEncoder, chunk_size: int) -> image_encoder.FeatureExtractor:
  """Returns the encoder, applied to chunks of so many images; itself for 0, which stands for all at once."""
  return ChunkedEncoder(encoder, chunk_size) if chunk_size else encoder


def _num_frozen_blocks(weights: layers.Named) -> int | None:
  """Returns how many of the first blocks nobody trains; None if the embedding is trained, or nothing is known."""
  trained = {model_lib.block_of(name) for name, weight in weights.items() if weight_lib.is_trained(weight)}
  if 'embedding' in trained:
    return None
  index = 0
  while f'block_{index}' not in trained and any(name.startswith(f'block_{index}/') for name in weights):
    index += 1
  return index


def _rematerialized(
  run: Rows, weights: layers.Named, x: tf.Tensor, seed: tf.Tensor | None, chunk_size: int
) -> tf.Tensor:
  """Applies `run` by chunks; the gradients of the trained weights come from another run of each chunk.

  No gradient flows to `x`.
  """
  names = [name for name, weight in weights.items() if weight_lib.is_trained(weight)]

  def of_chunk(tensors: Sequence[tf.Tensor], index: tf.Tensor) -> tf.Tensor:
    rows = _chunk(x, index, chunk_size)
    return run({**weights, **dict(zip(names, tensors, strict=True))}, rows, _of_chunk(seed, index))

  @tf.custom_gradient
  def all_rows(*tensors: tf.Tensor) -> tuple[tf.Tensor, Callable[..., list[tf.Tensor]]]:
    def backward(d_output: tf.Tensor) -> list[tf.Tensor]:
      def body(index: tf.Tensor, totals: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
          tape.watch(tensors)
          output = of_chunk(tensors, index)
        d_rows = _chunk(d_output, index, chunk_size)
        found = tape.gradient(output, tensors, d_rows, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return index + 1, [total + tf.convert_to_tensor(each) for total, each in zip(totals, found, strict=True)]

      start = (tf.constant(0), [tf.zeros_like(tensor) for tensor in tensors])
      return _loop(body, start, _num_chunks(x, chunk_size))[1]

    return _mapped(lambda rows, index: of_chunk(tensors, index), x, chunk_size), backward

  return all_rows(*(tf.convert_to_tensor(weights[name]) for name in names))


def _mapped(run: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], x: tf.Tensor, chunk_size: int) -> tf.Tensor:
  """Applies `run` to each chunk of the rows of `x` and its number; puts the results behind each other."""
  count, shapes = _num_chunks(x, chunk_size), []

  def body(index: tf.Tensor, results: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
    result = run(_chunk(x, index, chunk_size), index)
    shapes.append(result.shape[1:])
    return index + 1, results.write(index, result)

  results = tf.TensorArray(tf.float32, size=count, infer_shape=False)
  _, results = _loop(body, (tf.constant(0), results), count)
  return tf.ensure_shape(results.concat(), [x.shape[0], *shapes[0]])


def _loop(body: Callable, start: tuple, count: int | tf.Tensor) -> tuple:
  return tf.while_loop(lambda index, _: index < count, body, start, parallel_iterations=1, maximum_iterations=count)


def _num_chunks(x: tf.Tensor, chunk_size: int) -> int | tf.Tensor:
  length = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
  return -(-length // chunk_size)


def _chunk(x: tf.Tensor, index: tf.Tensor, chunk_size: int) -> tf.Tensor:
  return x[index * chunk_size : (index + 1) * chunk_size]


def _of_chunk(seed: tf.Tensor | None, index: tf.Tensor) -> tf.Tensor | None:
  return None if seed is None else tf.random.experimental.stateless_fold_in(seed, index)
