"""TFF computations of TensorFlow alone as functions of this process, from tensors to tensors that nothing copies."""

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import attrs
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_federated.python.core.impl.types import type_conversions

from experiments.workers import called_functions
from experiments.workers import held_leaves

_Structure = tff.structure.Struct


class GraphFunction:
  """Calls a computation of TensorFlow.

  Attributes:
    parameter: The type of the argument; None without one.
    result: The type of the result.
  """

  def __init__(self, computation: tff.framework.ConcreteComputation, held: Sequence[int] = (), holds: bool = False):
    """Loads the graph of a computation that has no placements; raises `ValueError` if it keeps variables or tables.

    Args:
      computation: The computation.
      held: How many of the last leaves of its argument it takes held as one; see `held_leaves.holding`.
      holds: Whether it gives those of its result as one.
    """
    self.parameter, self.result = computation.type_signature.parameter, computation.type_signature.result
    block = tff.framework.serialize_computation(computation).tensorflow
    if block.initialize_op:
      raise ValueError('the graph of a computation has variables or tables of its own, which have to be initialized')
    graph = tf.compat.v1.GraphDef()
    block.graph_def.Unpack(graph)
    called_functions.run_as_they_are(graph)
    takes = list(_names(block.parameter)) if self.parameter is not None else []
    imported, specs = _function(graph, takes, list(_names(block.result)), block.session_token_tensor_name)
    self._call = held_leaves.holding(imported, specs, held, holds) if held or holds else imported

  def __call__(self, *arguments: tf.Tensor) -> list[tf.Tensor] | tf.Tensor:
    """Returns the leaves of the result; takes those of the argument, see `flatten`."""
    return self._call(*arguments)


def flatten(value: Any, type_: tff.types.Type | None) -> list[tf.Tensor]:
  """Returns the leaves of a value of a type, wherever it is placed, in order; a sequence is one leaf."""
  if type_ is None:
    return []
  if isinstance(type_, tff.FederatedType):
    return flatten(value, type_.member)
  if isinstance(type_, tff.StructType):
    children = _children(value, [name for name, _ in tff.structure.iter_elements(type_)])
    return [leaf for child, each in zip(children, type_.children(), strict=True) for leaf in flatten(child, each)]
  if isinstance(type_, tff.SequenceType):
    return [tf.data.experimental.to_variant(value)]
  return [tf.convert_to_tensor(value, type_.dtype)]


def pack(leaves: Sequence[Any], type_: tff.types.Type) -> Any:
  """Returns what has these leaves, in the containers of a type, wherever it is placed."""
  remaining = iter(leaves)
  return type_conversions.type_to_py_container(_packed(remaining, type_), type_)


def num_leaves(type_: tff.types.Type | None) -> int:
  """Returns how many leaves a value of a type has."""
  if isinstance(type_, tff.FederatedType):
    return num_leaves(type_.member)
  if isinstance(type_, tff.StructType):
    return sum(map(num_leaves, type_.children()))
  return 0 if type_ is None else 1


def _packed(remaining: Iterator[Any], type_: tff.types.Type) -> Any:
  if isinstance(type_, tff.FederatedType):
    return _packed(remaining, type_.member)
  if isinstance(type_, tff.StructType):
    return _Structure([(name, _packed(remaining, each)) for name, each in tff.structure.iter_elements(type_)])
  return next(remaining)


def _children(value: Any, names: Sequence[str | None]) -> list[Any]:
  if isinstance(value, Mapping):
    return [value[name] for name in names]
  if attrs.has(type(value)):
    return [getattr(value, name) for name in names]
  return list(value)


def _names(binding: Any) -> Iterator[str]:
  """Yields the names of the tensors of a binding, in the order of the leaves."""
  kind = binding.WhichOneof('binding')
  if kind == 'struct':
    for element in binding.struct.element:
      yield from _names(element)
  elif kind == 'tensor':
    yield binding.tensor.tensor_name
  else:
    yield binding.sequence.variant_tensor_name


def _function(
  graph: tf.compat.v1.GraphDef, takes: Sequence[str], gives: Sequence[str], token: str
) -> tuple[Any, list[tf.TensorSpec]]:
  """Returns the function from the tensors of a graph that it takes to those that it gives, and specs of the former.

  Args:
    graph: The graph.
    takes: Names of placeholders.
    gives: Names of tensors.
    token: The name of a string that TFF feeds besides; may be empty.
  """
  by_name = {node.name: node for node in graph.node}
  placeholders = {name.partition(':')[0] for name in [*takes, token]}
  for node in graph.node:  # Control inputs from what becomes an argument would have nothing to come from.
    kept = [name for name in node.input if name.removeprefix('^') not in placeholders or name[0] != '^']
    del node.input[:]
    node.input.extend(kept)

  def imported(*arguments: tf.Tensor) -> list[tf.Tensor]:
    given = dict(zip(map(_full, takes), arguments, strict=True))
    wanted = [name for name in map(_full, gives) if name not in given]
    fed = given | ({_full(token): tf.constant('')} if token else {})
    found = dict(zip(wanted, tf.import_graph_def(graph, fed, wanted, name=''), strict=True))
    return [tf.identity(given[name]) if name in given else found[name] for name in map(_full, gives)]

  specs = []
  for name in takes:
    node = by_name[name.partition(':')[0]]
    shape = node.attr['shape'].shape if 'shape' in node.attr else None
    specs.append(tf.TensorSpec(None if shape is None else tf.TensorShape(shape), tf.as_dtype(node.attr['dtype'].type)))
  return tf.compat.v1.wrap_function(imported, specs), specs


def _full(name: str) -> str:
  return name if ':' in name else f'{name}:0'
