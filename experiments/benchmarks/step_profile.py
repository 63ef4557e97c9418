"""Where the time of a client's local step goes, by the kind of operation, as TensorFlow's own tracing says."""

from collections.abc import Sequence
import concurrent.futures
import contextlib
import re
import time

import numpy as np
import tensorflow as tf

from experiments.results import markdown_table
from models import gradients as gradients_lib
from models import task as task_lib

_WARM_UP, _TRACED, _PEAK_SIZE, _PEAK_REPEATS = 5, 10, 1024, 20
_REST = 'element-wise and the rest'
_CLASSES = {
  'matrix products': ('MatMul',),
  'batched products of attention': ('BatchMatMul', 'BatchMatMulV2', 'BatchMatMulV3'),
  'cross-entropy and softmax': ('Softmax', 'ArgMax', 'TensorScatterSub', 'SparseSoftmaxCrossEntropyWithLogits'),
  'lookups and their gradients': ('GatherV2', 'UnsortedSegmentSum', 'ResourceGather'),
  'copies': ('Transpose', 'ConcatV2', 'Split', 'Slice', 'StridedSlice', 'Pack', 'Cast', 'TensorListStack'),
  'sums and means': ('Sum', 'Mean', 'BiasAddGrad'),
}


def table(task: task_lib.Task, batch: task_lib.Batch, learning_rate: float) -> str:
  """Profiles steps of plain SGD on one thread.

  Args:
    task: What is trained, in full.
    batch: NumPy arrays of its example spec with a leading batch axis.
    learning_rate: Step size of SGD.

  Returns:
    A table: for each kind of operation its milliseconds in a step, the share, and how many operations.
  """
  milliseconds: dict[str, float] = dict.fromkeys([*_CLASSES, _REST], 0.0)
  counts = dict.fromkeys(milliseconds, 0)
  for op, microseconds in _traced(task, batch, learning_rate):
    kind = next((name for name, ops in _CLASSES.items() if op in ops), _REST)
    milliseconds[kind] += microseconds / 1000.0 / _TRACED
    counts[kind] += 1
  total = sum(milliseconds.values())
  rows = [
    [kind, f'{value:.1f}', f'{100.0 * value / total:.0f} %', f'{counts[kind] / _TRACED:.0f}']
    for kind, value in sorted(milliseconds.items(), key=lambda item: -item[1])
  ]
  return markdown_table.render(
    ['one step on one thread', 'ms', 'share', 'operations'],
    [*rows, ['all', f'{total:.1f}', '', f'{sum(counts.values()) / _TRACED:.0f}']],
  )


def peak_flops(num_threads: int) -> float:
  """Measures what products of square float32 matrices reach: floating-point operations a second of so many threads at once.

  Each thread forms products of its own, and the fastest of some repetitions counts in which all threads formed one.
  """
  with tf.Graph().as_default() as graph:
    x = tf.compat.v1.placeholder(tf.float32, [_PEAK_SIZE, _PEAK_SIZE])
    product = tf.reduce_sum(tf.matmul(x, x))
  value, seconds = np.ones([_PEAK_SIZE, _PEAK_SIZE], np.float32), []
  with contextlib.ExitStack() as stack:
    sessions = [stack.enter_context(_session(graph)) for _ in range(num_threads)]
    threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(num_threads))
    for _ in range(_PEAK_REPEATS):
      started = time.perf_counter()
      list(threads.map(lambda session: session.run(product, {x: value}), sessions))
      seconds.append(time.perf_counter() - started)
  return 2.0 * _PEAK_SIZE**3 * num_threads / min(seconds)


def _traced(task: task_lib.Task, batch: task_lib.Batch, learning_rate: float) -> Sequence[tuple[str, float]]:
  """Returns the kind and the microseconds of all operations of the traced steps."""
  initial = [weight.numpy() for weight in task.model.initial_weights(0)]
  with tf.Graph().as_default() as graph:
    weights = [tf.compat.v1.placeholder(tf.float32, value.shape) for value in initial]
    inputs = {name: tf.compat.v1.placeholder(value.dtype, value.shape) for name, value in batch.items()}
    _, gradients = gradients_lib.gradients(task, weights, [True] * len(weights), inputs, None)
    stepped = [weight - learning_rate * each for weight, each in zip(weights, gradients, strict=True)]
  options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
  feed = dict(zip([*weights, *inputs.values()], [*initial, *batch.values()], strict=True))
  found = []
  with _session(graph) as session:
    for _ in range(_WARM_UP):
      session.run(stepped, feed)
    for _ in range(_TRACED):
      metadata = tf.compat.v1.RunMetadata()
      session.run(stepped, feed, options, metadata)
      nodes = (node for device in metadata.step_stats.dev_stats for node in device.node_stats)
      found += [(_op(node.timeline_label), node.op_end_rel_micros - node.op_start_rel_micros) for node in nodes]
  return found


def _op(label: str) -> str:
  """Returns the operation of a label such as `name = _MklNativeFusedMatMul(a, b)`: here, `MatMul`."""
  return re.sub(r'^_(Mkl)?(Native)?(Fused)?', '', label.partition(' = ')[2].partition('(')[0])


def _session(graph: tf.Graph) -> tf.compat.v1.Session:
  config = tf.compat.v1.ConfigProto(
    intra_op_parallelism_threads=1, inter_op_parallelism_threads=1, use_per_session_threads=True
  )
  return tf.compat.v1.Session(graph=graph, config=config)
