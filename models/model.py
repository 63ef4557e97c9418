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

from models import weight as weight_lib

Weights = tuple[tf.Tensor, ...]
Initializer = Callable[[Sequence[int], tf.Tensor], tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Units:
  """The interchangeable units that a variable consists of, so that a client can train some of them.

  The array axis at `position` has length copies * count * elements. Reshaped to [copies, count, elements], it holds
  unit j at [:, j, :]. A model that keeps the same units of one block in all its variables is a smaller model.

  Attributes:
    axis: What they are: `vocabulary`, `neurons`, `heads` or `rank`.
    position: The array axis along which they lie.
    count: Number of units.
    copies: Number of times that they lie there, one after the other, such as the gates of a recurrent layer.
  """

  axis: str
  position: int
  count: int
  copies: int = 1


@dataclasses.dataclass(frozen=True)
class Variable:
  """One float32 weight of a model.

  Attributes:
    name: Unique within the model; begins with the block, for example `block_0/mlp/up_kernel`.
    shape: Its static shape.
    initializer: From (shape, int64[2] seed) to the initial value.
    units: What it consists of, if a smaller model can do with some of them.
  """

  name: str
  shape: tuple[int, ...]
  initializer: Initializer
  units: Units | None = None

  @property
  def block(self) -> str:
    """The block that the variable belongs to: `embedding`, `block_0`, ..., `head`."""
    return block_of(self.name)

  @property
  def is_additive(self) -> bool:
    """Whether the model only adds it, so that its gradient is a sum and no product."""
    return self.name.endswith('bias')

  @property
  def size(self) -> int:
    """Number of scalars."""
    return int(np.prod(self.shape, dtype=np.int64))


@dataclasses.dataclass(frozen=True)
class Model:
  """Named variables and the function that uses them.

  Attributes:
    variables: In the order of every tuple of weights.
    apply: From (weights by name, inputs, int64[2] dropout seed or None when not training) to outputs. A weight is a
      tensor or a `Weight`.
    skips_blocks: Whether it stays a sensible model if it skips some blocks, because each adds to what passes by it.
    drawn_by_clients: Names of the variables for which each client, in the first round, draws an initial value of its own
      in place of the one that it receives.
    needs_tensors: Whether it uses weights as tensors alone, so that nothing but a sum can take the place of one.
  """

  variables: tuple[Variable, ...]
  apply: Callable[[Mapping[str, weight_lib.Value], tf.Tensor, tf.Tensor | None], tf.Tensor]
  skips_blocks: bool = False
  drawn_by_clients: frozenset[str] = frozenset()
  needs_tensors: bool = False

  @property
  def num_parameters(self) -> int:
    """Number of scalars over all variables."""
    return sum(variable.size for variable in self.variables)

  def initial_weights(self, seed: int) -> Weights:
    """Draws the initial weights as a function of `seed` alone, eagerly or inside a computation."""
    return tuple(self.initial_weight(index, seed) for index in range(len(self.variables)))

  def initial_weight(self, index: int, seed: int) -> tf.Tensor:
    """Draws the initial value of one variable."""
    variable = self.variables[index]
    return variable.initializer(variable.shape, tf.constant([seed, index], tf.int64))

  def by_name(self, weights: Sequence[weight_lib.Value]) -> dict[str, weight_lib.Value]:
    """Names a tuple of weights."""
    return {variable.name: weight for variable, weight in zip(self.variables, weights, strict=True)}


def block_of(name: str) -> str:
  """Returns the block of the variable of this name: `embedding`, `block_0`, ..., `head`."""
  return name.split('/', 1)[0]


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


def he_normal(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
  """Initializer for kernels [..., outputs] before a ReLU: normal with variance 2 / inputs (He et al. 2015, arXiv 1502.01852).

  All axes but the last count as inputs, so those of a convolution are the pixels and channels that its kernel covers.
  """
  return tf.random.stateless_normal(shape, seed, stddev=float(np.sqrt(2.0 / np.prod(shape[:-1]))))
