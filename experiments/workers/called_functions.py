"""The functions that a graph calls, made to run as they are: TensorFlow would rewrite each of them on its first call."""

from collections.abc import Container
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

_SUFFIX = '_as_it_is'  # A process has one function of a name, and the one that was traced has this name without it.
_CONFIG = 'config_proto'


def run_as_they_are(graph: tf.compat.v1.GraphDef) -> None:
  """Changes a graph in place: what it calls has only the nodes that decide its results, and nothing rewrites it.

  Args:
    graph: The graph, with the library of all functions that it and they call.
  """
  config = tf.compat.v1.ConfigProto()
  config.graph_options.rewrite_options.disable_meta_optimizer = True
  serialized, functions = config.SerializeToString(), graph.library.function
  names = frozenset(function.signature.name for function in functions)
  for function in functions:
    _prune(function)
    function.signature.name += _SUFFIX
  for gradient in graph.library.gradient:
    gradient.function_name += _SUFFIX
    gradient.gradient_func += _SUFFIX
  for node in [*graph.node, *(node for function in functions for node in function.node_def)]:
    node.op += _SUFFIX if node.op in names else ''
    _rename(node.attr, names)
    if _CONFIG in node.attr:
      node.attr[_CONFIG].s = serialized


def _rename(attributes: Any, names: Container[str]) -> None:
  """Lets attributes of a node, by their name, name functions as they are called now."""
  for attribute in attributes.values():
    for called in [*attribute.list.func, *([attribute.func] if attribute.HasField('func') else [])]:
      called.name += _SUFFIX if called.name in names else ''
      _rename(called.attr, names)


def _prune(function: Any) -> None:
  """Removes nodes of a `FunctionDef` that neither its results nor what has to run need, such as a placeholder of Keras."""
  by_name = {node.name: node for node in function.node_def}
  waiting = [*map(_node, function.ret.values()), *function.control_ret.values()]
  needed = set()
  while waiting:
    name = waiting.pop()
    if name in by_name and name not in needed:  # Arguments are not nodes.
      needed.add(name)
      waiting.extend(_inputs(by_name[name]))
  kept = [by_name[name] for name in by_name if name in needed]
  del function.node_def[:]
  function.node_def.extend(kept)


def _inputs(node: Any) -> Iterator[str]:
  """Yields the names of nodes that have to run before one."""
  return (_node(name) for name in node.input)


def _node(tensor: str) -> str:
  return tensor.removeprefix('^').partition(':')[0]
