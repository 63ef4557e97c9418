"""What a graph calls runs as it is: without nodes that decide nothing, under a name of its own, and to the same results."""

import pytest
import tensorflow as tf

from experiments.workers import called_functions


@tf.function(autograph=False)
def _inner(x):
  tf.compat.v1.placeholder(tf.float32, [], name='never_fed')
  with tf.control_dependencies([tf.debugging.Assert(x < 100.0, ['too large'])]):
    return x * 3.0


@tf.function(autograph=False)
def _outer(x):
  counted = tf.data.Dataset.range(3).reduce(0.0, lambda total, n: total + _inner(tf.cast(n, tf.float32)))
  branch = tf.cond(x > 1.0, lambda: _inner(x), lambda: x)
  return branch + counted


def _graph() -> tf.compat.v1.GraphDef:
  with tf.Graph().as_default() as graph:
    x = tf.compat.v1.placeholder(tf.float32, [], name='x')
    tf.identity(_outer(x), name='y')
  return graph.as_graph_def()


def _call(graph: tf.compat.v1.GraphDef, value: float) -> float:
  function = tf.compat.v1.wrap_function(
    lambda x: tf.import_graph_def(graph, {'x:0': x}, ['y:0'], name='')[0], [tf.TensorSpec([], tf.float32)]
  )
  return float(function(tf.constant(value)))


def _nodes(graph: tf.compat.v1.GraphDef) -> list:
  return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


def test_results_and_refusals_are_the_same():
  graph = _graph()
  called_functions.run_as_they_are(graph)
  # 3 (0 + 1 + 2) = 9, and x or three of it.
  assert (_call(graph, 1.0), _call(graph, 2.0)) == (10.0, 15.0)
  with pytest.raises(
    tf.errors.InvalidArgumentError, match='too large'
  ):  # Nothing reads what asserts, but it has to run.
    _call(graph, 101.0)


def test_every_function_has_a_name_of_its_own_and_every_call_finds_it():
  before, graph = _graph(), _graph()
  called_functions.run_as_they_are(graph)
  names = {function.signature.name for function in graph.library.function}
  assert len(names) >= 4 and not names & {function.signature.name for function in before.library.function}
  called = {attr.func.name for node in _nodes(graph) for attr in node.attr.values() if attr.HasField('func')}
  assert called and called <= names


def test_nothing_is_rewritten_and_what_decides_nothing_is_gone():
  before, graph = _graph(), _graph()
  called_functions.run_as_they_are(graph)
  assert any(node.name == 'never_fed' for node in _nodes(before))
  assert not any(node.name == 'never_fed' for node in _nodes(graph))
  configs = [node.attr['config_proto'].s for node in _nodes(graph) if 'config_proto' in node.attr]
  assert configs
  for each in configs:
    config = tf.compat.v1.ConfigProto.FromString(each)
    assert config.graph_options.rewrite_options.disable_meta_optimizer
