"""How a layer uses a weight, so that the gradient of a weight is computed only for the clients that train it.

A gradient tape that watches a weight W forms its gradient whether or not the client wants it. A `Tapped` weight is not
watched. Its uses z = x W are: the tape yields dz, and x^T dz is a product that can be left out, or put into a branch.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models import precision as precision_lib

Gradient = Callable[[tf.Tensor], tf.Tensor]  # From the gradient of a use's output to that of the weight.


class Weight:
  """A float32 weight as layers see it; gradients flow to its tensor if a tape watches that.

  It converts to a tensor wherever TensorFlow expects one. Python operators need a tensor on their other side.

  Attributes:
    tensor: The value.
    precision: In which its products are formed: see `models.precision`.
  """

  def __init__(self, tensor: tf.Tensor, precision: str = 'float32'):
    self.tensor = tensor
    self.precision = precision

  @property
  def shape(self) -> tf.TensorShape:
    """The static shape."""
    return self.tensor.shape

  def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
    """Converts to a tensor; TensorFlow calls it and checks the dtype."""
    del dtype, name
    return self.tensor

  def product(self, x: tf.Tensor) -> tf.Tensor:
    """Multiplies `x` [n, inputs] by a weight [inputs, outputs]."""
    output = precision_lib.product(x, self.tensor, self.precision)
    self.tap_product(x, output)
    return output

  def transposed_product(self, x: tf.Tensor) -> tf.Tensor:
    """Multiplies `x` [n, outputs] by the transpose of a weight [inputs, outputs]."""
    output = precision_lib.product(x, self.tensor, self.precision, transpose_b=True)
    self.tap(output, lambda d_output: precision_lib.product(d_output, x, self.precision, transpose_a=True))
    return output

  def rows(self, indices: tf.Tensor) -> tf.Tensor:
    """Looks up integer `indices` [...] in a weight [rows, width]: float32 [..., width]."""
    output = tf.gather(self.tensor, indices)
    self.tap(output, lambda d_output: _sum_by_row(d_output, indices, self.tensor))
    return output

  def scaled(self, x: tf.Tensor) -> tf.Tensor:
    """Multiplies `x` [..., width] by a weight [width]."""
    output = x * self.tensor
    self.tap(output, lambda d_output: tf.reduce_sum(tf.reshape(d_output * x, [-1, *self.shape]), 0))
    return output

  def causal_convolution(self, x: tf.Tensor) -> tf.Tensor:
    """Filters each channel of `x` [batch, length, width] over time by a weight [taps, width], the last tap being now.

    A position takes in itself and the taps - 1 before it; before the first, `x` counts as zero.
    """

    @tf.custom_gradient
    def convolution(x: tf.Tensor, taps: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
      return _filtered(x, taps), lambda d_y: (_filtered_backwards(d_y, taps), _sum_by_tap(x, d_y, taps.shape[0]))

    return convolution(x, self.tensor)

  def convolution(self, x: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """Filters images `x` [batch, height, width, inputs] by a weight [rows, columns, inputs, outputs], both odd.

    The kernel is centred at every `stride`-th pixel, from the first on: float32 [batch, ceil(height / stride), ceil(width /
    stride), outputs]. Beyond its border, an image counts as zero.
    """
    return _convolved(x, self.tensor, stride)

  def loop_product(self, x: tf.Tensor) -> tf.Tensor:
    """Does `product` inside a loop, where nothing can be tapped, in float32: few rows gain nothing by a lower precision.

    The layer calls `watch` before the loop and `tap_product` after it, on a tensor that is added to this product.
    """
    return tf.matmul(x, self.tensor)

  def watch(self, output: tf.Tensor) -> None:
    """Announces a later `tap` of an output that is about to be used."""

  def tap(self, output: tf.Tensor, gradient: Gradient) -> None:
    """Records a use that a layer computes with `tensor`; call it before the output is used, or `watch` before that.

    Args:
      output: The result of the use, or a tensor that is added to it.
      gradient: From the gradient of `output` to the gradient of this weight.
    """

  def tap_product(self, x: tf.Tensor, output: tf.Tensor) -> None:
    """Records that `x` [..., inputs] times this weight [inputs, outputs] gave, or was added to, `output`."""
    self.tap(
      output,
      lambda d_output: precision_lib.product(_matrix(x), _matrix(d_output), self.precision, transpose_a=True),
    )


class FrozenWeight(Weight):
  """A weight that is not trained: no tape watches it, and no loop over it forms its gradient."""

  def __init__(self, tensor: tf.Tensor, precision: str = 'float32'):
    super().__init__(tf.identity(tensor), precision)  # The gradient of a loop cannot capture an eager tensor.
    self._transposed: tf.Tensor | None = None

  def causal_convolution(self, x: tf.Tensor) -> tf.Tensor:
    """See `Weight.causal_convolution`; the gradient is that with respect to `x` alone."""
    output = _convolution_by_constant(x, self.tensor)
    self.tap(output, lambda d_output: _sum_by_tap(x, d_output, self.shape[0]))
    return output

  def convolution(self, x: tf.Tensor, stride: int = 1) -> tf.Tensor:
    """See `Weight.convolution`; the gradient is that with respect to `x` alone."""
    output = _image_convolution_by_constant(x, self.tensor, stride)
    self.tap(output, lambda d_output: _kernel_gradient(x, self.shape, d_output, stride))
    return output

  def loop_product(self, x: tf.Tensor) -> tf.Tensor:
    """See `Weight.loop_product`; the gradient is that with respect to `x` alone."""
    return _product_with_constant(
      x, self.tensor, _transposed(self.tensor) if self._transposed is None else self._transposed
    )

  def watch(self, output: tf.Tensor) -> None:
    """See `Weight.watch`; transposes for the products of the loop, which would keep a matrix made in it for each step."""
    self._transposed = _transposed(self.tensor)


class Tapped(FrozenWeight):
  """A trained weight whose uses are watched in place of its tensor.

  Attributes:
    uses: The uses so far: outputs, and functions from their gradients to that of the weight.
  """

  def __init__(self, tensor: tf.Tensor, tape: tf.GradientTape, precision: str = 'float32'):
    super().__init__(tensor, precision)
    self.uses: list[tuple[tf.Tensor, Gradient]] = []
    self._tape = tape
    self._converted = tf.identity(tensor)  # Watching the tensor itself would count its tapped uses twice.
    self._is_converted = False

  def __tf_tensor__(self, dtype: tf.DType | None = None, name: str | None = None) -> tf.Tensor:
    """Converts to a tensor that the tape watches: the gradient is right, but nothing is saved."""
    del dtype, name
    if not self._is_converted:
      self.tap(self._converted, tf.identity)
      self._is_converted = True
    return self._converted

  def watch(self, output: tf.Tensor) -> None:
    """See `Weight.watch`."""
    super().watch(output)
    self._tape.watch(output)

  def tap(self, output: tf.Tensor, gradient: Gradient) -> None:
    """See `Weight.tap`."""
    self._tape.watch(output)
    self.uses.append((output, gradient))

  def gradient(self, d_outputs: Sequence[tf.Tensor]) -> tf.Tensor:
    """Forms the dense gradient of this weight from the gradients of the outputs of its uses, in their order."""
    if not self.uses:
      return tf.zeros_like(self.tensor)
    return tf.add_n([gradient(d_output) for (_, gradient), d_output in zip(self.uses, d_outputs, strict=True)])


Value = tf.Tensor | Weight


def of(value: Value) -> Weight:
  """Returns a weight as it is, and a tensor as a `Weight`."""
  return value if isinstance(value, Weight) else Weight(value)


def is_trained(value: Value | bool) -> bool:
  """Whether a gradient may be asked for: not of what is known to be frozen, and not of flags."""
  if isinstance(value, Weight):
    return isinstance(value, Tapped) or not isinstance(value, FrozenWeight)
  return tf.is_tensor(value) and value.dtype.is_floating


def _matrix(x: tf.Tensor) -> tf.Tensor:
  return tf.reshape(x, [-1, x.shape[-1]])


def _sum_by_row(values: tf.Tensor, indices: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
  return tf.math.unsorted_segment_sum(_matrix(values), tf.reshape(indices, [-1]), tf.shape(table)[0])


def _transposed(matrix: tf.Tensor) -> tf.Tensor:
  """Transposes once for many products; with two axes alone, TensorFlow would make it a part of each of them again."""
  return tf.squeeze(tf.transpose(matrix[tf.newaxis], [0, 2, 1]), 0)


def _product_with_constant(x: tf.Tensor, constant: tf.Tensor, transposed: tf.Tensor) -> tf.Tensor:
  """Multiplies by a constant, whose transpose the gradient uses: of few rows, that takes half the time of `transpose_b`."""

  @tf.custom_gradient
  def product(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    return tf.matmul(x, constant), lambda d_output: tf.matmul(d_output, transposed)

  return product(x)


def _convolution_by_constant(x: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
  @tf.custom_gradient
  def convolution(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    return _filtered(x, taps), lambda d_output: _filtered_backwards(d_output, taps)

  return convolution(x)


def _image_convolution_by_constant(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
  """Convolves with a constant; TensorFlow's own gradient would form that of the kernel too."""

  @tf.custom_gradient
  def convolution(x: tf.Tensor) -> tuple[tf.Tensor, Gradient]:
    def gradient(d_output: tf.Tensor) -> tf.Tensor:
      return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(x), filter=kernel, out_backprop=d_output, **_places(kernel.shape, stride)
      )

    return _convolved(x, kernel, stride), gradient

  return convolution(x)


