"""Small trained additions to a frozen model: low-rank updates of kernels, and bottlenecks behind them.

    LoRA (Hu et al. 2021, arXiv 2106.09685):          z = x W + (alpha / rank) (x A) B
    adapters (Houlsby et al. 2019, arXiv 1902.00751): y = x W;  z = y + relu(y D) U

B and U start at zero, so that the model starts as it was. The bottlenecks lie before the bias of their kernel, if it
has one, and have no biases themselves.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import functools
import re

import numpy as np
import tensorflow as tf

from data import arguments
from models import model as model_lib
from models import weight as weight_lib

MOST_UNITS = 2**16  # Of what is added to a kernel.
KERNELS = r'kernel$'
_LORA_A, _LORA_B = '_lora_a', '_lora_b'
SUBLAYER_OUTPUTS = r'(attention/output_kernel|mlp/down_kernel|projection_kernel)$'

_Multiply = Callable[[weight_lib.Weight, tf.Tensor], tf.Tensor]
_Additions = Callable[[model_lib.Variable], tuple[model_lib.Variable, model_lib.Variable]]
_Join = Callable[[weight_lib.Value, weight_lib.Value, weight_lib.Value], weight_lib.Weight]


def with_lora(model: model_lib.Model, rank: int, alpha: float, on: str = KERNELS) -> model_lib.Model:
  """Adds a low-rank update to kernels.

  Args:
    model: Its variables and their initial values stay as they are.
    rank: Rank of the updates. Weights with fewer ranks run too, at the same scale.
    alpha: The update is scaled by alpha / rank.
    on: Regular expression, searched for in the names of the two-dimensional variables.

  Returns:
    The model with variables `<name>_lora_a` [inputs, rank] and `<name>_lora_b` [rank, outputs] behind its own.

  Raises:
    ValueError: For a rank or alpha that is not positive, or an expression that names no kernel, or that of a convolution.
  """
  arguments.check_whole(1, rank=rank)
  if not alpha > 0.0:
    raise ValueError(f'alpha must be positive, not {alpha!r}')

  def additions(kernel: model_lib.Variable) -> tuple[model_lib.Variable, model_lib.Variable]:
    inputs, outputs = kernel.shape
    columns, rows = (model_lib.Units('rank', position, rank) for position in (1, 0))
    return (
      model_lib.Variable(kernel.name + _LORA_A, (inputs, rank), model_lib.normal(inputs**-0.5), columns),
      model_lib.Variable(kernel.name + _LORA_B, (rank, outputs), model_lib.zeros, rows),
    )

  return _extended(model, on, additions, functools.partial(LowRank, alpha / rank))


def merged(weights: Mapping[str, np.ndarray], scale: float) -> dict[str, np.ndarray]:
  """Returns weights with the low-rank updates that `with_lora` added, times alpha / rank, summed into their kernels."""
  kernels = {name.removesuffix(_LORA_A) for name in weights if name.endswith(_LORA_A)}
  kept = {name: value for name, value in weights.items() if not name.endswith((_LORA_A, _LORA_B))}
  return kept | {
    name: weights[name] + np.float32(scale) * (weights[name + _LORA_A] @ weights[name + _LORA_B]) for name in kernels
  }


def with_adapters(model: model_lib.Model, width: int, on: str = SUBLAYER_OUTPUTS) -> model_lib.Model:
  """Adds a bottleneck behind kernels.

  Args:
    model: Its variables and their initial values stay as they are.
    width: Units of a bottleneck.
    on: Regular expression, searched for in the names of the two-dimensional variables.

  Returns:
    The model with variables `<name>_adapter_down` [outputs, width] and `<name>_adapter_up` [width, outputs] behind its
    own.

  Raises:
    ValueError: For a width below 1, an expression that names no kernel, or that of a convolution, or a model that uses
      tensors alone.
  """
  arguments.check_whole(1, width=width)
  if model.needs_tensors:
    raise ValueError('no adapter can be put behind a kernel of a Keras model, which multiplies by itself: use lora')

  def additions(kernel: model_lib.Variable) -> tuple[model_lib.Variable, model_lib.Variable]:
    outputs = kernel.shape[1]
    return (
      model_lib.Variable(f'{kernel.name}_adapter_down', (outputs, width), model_lib.normal(outputs**-0.5)),
      model_lib.Variable(f'{kernel.name}_adapter_up', (width, outputs), model_lib.zeros),
    )

  return _extended(model, on, additions, Bottleneck)


class Composite(weight_lib.Weight):
  """A kernel whose product is put together from the products of a kernel and two additions, each a tensor or `Weight`."""

  def __init__(self, kernel: weight_lib.Value, first: weight_lib.Value, second: weight_lib.Value):
    self._kernel, self._first, self._second = (weight_lib.of(part) for part in (kernel, first, second))

  @property
  def shape(self) -> tf.TensorShape:
    """The static shape of the kernel."""
    return self._kernel.shape

  def combine(self, x: tf.Tensor, multiply: _Multiply) -> tf.Tensor:
    """Does the product of `x` [n, inputs], with `multiply` in place of the products of the parts."""
    raise NotImplementedError

  def product(self, x: tf.Tensor) -> tf.Tensor:
    """See `Weight.product`."""
    return self.combine(x, lambda part, y: part.product(y))

  def loop_product(self, x: tf.Tensor) -> tf.Tensor:
    """See `Weight.loop_product`."""
    return self.combine(x, lambda part, y: part.loop_product(y))

  def watch(self, output: tf.Tensor) -> None:
    """See `Weight.watch`."""
    for part in self._leaves():
      part.watch(output)

  def tap_product(self, x: tf.Tensor, output: tf.Tensor) -> None:
    """See `Weight.tap_product`; the gradient of a part runs the products before it once more, over all of `x`."""
    for part in self._leaves():
      part.tap(output, functools.partial(self._gradient, part, x))

  def _gradient(self, part: weight_lib.Weight, x: tf.Tensor, d_output: tf.Tensor) -> tf.Tensor:
    def multiply(other: weight_lib.Weight, y: tf.Tensor) -> tf.Tensor:
      if isinstance(other, Composite):
        return other.combine(y, multiply)
      return tf.matmul(y, watched if other is part else other.tensor)

    with tf.GradientTape(watch_accessed_variables=False) as tape:
      watched = tf.identity(part.tensor)
      tape.watch(watched)
      output = self.combine(tf.reshape(x, [-1, x.shape[-1]]), multiply)
    return tape.gradient(output, watched, output_gradients=tf.reshape(d_output, tf.shape(output)))

  def _leaves(self) -> Iterator[weight_lib.Weight]:
    for part in (self._kernel, self._first, self._second):
      if isinstance(part, Composite):
        yield from part._leaves()
      else:
        yield part


class LowRank(Composite):
  """W + scale A B, never formed unless a layer asks for the tensor."""

  def __init__(self, scale: float, kernel: weight_lib.Value, a: weight_lib.Value, b: weight_lib.Value):
    super().__init__(kernel, a, b)
    self._scale = scale

  @property
  def tensor(self) -> tf.Tensor:
    """The sum as a tensor, through which gradients flow to the parts."""
    kernel, a, b = (tf.convert_to_tensor(part) for part in (self._kernel, self._first, self._second))
    return kernel + self._scale * tf.matmul(a, b)

  def combine(self, x: tf.Tensor, multiply: _Multiply) -> tf.Tensor:
    """See `Composite.combine`."""
    return multiply(self._kernel, x) + self._scale * multiply(self._second, multiply(self._first, x))

  def transposed_product(self, x: tf.Tensor) -> tf.Tensor:
    """See `Weight.transposed_product`."""
    update = self._first.transposed_product(self._second.transposed_product(x))
    return self._kernel.transposed_product(x) + self._scale * update

  def rows(self, indices: tf.Tensor) -> tf.Tensor:
    """See `Weight.rows`."""
    rows = self._kernel.rows(indices)
    factors = self._first.rows(tf.reshape(indices, [-1]))
    return rows + self._scale * tf.reshape(self._second.product(factors), tf.shape(rows))


class Bottleneck(Composite):
  """A kernel with a bottleneck behind it; it is no matrix."""

  @property
  def tensor(self) -> tf.Tensor:
    """Raises `TypeError`."""
    raise TypeError('a kernel with an adapter behind it has no tensor: only layers that multiply by it can have one')

  def combine(self, x: tf.Tensor, multiply: _Multiply) -> tf.Tensor:
    """See `Composite.combine`."""
    output = multiply(self._kernel, x)
    return output + multiply(self._second, tf.nn.relu(multiply(self._first, output)))


def _extended(model: model_lib.Model, on: str, additions: _Additions, join: _Join) -> model_lib.Model:
  """Adds two variables for each kernel that `on` names, and hands the model the three joined in its place."""
  added = {kernel.name: additions(kernel) for kernel in _matching(model, on)}
  new = tuple(variable for pair in added.values() for variable in pair)
  new_names = {variable.name for variable in new}
  if twice := new_names.intersection(variable.name for variable in model.variables):
    raise ValueError(f'the model already has {", ".join(sorted(twice))}')

  def apply(weights: Mapping[str, weight_lib.Value], inputs: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
    own = {name: weight for name, weight in weights.items() if name not in new_names}
    joined = {
      name: join(weight, *(weights[variable.name] for variable in added[name])) if name in added else weight
      for name, weight in own.items()
    }
    return model.apply(joined, inputs, seed)

  return dataclasses.replace(model, variables=model.variables + new, apply=apply)


def _matching(model: model_lib.Model, on: str) -> list[model_lib.Variable]:
  try:
    expression = re.compile(on)
  except re.error as error:
    raise ValueError(f'on={on!r} is not a regular expression: {error}') from error
  named = [variable for variable in model.variables if expression.search(variable.name)]
  if others := [variable for variable in named if len(variable.shape) > 2]:
    kind = 'the kernel of a convolution' if len(others[0].shape) == 4 else f'a kernel of {len(others[0].shape)} axes'
    raise ValueError(
      f'on={on!r} names {others[0].name}, {kind}, to which nothing can be added: name others, or train suffix(blocks=...)'
    )
  kernels = [variable for variable in named if len(variable.shape) == 2]
  if not kernels:
    raise ValueError(f'on={on!r} matches no two-dimensional variable of the model')
  return kernels
