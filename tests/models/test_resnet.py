"""The residual network has the published size, computes what its docstring says, and grows block by block."""

import dataclasses
import functools

from absl.testing import parameterized
import numpy as np
import tensorflow as tf

from models import gradients as gradients_lib
from models import image_task
from models import resnet

_SMALL = resnet.resnet(width=4, num_layers=3, blocks_per_group=2, norm_groups=2)
_SHAPE = (5, 6, 3)


def _convolved(x, kernel, stride=1):
  """Of one image, place by place; a kernel is centred at pixels 0, stride, 2 stride, ..."""
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
  """Of `_SMALL`: the third block begins a group."""
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


class ResNetTest(tf.test.TestCase, parameterized.TestCase):
  def test_published_size(self):
    # Kernels: 27 * 16 = 432; 6 * 9 * 16 * 16 = 13,824; 9 * 16 * 32 + 5 * 9 * 32 * 32 = 50,688; 9 * 32 * 64 + 5 * 9 * 64 * 64 =
    # 202,752. Norms: 2 * (7 * 16 + 6 * 32 + 6 * 64) = 1,376. Classes: 65 * 10 = 650. The paper says 0.27 million.
    self.assertEqual(resnet.resnet().classifier((32, 32, 3), 10).num_parameters, 269_722)

  @parameterized.named_parameters(('odd_height', _SHAPE), ('even', (4, 6, 1)), ('one_row', (1, 3, 2)))
  def test_computes_what_it_says(self, shape):
    weights, images = _weights(_SMALL.variables(shape)), _images(shape)
    features = tf.function(lambda x: _SMALL.features(weights, x, None), autograph=False)
    found = features.get_concrete_function(tf.TensorSpec([None, *shape]))(tf.constant(images))
    self.assertAllClose(found, _plain_of_all(weights, images), rtol=1e-4, atol=1e-4)
    self.assertEqual(found.shape, (3, 8))

  def test_a_classifier_is_linear_in_the_features(self):
    model = _SMALL.classifier(_SHAPE, 5)
    weights = _weights(model.variables)
    found = model.apply(weights, tf.constant(_images()), None)
    features = np.stack(_plain_of_all(weights, _images()))
    expected = features @ weights['head/classifier_kernel'] + weights['head/classifier_bias']
    self.assertAllClose(found, expected, rtol=1e-4, atol=1e-4)
    self.assertTrue(model.skips_blocks)

  @parameterized.parameters(0, 1, 2)
  def test_a_branch_that_adds_nothing_leaves_the_shortcut(self, index):
    weights = _weights(_SMALL.variables(_SHAPE))
    for part in ('scale', 'bias'):
      weights[f'block_{index}/second/norm_{part}'] *= 0.0
    found = _SMALL.features(weights, tf.constant(_images()), None)
    self.assertAllClose(found, _plain_of_all(weights, _images(), skipped=index), rtol=1e-4, atol=1e-4)

  def test_images_do_not_depend_on_those_beside_them(self):
    weights, images = _weights(_SMALL.variables(_SHAPE)), _images()
    together = _SMALL.features(weights, tf.constant(images), None)
    alone = _SMALL.features(weights, tf.constant(images[1:2]), None)
    self.assertAllClose(together[1:2], alone, rtol=1e-5, atol=1e-5)

  @parameterized.parameters((1, 4), (2, 4), (3, 8), (4, 8), (5, 16))
  def test_a_shallower_one_is_the_first_blocks_of_a_deeper_one(self, num_layers, feature_width):
    deep = dataclasses.replace(_SMALL, num_layers=6)
    shallow = dataclasses.replace(deep, num_layers=num_layers)
    variables = shallow.variables(_SHAPE)
    self.assertEqual(variables, deep.variables(_SHAPE)[: 3 + 6 * num_layers])
    self.assertEqual(shallow.feature_width, feature_width)
    names = ['embedding', *(f'block_{index}' for index in range(num_layers))]
    self.assertEqual(list(dict.fromkeys(variable.block for variable in variables)), names)
    weights = _weights(variables)
    found = (encoder.features(weights, tf.constant(_images()), None) for encoder in (shallow, deep))
    self.assertAllEqual(*found)

  def test_channels_double_with_a_group(self):
    model = _SMALL.classifier(_SHAPE, 2)
    shapes = {variable.name: variable.shape for variable in model.variables}
    self.assertEqual(shapes['block_2/first/kernel'], (3, 3, 4, 8))
    self.assertEqual(shapes['block_2/second/kernel'], (3, 3, 8, 8))
    self.assertEqual(shapes['head/classifier_kernel'], (8, 2))

  def test_its_spec_builds_it(self):
    self.assertEqual(_SMALL.spec, 'resnet(width=4, num_layers=3, blocks_per_group=2, norm_groups=2)')

  @parameterized.named_parameters(
    ('groups', dict(width=6), 'norm_groups=4 must divide width=6'),
    ('depth', dict(num_layers=10), 'num_layers=10 is more than 3 groups of blocks_per_group=3: raise that'),
    ('width', dict(width=0), 'width must be a whole number'),
    ('blocks', dict(blocks_per_group=1.5), 'blocks_per_group must be a whole number'),
  )
  def test_refuses_what_cannot_be(self, arguments, message):
    with self.assertRaisesRegex(ValueError, message):
      resnet.resnet(**arguments)


