"""A trial of a codec that nobody has tested: it encodes and decodes some values, each in a graph that knows nothing else.

So it is in rounds: clients encode, the server decodes, and only what `encode` returns comes from one to the other.
"""

from collections.abc import Sequence

import tensorflow as tf

from compression import codec as codec_lib
from compression import stage

_NUM_VALUES = 100
_PYTHON = ('PyFunc', 'PyFuncStateless', 'EagerPyFunc')  # Operations that call back into the process that made them.


def check(codec: codec_lib.Codec) -> None:
  """Encodes and decodes values.

  Args:
    codec: The codec.

  Raises:
    ValueError: If it fails, keeps a variable or runs Python, the result is not so many finite floats, or levels are
      others than a stage declares. The message is one line.
  """
  spec, seeds = tf.TensorSpec([_NUM_VALUES]), (tf.constant([1, 2], tf.int64), tf.constant([3, 4], tf.int64))
  x = tf.linspace(-1.0, 1.0, _NUM_VALUES)
  encode = tf.function(codec.encode, autograph=False)
  decode = tf.function(lambda payload: codec.decode(payload, spec, seeds[1]), autograph=False)
  try:
    payload = encode(x, *seeds)
    decoded = decode(payload)
    between, _ = tf.function(codec.encode_by_stages, autograph=False)(x, *seeds)
  except Exception as error:
    reason = str(error).strip().partition('\n')[0]
    raise ValueError(
      f'{_NUM_VALUES} values cannot be encoded and decoded ({type(error).__name__}: {reason}); decode has what encode '
      'returns, its form and the shared seed, and nothing else'
    ) from error
  if decoded.shape != spec.shape or decoded.dtype != tf.float32:
    raise ValueError(f'of {_NUM_VALUES} floats decode makes {decoded.dtype.name} of shape {decoded.shape}')
  _check_levels(between, codec.forms(spec))
  for graph in (encode.get_concrete_function(x, *seeds).graph, decode.get_concrete_function(payload).graph):
    _check_graph(graph)
  if not tf.reduce_all(tf.math.is_finite(decoded)):
    raise ValueError(f'of {_NUM_VALUES} floats from -1 to 1 decode makes some that are not finite')


def _check_levels(values: Sequence[tf.Tensor], forms: Sequence[stage.Form]) -> None:
  """Raises ValueError if what a stage leaves as levels are not as many whole numbers, and as small, as it declares."""
  for found, form in zip(values, forms, strict=True):
    if form.kind == stage.Kind.LEVELS:
      low, high = int(tf.reduce_min(found)), int(tf.reduce_max(found))
      if low < 0 or high >= form.num_levels or found.shape.num_elements() != form.size:
        raise ValueError(
          f'of {_NUM_VALUES} floats a stage makes {found.shape.num_elements()} levels from {low} to {high}, where its form '
          f'declares {form.size} from 0 to {form.num_levels - 1}: what is outside is lost when levels are packed'
        )


def _check_graph(graph: tf.Graph) -> None:
  """Raises ValueError if a graph, or a branch or loop of it, needs what stays in the process that made it."""
  kept = [outer for outer, _ in graph.captures if outer.dtype in (tf.resource, tf.variant)]
  nodes = [*graph.as_graph_def().node, *(n for f in graph.as_graph_def().library.function for n in f.node_def)]
  if kept or any(node.op in _PYTHON for node in nodes):
    problem = 'it keeps a variable' if kept else 'it runs Python'
    raise ValueError(
      f'{problem}, which does not travel between clients and server: compute by TensorFlow, from arguments alone'
    )
