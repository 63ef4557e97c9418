"""What a local step costs on paper: floating-point operations and memory, from graphs that are traced but never run.

    z = a b costs 2 m k n forward; its backward pass costs the same once for a, if a trained variable lies below a, and
    once for b, if one lies below b. For a kernel that is the product of its own gradient, if it is trained.

A convolution of images is such a product, of each place of the kernel with what it covers there. The products are those
of the model's forward graph; the rule above adds the backward pass, without looking at what TensorFlow makes of it. Other
operations count nothing, and nor do what a layer computes twice and the target of a task. What the backward pass keeps is
read off the traced gradients of `models.gradients`: see `kept_bytes`.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import math
from typing import Any

import tensorflow as tf

from models import gradients as gradients_lib
from models import graph_nodes
from models import task as task_lib

TrainedChances = Sequence[
  bool | float
]  # For each variable: known while tracing, or the probability of a run-time draw.

_SAME_BUFFER = ('Reshape', 'Identity', 'ExpandDims', 'Squeeze', 'StopGradient')
_NOT_ACTIVATIONS = ('Placeholder', 'Const')
_SHAPE_ONLY = ('Shape', 'ShapeN', 'Size', 'Rank', 'ZerosLike', 'OnesLike')
_SEED = tf.TensorSpec([2], tf.int64)


@dataclasses.dataclass(frozen=True)
class StepCost:
  """One local step; expectations, where variables are drawn.

  Attributes:
    forward_flops: Operations of the matrix products and convolutions of the forward pass.
    backward_flops: Operations of those of the backward pass.
    weight_bytes: Of all variables.
    gradient_bytes: Bytes of the gradients of the trained ones.
    activation_bytes: What the forward pass keeps for the backward pass.
    workspace_bytes: Four times the largest tensor of the forward pass: an allowance for what is there for a moment only.
  """

  forward_flops: float
  backward_flops: float
  weight_bytes: int
  gradient_bytes: float
  activation_bytes: int
  workspace_bytes: int

  @property
  def peak_bytes(self) -> float:
    """What a local step holds at once: all weights, the trained ones and their gradients beside them, the rest above."""
    return self.weight_bytes + 2 * self.gradient_bytes + self.activation_bytes + self.workspace_bytes


def step_cost(task: task_lib.Task, trained: TrainedChances, batch_size: int) -> StepCost:
  """Accounts for a step.

  Args:
    task: What is trained; its variables have the shapes that the client holds.
    trained: Which of them are, or how probably.
    batch_size: Examples in the batch.

  Returns:
    The cost.

  Raises:
    ValueError: For a forward pass with a loop of unknown length, or another construct that cannot be counted.
  """
  sizes = [4 * variable.size for variable in task.model.variables]
  forward, backward = _flops(task, trained, batch_size)
  graph = trace_step(task, trained, batch_size)
  return StepCost(
    forward_flops=forward,
    backward_flops=backward,
    weight_bytes=sum(sizes),
    gradient_bytes=sum(size * probability for size, probability in zip(sizes, trained, strict=True)),
    activation_bytes=kept_bytes(graph),
    workspace_bytes=4 * _largest_bytes(graph),
  )


def trace_step(task: task_lib.Task, trained: TrainedChances, batch_size: int) -> tf.Graph:
  """Traces measures and gradients of a batch of static shape; variables that are drawn get a flag as an input."""
  weights, batch = _specs(task, batch_size)
  drawn = [index for index, flag in enumerate(trained) if not isinstance(flag, bool)]

  def step(weights, batch, flags, seed):
    by_index = dict(zip(drawn, flags, strict=True))
    known = [by_index.get(index, flag) for index, flag in enumerate(trained)]
    return gradients_lib.gradients(task, weights, known, batch, seed)

  flags = [tf.TensorSpec([], tf.bool)] * len(drawn)
  return tf.function(step, autograph=False).get_concrete_function(weights, batch, flags, _SEED).graph


def kept_bytes(graph: tf.Graph) -> int:
  """Counts the outputs of forward operations that backward operations read, in a graph made by `trace_step`.

  Tensors that share a buffer count once; weights, the batch and constants not at all; what a loop keeps of a turn counts
  for every turn. What TensorFlow rewrites when the graph runs is not foreseen.

  Raises:
    ValueError: For something kept of which the size is not known.
  """
  operations, first = graph.get_operations(), _num_forward(graph)
  forward = set(operations[:first])
  library = graph_nodes.library(graph.as_graph_def(add_shapes=True))
  kept = {}
  for operation in operations[first:]:
    if operation.type not in _SHAPE_ONLY:
      buffers = [_buffer(tensor) for tensor in operation.inputs if tensor.op in forward]
      kept.update((tensor.name, tensor) for tensor in buffers if tensor.op.type not in _NOT_ACTIVATIONS)
  return sum(_num_bytes(tensor, library) for tensor in kept.values())


def _num_forward(graph: tf.Graph) -> int:
  """Returns how many operations come before those of the backward pass."""
  operations = graph.get_operations()
  return next((i for i, op in enumerate(operations) if op.name.startswith('gradient_tape/')), len(operations))


def _largest_bytes(graph: tf.Graph) -> int:
  """Returns the size of the largest tensor of the forward pass, outside of loops; weights and the batch do not count."""
  forward = graph.get_operations()[: _num_forward(graph)]
  outputs = [tensor for op in forward if op.type not in _NOT_ACTIVATIONS for tensor in op.outputs]
  sizes = [
    tensor.dtype.size * math.prod(tensor.shape.as_list())
    for tensor in outputs
    if tensor.dtype.is_numpy_compatible and tensor.shape.is_fully_defined() and tensor.dtype != tf.string
  ]
  return max(sizes, default=0)


def _specs(task: task_lib.Task, batch_size: int) -> tuple[tuple[tf.TensorSpec, ...], dict[str, tf.TensorSpec]]:
  weights = tuple(tf.TensorSpec(variable.shape) for variable in task.model.variables)
  batch = {name: tf.TensorSpec([batch_size, *spec.shape], spec.dtype) for name, spec in task.example_spec.items()}
  return weights, batch


def _flops(task: task_lib.Task, trained: TrainedChances, batch_size: int) -> tuple[float, float]:
  """Returns the operations of the forward and of the backward pass."""
  weights, batch = _specs(task, batch_size)
  traced = tf.function(lambda *args: task.evaluate(args[:-2], *args[-2:]), autograph=False)
  graph = traced.get_concrete_function(*weights, batch, _SEED).graph
  inputs = [op.name for op in graph.get_operations() if op.type == 'Placeholder'][: len(weights)]
  sources = {name: index for index, name in enumerate(inputs)}
  products = graph_nodes.products(graph.as_graph_def(add_shapes=True), sources)
  flops = [2.0 * product.multiplications for product in products]
  backward = [
    sum(_probability(operand, trained) for operand in product.operands) * each
    for product, each in zip(products, flops, strict=True)
  ]
  return sum(flops), sum(backward)


def _probability(operand: graph_nodes.Operand, trained: TrainedChances) -> float:
  """Returns how probably the gradient of an operand is formed: a tape keeps to what is known while tracing."""
  if operand.is_source:
    (index,) = operand.sources
    return float(trained[index])
  return float(any(trained[index] is not False for index in operand.sources))


def _buffer(tensor: tf.Tensor) -> tf.Tensor:
  while tensor.op.type in _SAME_BUFFER:
    tensor = tensor.op.inputs[0]
  return tensor


def _num_bytes(tensor: tf.Tensor, library: Mapping[str, Any]) -> int:
  if tensor.dtype == tf.variant and tensor.op.type in graph_nodes.LOOPS:
    body = library[tensor.op.get_attr('body').name]
    turns = tf.get_static_value(tensor.op.inputs[1])
    if turns is None:
      raise ValueError(f'the loop {tensor.op.name} has no length that is known while tracing')
    return int(turns) * graph_nodes.pushed_bytes(body, tensor.value_index)
  if tensor.dtype == tf.variant or not tensor.shape.is_fully_defined():
    raise ValueError(f'the backward pass keeps {tensor.name}, of unknown size')
  return tensor.dtype.size * math.prod(tensor.shape.as_list())
