"""The residual network has the published size, computes what its docstring says, and grows block by block."""

import dataclasses
import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from models import gradients as gradients_lib
from models import image_task
from models import resnet

_SMALL = resnet.resnet(width=4, num_layers=3, blocks_per_group=2, norm_groups=2)
_SHAPE = (5, 6, 3)


def _convolved(x, kernel, stride=1):
  """The convolution of one image, place by place; a kernel is centred at pixels 0, stride, 2 stride, ..."""
  height, width, _ = x.shape
  y = np.zeros([-(-height // stride), -(-width // stride), kernel.shape[3]])
  for i, j, a, b in np.ndindex(*y.shape[:2], 3, 3):
    row, column = i * stride + a - 1, j * stride + b - 1
    if 0 <= row < height and 0 <= column < width:
      y[i, j] += x[row, column] @ kernel[a, b]
  return y


def _normalized_convolution(w, name, x, groups, stride=1):
  y = _convolved(x, w[f'{name}/kernel'], stride)
  for channels in np.split(np.arange(y.shape[2]), groups):
    part = y[:, :, channels]
    y[:, :, channels] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
  return y * w[f'{name}/norm_scale'] + w[f'{name}/norm_bias']


def _plain_block(w, index, x, groups, stride, skipped=False):
  shortcut = np.zeros([*x[::stride, ::stride].shape[:2], len(w[f'block_{index}/second/norm_bias'])])
  shortcut[:, :, : x.shape[2]] = x[::stride, ::stride]
  if skipped:
    return shortcut
  hidden = np.maximum(_normalized_convolution(w, f'block_{index}/first', x, groups, stride), 0)
  return np.maximum(shortcut + _normalized_convolution(w, f'block_{index}/second', hidden, groups), 0)


def _plain_features(w, image, skipped=None):
  """The features of `_SMALL`: the third block begins a group."""
  x = np.maximum(_normalized_convolution(w, 'embedding', image, 2), 0)
  for index, stride in enumerate((1, 1, 2)):
    x = _plain_block(w, index, x, 2, stride, index == skipped)
  return x.mean((0, 1))


def _weights(variables):
  rng = np.random.default_rng(3)
  return {v.name: rng.normal(0.0, 0.4, v.shape).astype(np.float32) for v in variables}


def _images(shape=_SHAPE):
  return np.random.default_rng(4).uniform(-1.0, 1.0, [3, *shape]).astype(np.float32)


def _plain_of_all(weights, images, skipped=None):
  exact = {name: w.astype(np.float64) for name, w in weights.items()}
  return [_plain_features(exact, image.astype(np.float64), skipped) for image in images]


def test_resnet_published_size():
  # Kernels: 27 * 16 = 432; 6 * 9 * 16 * 16 = 13,824; 9 * 16 * 32 + 5 * 9 * 32 * 32 = 50,688; 9 * 32 * 64 + 5 * 9 * 64 * 64 =
  # 202,752. Norms: 2 * (7 * 16 + 6 * 32 + 6 * 64) = 1,376. Classes: 65 * 10 = 650. The paper says 0.27 million.
  assert resnet.resnet().classifier((32, 32, 3), 10).num_parameters == 269_722


@pytest.mark.parametrize(
  'shape',
  [pytest.param(_SHAPE, id='odd_height'), pytest.param((4, 6, 1), id='even'), pytest.param((1, 3, 2), id='one_row')],
)
def test_resnet_computes_what_it_says(shape):
  weights, images = _weights(_SMALL.variables(shape)), _images(shape)
  features = tf.function(lambda x: _SMALL.features(weights, x, None), autograph=False)
  found = features.get_concrete_function(tf.TensorSpec([None, *shape]))(tf.constant(images))
  np.testing.assert_allclose(found, _plain_of_all(weights, images), rtol=1e-4, atol=1e-4)
  assert found.shape == (3, 8)


def test_a_classifier_is_linear_in_the_features():
  model = _SMALL.classifier(_SHAPE, 5)
  weights = _weights(model.variables)
  found = model.apply(weights, tf.constant(_images()), None)
  features = np.stack(_plain_of_all(weights, _images()))
  expected = features @ weights['head/classifier_kernel'] + weights['head/classifier_bias']
  np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
  assert model.skips_blocks


@pytest.mark.parametrize('index', [0, 1, 2])
def test_a_branch_that_adds_nothing_leaves_the_shortcut(index):
  weights = _weights(_SMALL.variables(_SHAPE))
  for part in ('scale', 'bias'):
    weights[f'block_{index}/second/norm_{part}'] *= 0.0
  found = _SMALL.features(weights, tf.constant(_images()), None)
  np.testing.assert_allclose(found, _plain_of_all(weights, _images(), skipped=index), rtol=1e-4, atol=1e-4)


def test_images_do_not_depend_on_those_beside_them():
  weights, images = _weights(_SMALL.variables(_SHAPE)), _images()
  together = _SMALL.features(weights, tf.constant(images), None)
  alone = _SMALL.features(weights, tf.constant(images[1:2]), None)
  np.testing.assert_allclose(together[1:2], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('num_layers', 'feature_width'), [(1, 4), (2, 4), (3, 8), (4, 8), (5, 16)])
def test_a_shallower_one_is_the_first_blocks_of_a_deeper_one(num_layers, feature_width):
  deep = dataclasses.replace(_SMALL, num_layers=6)
  shallow = dataclasses.replace(deep, num_layers=num_layers)
  variables = shallow.variables(_SHAPE)
  assert variables == deep.variables(_SHAPE)[: 3 + 6 * num_layers]
  assert shallow.feature_width == feature_width
  names = ['embedding', *(f'block_{index}' for index in range(num_layers))]
  assert list(dict.fromkeys(variable.block for variable in variables)) == names
  weights = _weights(variables)
  found = (encoder.features(weights, tf.constant(_images()), None) for encoder in (shallow, deep))
  np.testing.assert_array_equal(*found)


def test_channels_double_with_a_group():
  model = _SMALL.classifier(_SHAPE, 2)
  shapes = {variable.name: variable.shape for variable in model.variables}
  assert shapes['block_2/first/kernel'] == (3, 3, 4, 8)
  assert shapes['block_2/second/kernel'] == (3, 3, 8, 8)
  assert shapes['head/classifier_kernel'] == (8, 2)


def test_its_spec_builds_it():
  assert _SMALL.spec == 'resnet(width=4, num_layers=3, blocks_per_group=2, norm_groups=2)'


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    pytest.param(dict(width=6), 'norm_groups=4 must divide width=6', id='groups'),
    pytest.param(
      dict(num_layers=10), 'num_layers=10 is more than 3 groups of blocks_per_group=3: raise that', id='depth'
    ),
    pytest.param(dict(width=0), 'width must be a whole number', id='width'),
    pytest.param(dict(blocks_per_group=1.5), 'blocks_per_group must be a whole number', id='blocks'),
  ],
)
def test_resnet_refuses_what_cannot_be(arguments, message):
  with pytest.raises(ValueError, match=message):
    resnet.resnet(**arguments)


def _batch():
  images = np.random.default_rng(5).integers(0, 256, [3, *_SHAPE])
  return dict(image=tf.constant(images, tf.int32), label=tf.constant([3, 0, 1]))


def _task_and_weights():
  task = image_task.build(_SMALL.classifier(_SHAPE, 4), _SHAPE)
  return task, tuple(tf.constant(weight) for weight in _weights(task.model.variables).values())


def _plain():
  task, weights = _task_and_weights()
  with tf.GradientTape() as tape:
    tape.watch(weights)
    measures = task.evaluate(weights, _batch())
    loss = measures['loss_sum'] / measures['weight_sum']
  return tape.gradient(loss, weights)


def _traced(trained):
  """A step; the flags are its inputs if `trained` is None."""
  task, weights = _task_and_weights()
  take, batch = functools.partial(gradients_lib.gradients, task, weights), _batch()
  flags = tf.TensorSpec([len(weights)], tf.bool)
  step = tf.function(
    lambda flags: take(tf.unstack(flags) if trained is None else trained, batch, None), autograph=False
  )
  return step.get_concrete_function(flags)


def _nodes(trained, kind):
  """The functions, '' for the outermost, in which operations of a kind stand, once for each."""
  definition = _traced(trained).graph.as_graph_def()
  functions = [('', definition.node), *((f.signature.name, f.node_def) for f in definition.library.function)]
  return [name for name, nodes in functions for node in nodes if node.op == kind]


def _from(*blocks):
  return [variable.block in blocks for variable in _SMALL.classifier(_SHAPE, 4).variables]


@pytest.mark.parametrize(
  'blocks',
  [
    pytest.param(('embedding', 'block_0', 'block_1', 'block_2', 'head'), id='all'),
    pytest.param(('block_2', 'head'), id='suffix'),
    pytest.param(('embedding',), id='first'),
    pytest.param(('block_1',), id='second'),
  ],
)
def test_gradients_equal_those_of_a_plain_tape(blocks):
  trained, count = _from(*blocks), tf.fill([len(_from())], True)
  flags = tf.constant(trained)
  for _, found in (_traced(trained)(count), _traced(None)(flags)):
    for gradient, full, flag in zip(found, _plain(), trained, strict=True):
      if flag:
        np.testing.assert_allclose(gradient, full, rtol=1e-3, atol=1e-4)
      else:
        assert gradient is None or gradient.shape == (0,)


def test_only_trained_kernels_have_a_gradient_in_the_graph():
  # A stem and two convolutions in each of three blocks; nothing needs the gradient of the image.
  everything = _from('embedding', 'block_0', 'block_1', 'block_2', 'head')
  suffix, head = _from('block_2', 'head'), _from('head')
  counts = [
    [len(_nodes(trained, f'Conv2D{kind}')) for kind in ('', 'BackpropInput', 'BackpropFilter')]
    for trained in (everything, suffix, head)
  ]
  assert counts == [[7, 6, 7], [7, 1, 2], [7, 0, 0]]


def test_a_run_time_flag_puts_the_gradient_of_a_kernel_into_a_branch():
  functions = _nodes(None, 'Conv2DBackpropFilter')
  assert len(functions) == 7
  for function in functions:
    assert re.search(r'^cond(_\d+)?_true_', function)
