"""Initial values of Keras variables as a function of a seed, where Keras itself draws from a state of the process."""

from collections.abc import Callable
from collections.abc import Sequence
import functools

import tensorflow as tf

from models import model as model_lib

_RANDOM = (
  tf.keras.initializers.RandomNormal,
  tf.keras.initializers.RandomUniform,
  tf.keras.initializers.TruncatedNormal,
  tf.keras.initializers.VarianceScaling,
  tf.keras.initializers.Orthogonal,
)


def redrawn(initial_value: object) -> model_lib.Initializer | None:
  """Returns an initializer that draws what a random one of Keras draws, from the same distribution.

  Args:
    initial_value: What Keras gives a variable that it creates: a function without arguments that calls its initializer.

  Returns:
    From (shape, int64[2] seed) to float32; a seed that the initializer of Keras brings along does not count. None if
    it is none of `tf.keras.initializers` that draws.
  """
  function = initial_value.func if isinstance(initial_value, functools.partial) else None
  if not isinstance(function, _RANDOM) or type(function).__call__ not in [kind.__call__ for kind in _RANDOM]:
    return None
  kind, config = type(function), function.get_config()

  def initializer(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    drawing = kind.from_config(config)
    drawing._random_generator = _Generator(seed)  # What all of them draw from.
    return drawing(tuple(shape), dtype=tf.float32)

  return initializer


class _Generator:
  """What an initializer of Keras draws from, without a state; each draws once."""

  def __init__(self, seed: tf.Tensor):
    self._seed = seed

  def random_normal(
    self, shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: tf.DType = tf.float32, nonce: None = None
  ) -> tf.Tensor:
    return self._draw(tf.random.stateless_normal, shape, nonce, mean=mean, stddev=stddev, dtype=dtype)

  def truncated_normal(
    self, shape: Sequence[int], mean: float = 0.0, stddev: float = 1.0, dtype: tf.DType = tf.float32, nonce: None = None
  ) -> tf.Tensor:
    return self._draw(tf.random.stateless_truncated_normal, shape, nonce, mean=mean, stddev=stddev, dtype=dtype)

  def random_uniform(
    self,
    shape: Sequence[int],
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: tf.DType = tf.float32,
    nonce: None = None,
  ) -> tf.Tensor:
    return self._draw(tf.random.stateless_uniform, shape, nonce, minval=minval, maxval=maxval, dtype=dtype)

  def _draw(self, draw: Callable[..., tf.Tensor], shape: Sequence[int], nonce: None, **options: object) -> tf.Tensor:
    del nonce  # Of parts of a variable, of which there are none.
    return draw(shape, self._seed, **options)
