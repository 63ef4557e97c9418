"""Graphs run as they are: TensorFlow would rewrite each before it first runs, which takes long, and steps gain nothing."""

from collections.abc import Iterator
import contextlib

import tensorflow as tf

# Pruning stays, without which Keras models do not run, and what TensorFlow leaves out by itself.
_REWRITES = (
  'arithmetic_optimization', 'constant_folding', 'dependency_optimization', 'function_optimization',
  'implementation_selector', 'layout_optimizer', 'loop_optimization', 'remapping', 'shape_optimization',
)  # fmt: skip


def leave_out() -> None:
  """Lets this process run graphs as they are from now on."""
  tf.config.optimizer.set_experimental_options(dict.fromkeys(_REWRITES, False))


@contextlib.contextmanager
def left_out() -> Iterator[None]:
  """Lets this process run graphs as they are until the end of the block."""
  before = tf.config.optimizer.get_experimental_options()
  leave_out()
  try:
    yield
  finally:
    tf.config.optimizer.set_experimental_options({name: before.get(name) for name in _REWRITES})
