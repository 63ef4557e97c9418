"""Many tensors held as one, inside TensorFlow.

Python 3.11 loses 32 bytes with each tensor of TensorFlow 2.14 that it has seen: the room for attributes, which
TensorFlow does not free. The leaves of a client's update would be a megabyte in a hundred rounds of a few clients.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

_VARIANT = tf.TensorSpec([], tf.variant)


def holding(
  call: Callable[..., Sequence[tf.Tensor]], specs: Sequence[tf.TensorSpec], held: Sequence[int], holds: bool
) -> Any:
  """Returns a function whose last arguments, or whose result, are held as one tensor.

  Args:
    call: From tensors to tensors.
    specs: Of its arguments.
    held: How many of its last arguments come as one, for each such one in their order.
    holds: Whether what it gives is held as one.

  Returns:
    A function of the other arguments and of one tensor for each of `held`.
  """
  plain = list(specs[: len(specs) - sum(held)])

  def called(*arguments: tf.Tensor) -> Any:
    leaves, start = list(arguments[: len(plain)]), len(plain)
    for each, size in zip(arguments[len(plain) :], held, strict=True):
      leaves += _released(each, specs[start : start + size])
      start += size
    results = call(*leaves)
    return _held(results) if holds else results

  return tf.function(called, input_signature=[*plain, *[_VARIANT] * len(held)], autograph=False).get_concrete_function()


def _held(leaves: Sequence[tf.Tensor]) -> tf.Tensor:
  return tf.raw_ops.OptionalFromValue(components=[tf.constant(0), *leaves])  # It holds one at least.


def _released(held: tf.Tensor, specs: Sequence[tf.TensorSpec]) -> list[tf.Tensor]:
  types, shapes = [tf.int32, *[each.dtype for each in specs]], [[], *[each.shape for each in specs]]
  return tf.raw_ops.OptionalGetValue(optional=held, output_types=types, output_shapes=shapes)[1:]
