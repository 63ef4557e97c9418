"""A model as explicit weights: named variables in named blocks, and a pure function from weights and inputs to outputs.

Weights are arguments rather than attributes, so that a client can train some of them, receive slices of them, or run
them in another shape, without a second implementation. The order of `Model.variables` is the order of every tuple of
weights in the suite.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses

import numpy as np
import tensorflow as tf

Weights = tuple[tf.Tensor, ...]
Initializer = Callable[[Sequence[int], tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Variable:
  """One float32 weight of a model.

  Attributes:
    name: Unique within the model; begins with the block, for example `block_0/mlp/up_kernel`.
    shape: Its static shape.
    initializer: From (shape, int64[2] seed) to the initial value.
  """

  name: str
  shape: tuple[int, ...]
  initializer: Initializer

  @property
  def block(self) -> str:
    """The block that the variable belongs to: `embedding`, `block_0`, ..., `head`."""
    return self.name.split('/', 1)[0]

  @property
  def size(self) -> int:
    """Number of scalars."""
    return int(np.prod(self.shape, dtype=np.int64))


@dataclasses.dataclass(frozen=True)
class Model:
  """Named variables and the function that uses them.

  Attributes:
    variables: In the order of every tuple of weights.
    apply: From (weights by name, inputs, int64[2] dropout seed or None when not training) to outputs.
  """

  variables: tuple[Variable, ...]
  apply: Callable[[Mapping[str, tf.Tensor], tf.Tensor, tf.Tensor | None], tf.Tensor]

  @property
  def num_parameters(self) -> int:
    """Number of scalars over all variables."""
    return sum(variable.size for variable in self.variables)

  def initial_weights(self, seed: int) -> Weights:
    """Draws the initial weights as a function of `seed` alone, eagerly or inside a computation."""
    return tuple(
      variable.initializer(variable.shape, tf.constant([seed, index], tf.int64))
      for index, variable in enumerate(self.variables)
    )

  def by_name(self, weights: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """Names a tuple of weights."""
    return {variable.name: weight for variable, weight in zip(self.variables, weights, strict=True)}


def zeros(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
  """Initializer for biases."""
  del seed
  return tf.zeros(shape)


def ones(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
  """Initializer for normalization scales."""
  del seed
  return tf.ones(shape)


def normal(stddev: float) -> Initializer:
  """Initializer that draws from a normal distribution around zero."""
  return lambda shape, seed: tf.random.stateless_normal(shape, seed, stddev=stddev)


def glorot_uniform(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
  """Initializer for kernels [inputs, outputs]: uniform with variance 2 / (inputs + outputs)."""
  limit = float(np.sqrt(6.0 / (shape[0] + shape[-1])))
  return tf.random.stateless_uniform(shape, seed, -limit, limit)