class GradientsTest(tf.test.TestCase, parameterized.TestCase):
  def setUp(self):
    super().setUp()
    self._task = image_task.build(_SMALL.classifier(_SHAPE, 4), _SHAPE)
    self._weights = tuple(tf.constant(w) for w in _weights(self._task.model.variables).values())
    images = np.random.default_rng(5).integers(0, 256, [3, *_SHAPE])
    self._batch = dict(image=tf.constant(images, tf.int32), label=tf.constant([3, 0, 1]))

  def _plain(self):
    with tf.GradientTape() as tape:
      tape.watch(self._weights)
      measures = self._task.evaluate(self._weights, self._batch)
      loss = measures['loss_sum'] / measures['weight_sum']
    return tape.gradient(loss, self._weights)

  def _traced(self, trained):
    """A step; the flags are its inputs if `trained` is None."""
    take = functools.partial(gradients_lib.gradients, self._task, self._weights)
    flags = tf.TensorSpec([len(self._weights)], tf.bool)
    step = tf.function(
      lambda flags: take(tf.unstack(flags) if trained is None else trained, self._batch, None), autograph=False
    )
    return step.get_concrete_function(flags)

  def _nodes(self, trained, kind):
    """The functions, '' for the outermost, in which operations of a kind stand, once for each."""
    definition = self._traced(trained).graph.as_graph_def()
    functions = [('', definition.node), *((f.signature.name, f.node_def) for f in definition.library.function)]
    return [name for name, nodes in functions for node in nodes if node.op == kind]

  def _from(self, *blocks):
    return [variable.block in blocks for variable in self._task.model.variables]

  @parameterized.named_parameters(
    ('all', ('embedding', 'block_0', 'block_1', 'block_2', 'head')),
    ('suffix', ('block_2', 'head')),
    ('first', ('embedding',)),
    ('second', ('block_1',)),
  )
  def test_equal_those_of_a_plain_tape(self, blocks):
    trained, count = self._from(*blocks), tf.fill([len(self._weights)], True)
    flags = tf.constant(trained)
    for _, found in (self._traced(trained)(count), self._traced(None)(flags)):
      for gradient, full, flag in zip(found, self._plain(), trained, strict=True):
        if flag:
          self.assertAllClose(gradient, full, rtol=1e-3, atol=1e-4)
        else:
          self.assertTrue(gradient is None or gradient.shape == (0,))

  def test_only_trained_kernels_have_a_gradient_in_the_graph(self):
    # A stem and two convolutions in each of three blocks; nothing needs the gradient of the image.
    everything = self._from('embedding', 'block_0', 'block_1', 'block_2', 'head')
    suffix, head = self._from('block_2', 'head'), self._from('head')
    counts = [
      [len(self._nodes(trained, f'Conv2D{kind}')) for kind in ('', 'BackpropInput', 'BackpropFilter')]
      for trained in (everything, suffix, head)
    ]
    self.assertEqual(counts, [[7, 6, 7], [7, 1, 2], [7, 0, 0]])

  def test_a_run_time_flag_puts_the_gradient_of_a_kernel_into_a_branch(self):
    functions = self._nodes(None, 'Conv2DBackpropFilter')
    self.assertLen(functions, 7)
    for function in functions:
      self.assertRegex(function, r'^cond(_\d+)?_true_')
