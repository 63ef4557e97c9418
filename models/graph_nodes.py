"""Reading a traced graph: its matrix products and convolutions, what they depend on, and what its loops keep.

The bodies of functions and loops are read too; their products count as often as they run.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import math
from typing import Any

import tensorflow as tf

LOOPS = ('While', 'StatelessWhile')

_CALLS = ('PartitionedCall', 'StatefulPartitionedCall')
_CONVOLUTION = 'Conv2D'
_PRODUCTS = ('MatMul', 'BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3', _CONVOLUTION)
_PASSES_ON = ('Identity', 'StopGradient')
_ELEMENT_INPUTS = {'TensorListPushBack': 1, 'TensorListSetItem': 2}


@dataclasses.dataclass(frozen=True)
class Operand:
  """One side of a product.

  Attributes:
    sources: The sources that it depends on.
    is_source: Whether it is one itself.
  """

  sources: frozenset[int]
  is_source: bool = False


@dataclasses.dataclass(frozen=True)
class Product:
  """A matrix product, a batch of them, or a convolution of images with a kernel.

  Attributes:
    multiplications: Products of scalars, over all times that it runs; those with the zeros around an image count too.
    operands: Both sides.
  """

  multiplications: int
  operands: tuple[Operand, Operand]


def products(graph: tf.compat.v1.GraphDef, sources: Mapping[str, int]) -> list[Product]:
  """Lists the matrix products and convolutions of a graph.

  Args:
    graph: A graph of static shapes, which it names (`add_shapes=True`).
    sources: Names of the nodes, outside of functions, whose influence is followed, and the numbers they go by.

  Returns:
    The products; those of a function as often as it is called, those of a loop once.

  Raises:
    ValueError: For products within a branch or in a loop of unknown length, or of unknown shape.
  """
  reader = _Reader(library(graph))
  reader.read(graph.node, {}, {name: Operand(frozenset([number]), True) for name, number in sources.items()}, times=1)
  return reader.products


def library(graph: tf.compat.v1.GraphDef) -> dict[str, Any]:
  """Returns the functions of a graph, `FunctionDef`s, by name."""
  return {function.signature.name: function for function in graph.library.function}


def pushed_bytes(body: Any, index: int) -> int:
  """Returns by how many bytes the list that is output `index` of a loop's body, a `FunctionDef`, grows in a turn.

  Raises:
    ValueError: If that is unknown.
  """
  nodes, shapes = {node.name: node for node in body.node_def}, _shapes(body.node_def) | _argument_shapes(body)
  node = _origin(body.ret[body.signature.output_arg[index].name], nodes)
  if node is not None and node.op in _ELEMENT_INPUTS:
    dtype = tf.as_dtype(node.attr['element_dtype'].type)
    shape = _shape(node.input[_ELEMENT_INPUTS[node.op]], shapes)
    if dtype != tf.variant and shape is not None:
      return dtype.size * math.prod(shape)
  raise ValueError(f'the loop body {body.signature.name} keeps something of unknown size')


class _Reader:
  """Goes through nodes in the order of their definition."""

  def __init__(self, functions: Mapping[str, Any]):
    self.products: list[Product] = []
    self._functions = functions

  def read(self, nodes: Iterable[Any], shapes: Mapping[str, Any], known: Mapping[str, Operand], times: int) -> None:
    """Reads the nodes of a function, given the shapes of its arguments and what those that are `known` depend on."""
    nodes = list(nodes)
    by_name, shapes, known = {node.name: node for node in nodes}, _shapes(nodes) | dict(shapes), dict(known)
    for node in nodes:
      inputs = [known.get(_name(reference), Operand(frozenset())) for reference in node.input if reference[0] != '^']
      if node.op in _PRODUCTS:
        self.products.append(Product(times * _multiplications(node, shapes), tuple(inputs)))
      elif node.op in LOOPS:
        self._read_loop(node, inputs, times * _turns(node, by_name))
      elif node.op in _CALLS:
        self._read_function(self._functions[node.attr['f'].func.name], inputs, times)
      else:
        self._refuse_hidden_products(node)
      if node.name not in known:
        passes_on = node.op in _PASSES_ON and inputs[0].is_source
        known[node.name] = inputs[0] if passes_on else Operand(frozenset().union(*(each.sources for each in inputs)))

  def _read_function(self, function: Any, inputs: list[Operand], times: int) -> None:
    names = [argument.name for argument in function.signature.input_arg]
    self.read(function.node_def, _argument_shapes(function), dict(zip(names, inputs, strict=True)), times)

  def _read_loop(self, node: Any, inputs: list[Operand], times: int) -> None:
    """Reads a loop's body; whatever changes from turn to turn depends on all that enters the loop."""
    body = self._functions[node.attr['body'].func.name]
    nodes = {each.name: each for each in body.node_def}
    everything = Operand(frozenset().union(*(each.sources for each in inputs)))
    within = []
    for argument, output, entering in zip(body.signature.input_arg, body.signature.output_arg, inputs, strict=True):
      stays = _origin_name(body.ret[output.name], nodes) == argument.name
      within.append(entering if stays else everything)
    self._read_function(body, within, times)

  def _refuse_hidden_products(self, node: Any) -> None:
    for attribute in node.attr.values():
      for function in (attribute.func, *attribute.list.func):
        inner = self._functions.get(function.name)
        if inner and any(each.op in _PRODUCTS + LOOPS + _CALLS for each in inner.node_def):
          raise ValueError(f'products within {node.op} {node.name} cannot be counted: they may run or not')


