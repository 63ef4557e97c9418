"""Names computations by what they compute, alike in every process that builds them by the same code.

TensorFlow numbers the functions of a process as they are traced, puts the numbers into their names and those of their
nodes, and orders functions by name, so that the bytes of a computation depend on what was traced before. Here a function
counts by its body, in which what it receives and its nodes are named by their places.
"""

from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import MutableMapping
import hashlib

from google.protobuf import any_pb2
from google.protobuf import message as message_lib
import tensorflow as tf
import tensorflow_federated as tff

# By name, a function notes what computes its gradient, and that for what it does: a call of either counts by its body.
_OF_GRADIENTS = ('backward_function_name', 'forward_function_name')


def of(computations: Iterable[tff.Computation]) -> str:
  """Returns a SHA-256 in hexadecimal of some computations, in order, and of the constants in them."""
  total = hashlib.sha256()
  for computation in computations:
    serialized = tff.framework.serialize_computation(computation)
    for packed in _packed(serialized):
      graph = tf.compat.v1.GraphDef()
      if packed.Unpack(graph):
        packed.value = _Functions(graph).digest(graph.node)
    total.update(serialized.SerializeToString(deterministic=True))
  return total.hexdigest()


def of_traced(functions: Iterable[tf.types.experimental.ConcreteFunction]) -> str:
  """Returns a SHA-256 in hexadecimal of traced functions, in order, and of the values and variables that they capture."""
  total = hashlib.sha256()
  for function in functions:
    graph = function.graph.as_graph_def()
    total.update(_Functions(graph).digest(graph.node))
    values = [value for value in function.captured_inputs if value.dtype != tf.resource]
    for value in [*values, *function.variables]:
      total.update(value.numpy().tobytes())
  return total.hexdigest()


def _packed(message: message_lib.Message) -> Iterator[any_pb2.Any]:
  """Yields the messages of unknown type in a message; those of graphs are."""
  for field, value in message.ListFields():
    if field.message_type is None:
      continue
    for part in value if field.label == field.LABEL_REPEATED else [value]:
      if isinstance(part, any_pb2.Any):
        yield part
      else:
        yield from _packed(part)


class _Functions:
  """The functions of a graph, each with the hash of its body. Changes the graph."""

  def __init__(self, graph: tf.compat.v1.GraphDef):
    self._by_name = {function.signature.name: function for function in graph.library.function}
    self._digests: dict[str, str] = {}

  def digest(self, nodes: Iterable[tf.compat.v1.NodeDef]) -> bytes:
    """Returns the SHA-256 of nodes, in order."""
    total = hashlib.sha256()
    for node in nodes:
      self._clean(node.attr)
      total.update(node.SerializeToString(deterministic=True))
    return total.digest()

  def _of(self, name: str) -> str:
    """Returns the hash of a function."""
    if name not in self._digests:
      function = self._by_name[name]
      named = [*function.signature.input_arg, *function.node_def]
      places = {one.name: str(place) for place, one in enumerate(named)}
      for one in named:
        one.name = places[one.name]
      for node in function.node_def:
        node.input[:] = [_renamed(source, places) for source in node.input]
      for results in (function.ret, function.control_ret):
        for key in list(results):
          results[key] = _renamed(results[key], places)
      function.signature.name = ''
      self._clean(function.attr)
      body = self.digest(function.node_def)
      function.ClearField('node_def')
      self._digests[name] = hashlib.sha256(body + function.SerializeToString(deterministic=True)).hexdigest()
    return self._digests[name]

  def _clean(self, attributes: MutableMapping[str, tf.compat.v1.AttrValue]) -> None:
    """Puts hashes in the place of names of functions, and leaves out what TensorFlow notes for itself."""
    for key in [key for key in attributes if key.startswith('_') or key in _OF_GRADIENTS]:
      del attributes[key]
    for value in attributes.values():
      for called in [value.func] if value.HasField('func') else value.list.func:
        called.name = self._of(called.name)


def _renamed(source: str, places: Mapping[str, str]) -> str:
  """Returns what a node takes, such as `^name` or `name:out:0`, by the place of what gives it."""
  control, name = ('^', source[1:]) if source.startswith('^') else ('', source)
  name, colon, output = name.partition(':')
  return f'{control}{places[name]}{colon}{output}'