def _convolved(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
  return tf.raw_ops.Conv2D(input=x, filter=kernel, **_places(kernel.shape, stride))


def _kernel_gradient(x: tf.Tensor, shape: tf.TensorShape, d_output: tf.Tensor, stride: int) -> tf.Tensor:
  """The gradient of `_convolved` with respect to a kernel of this shape."""
  return tf.raw_ops.Conv2DBackpropFilter(input=x, filter_sizes=shape, out_backprop=d_output, **_places(shape, stride))


def _places(shape: tf.TensorShape, stride: int) -> dict[str, Any]:
  """Returns what tells TensorFlow's operations to centre a kernel of this shape at every `stride`-th pixel.

  `SAME` would begin with the second one if the stride is 2 and the size even; for stride 1 it is the same, and faster.
  """
  if stride == 1:
    return dict(strides=[1, 1, 1, 1], padding='SAME')
  around = [size // 2 for size in shape[:2] for _ in ('before', 'after')]
  return dict(strides=[1, stride, stride, 1], padding='EXPLICIT', explicit_paddings=[0, 0, *around, 0, 0])


def _filtered(x: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
  """y[t] = sum over lags of x[t - lag] taps[-1 - lag], by channel."""
  return _slid(tf.pad(x, [[0, 0], [taps.shape[0] - 1, 0], [0, 0]]), taps)


def _filtered_backwards(d_y: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
  """The gradient of `_filtered` with respect to `x`: the same, from the end of time to its beginning."""
  return _slid(tf.pad(d_y, [[0, 0], [0, taps.shape[0] - 1], [0, 0]]), tf.reverse(taps, [0]))


def _slid(x: tf.Tensor, taps: tf.Tensor) -> tf.Tensor:
  """Slides `taps` over `x` [batch, length + taps - 1, width], wherever they lie within it."""
  filters = taps[tf.newaxis, :, :, tf.newaxis]
  return tf.squeeze(tf.nn.depthwise_conv2d(x[:, tf.newaxis], filters, [1, 1, 1, 1], 'VALID'), [1])


def _sum_by_tap(x: tf.Tensor, d_y: tf.Tensor, num_taps: int) -> tf.Tensor:
  """The gradient of `_filtered` with respect to the taps: by channel, a product over the batch, summed up by lag.

  TensorFlow's own gradient of a depthwise convolution takes more than ten times as long for 31 taps and 30 positions.
  """
  width, times = x.shape[2], np.arange(x.shape[1])
  products = tf.matmul(tf.transpose(d_y, [2, 1, 0]), tf.transpose(x, [2, 0, 1]))  # [width, time of d_y, time of x]
  lags = times[:, np.newaxis] - times
  taps = np.where((lags >= 0) & (lags < num_taps), num_taps - 1 - lags, -1)  # What is below 0 is left out.
  by_pair = tf.transpose(tf.reshape(products, [width, taps.size]))
  return tf.math.unsorted_segment_sum(by_pair, taps.reshape([-1]), num_taps)