def _turns(node: Any, by_name: Mapping[str, Any]) -> int:
  limit = by_name.get(_name(node.input[1]))
  if limit is None or limit.op != 'Const' or (turns := int(tf.make_ndarray(limit.attr['value'].tensor))) < 0:
    raise ValueError(f'the loop {node.name} has no length that is known while tracing')
  return turns


def _multiplications(node: Any, shapes: Mapping[str, Any]) -> int:
  left, right, output = (_shape(reference, shapes) for reference in (*node.input[:2], node.name))
  if left is None or right is None or output is None:
    raise ValueError(f'the product {node.name} has no static shape')
  if node.op == _CONVOLUTION:
    return math.prod(output) * math.prod(right[:-1])  # A kernel [rows, columns, inputs, outputs].
  is_transposed = node.attr['transpose_a'].b or node.attr['adj_x'].b
  return math.prod(output) * left[-2 if is_transposed else -1]


def _origin_name(reference: str, nodes: Mapping[str, Any]) -> str:
  """Returns from where a value of a function came: the name of a node, or of an argument."""
  name = _name(reference)
  while name in nodes and nodes[name].op in _PASSES_ON:
    name = _name(nodes[name].input[0])
  return name


def _origin(reference: str, nodes: Mapping[str, Any]) -> Any:
  return nodes.get(_origin_name(reference, nodes))


def _name(reference: str) -> str:
  return reference.split(':', 1)[0]


def _shape(reference: str, shapes: Mapping[str, Any]) -> tuple[int, ...] | None:
  """Returns the shape of `node`, `node:index` or `node:output:index`; None if it is not static."""
  parts = reference.split(':')
  shape = shapes[parts[0]][int(parts[-1]) if len(parts) > 1 else 0]
  sizes = tuple(dimension.size for dimension in shape.dim)
  return None if shape.unknown_rank or any(size < 0 for size in sizes) else sizes


def _shapes(nodes: Iterable[Any]) -> dict[str, Any]:
  return {node.name: node.attr['_output_shapes'].list.shape for node in nodes}


def _argument_shapes(function: Any) -> dict[str, Any]:
  return {
    argument.name: function.arg_attr[index].attr['_output_shapes'].list.shape
    for index, argument in enumerate(function.signature.input_arg)
  }
