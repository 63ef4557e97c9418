"""Products in bfloat16: rounded as its 8 bits say, with gradients that are too; those of float32 are TensorFlow's."""

import collections
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from models import gradients as gradients_lib
from models import language_task
from models import lstm
from models import precision
from models import transformer

_TRANSFORMER = transformer.transformer(width=8, mlp_width=10, num_layers=2, num_heads=2)(17)
_LSTM = lstm.lstm(width=6, num_cells=5)(17)


def test_product_golden():
  # 1 + 1/128 has 8 bits and stays; 1 + 1/256 has 9: it is halfway to 1 + 1/128, and goes to the even one, 1.
  x = tf.constant([[1.0 + 1 / 128, 1.0 + 1 / 256]])
  rows = [precision.product(x, tf.eye(2), name).numpy().tolist() for name in ('bfloat16', 'float32')]
  assert rows == [[[1.0078125, 1.0]], [[1.0078125, 1.00390625]]]


@pytest.mark.parametrize('name', precision.PRECISIONS)
@pytest.mark.parametrize('transpose_a', [False, True])
@pytest.mark.parametrize('transpose_b', [False, True])
def test_product_is_near_the_product_in_float64_and_so_are_its_gradients(name, transpose_a, transpose_b):
  rng = np.random.default_rng(0)
  x, y, d = rng.normal(size=[40, 30]), rng.normal(size=[30, 20]), rng.normal(size=[40, 20])
  given = [tf.constant(x.T if transpose_a else x, tf.float32), tf.constant(y.T if transpose_b else y, tf.float32)]
  with tf.GradientTape() as tape:
    tape.watch(given)
    product = precision.product(*given, name, transpose_a, transpose_b)
  d_x, d_y = tape.gradient(product, given, tf.constant(d, tf.float32))
  expected = [x @ y, (d @ y.T).T if transpose_a else d @ y.T, (x.T @ d).T if transpose_b else x.T @ d]
  # Each factor is off by at most 2^-9 of itself, and the result by as much again: 3 x 2^-9 of about sqrt(30), rarely more.
  atol = {'float32': 1e-4, 'bfloat16': 0.1}[name]
  for found, wanted in zip((product, d_x, d_y), expected, strict=True):
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, wanted, atol=atol)


def test_float32_adds_nothing():
  rng = np.random.default_rng(0)
  x, y = (tf.constant(rng.normal(size=[7, 7]), tf.float32) for _ in range(2))
  np.testing.assert_array_equal(precision.product(x, y, 'float32'), tf.matmul(x, y))


def _gradients(task, weights):
  tokens = np.random.default_rng(4).integers(0, 17, [3, 5])
  batch = collections.OrderedDict(tokens=tf.constant(tokens, tf.int32), client_key=tf.zeros([3], tf.int64))
  return gradients_lib.gradients(task, weights, [True] * len(weights), batch, None)[1]


@pytest.mark.parametrize('model', [pytest.param(_TRANSFORMER, id='transformer'), pytest.param(_LSTM, id='lstm')])
def test_bfloat16_rounds_gradients_and_no_more(model):
  rng = np.random.default_rng(3)
  weights = [tf.constant(rng.normal(0.0, 0.4, variable.shape), tf.float32) for variable in model.variables]
  task = language_task.build(model, 4)
  exact, found = (
    np.concatenate([np.ravel(each) for each in _gradients(dataclasses.replace(task, precision=name), weights)])
    for name in precision.PRECISIONS
  )
  # A product is rounded by up to 2^-9 = 0.002 of itself, and a gradient has come through some ten of them.
  assert 1e-4 <= np.linalg.norm(found - exact) / np.linalg.norm(exact) <= 0.03


def test_all_products_of_weights_are_in_bfloat16_if_the_task_says_so():
  task = dataclasses.replace(language_task.build(_TRANSFORMER, 4), precision='bfloat16')
  with tf.Graph().as_default() as graph:
    _gradients(task, [tf.zeros(variable.shape) for variable in _TRANSFORMER.variables])
  products = [node for node in graph.as_graph_def().node if node.op == 'MatMul']
  # Each of 2 blocks of 6 kernels and the output: forward, for its input and for its gradient.
  assert len(products) == 3 * (2 * 6 + 1)
  assert {node.attr['T'].type for node in products} == {tf.bfloat16.as_datatype_enum}
