"""A weight's uses are right as values, and a tapped weight gets the gradient that a watched tensor gets."""

import numpy as np
import pytest
import tensorflow as tf

from models import weight as weight_lib

_RNG = np.random.default_rng(0)
_X = _RNG.normal(size=[5, 3]).astype(np.float32)
_Y = _RNG.normal(size=[5, 4]).astype(np.float32)
_W = _RNG.normal(size=[3, 4]).astype(np.float32)
_SCALE = _RNG.normal(size=[4]).astype(np.float32)
_SEQUENCES = _RNG.normal(size=[2, 5, 4]).astype(np.float32)
_IMAGES = _RNG.normal(size=[2, 5, 4, 2]).astype(np.float32)
_KERNEL = _RNG.normal(size=[3, 3, 2, 3]).astype(np.float32)


def _filtered(x, taps):
  """Each channel of [batch, length, width] filtered over time, position by position."""
  y = np.zeros_like(x)
  for t in range(x.shape[1]):
    for lag in range(min(len(taps), t + 1)):
      y[:, t] += x[:, t - lag] * taps[len(taps) - 1 - lag]
  return y


def _convolved(x, kernel, stride):
  """Images [batch, height, width, inputs] filtered by a kernel that is centred at pixels 0, stride, 2 stride, ..."""
  rows, columns = kernel.shape[0] // 2, kernel.shape[1] // 2
  padded = np.pad(x, [(0, 0), (rows, rows), (columns, columns), (0, 0)])
  y = np.zeros([len(x), *x[0, ::stride, ::stride, 0].shape, kernel.shape[3]], np.float32)
  for i, j in np.ndindex(*y.shape[1:3]):
    window = padded[:, i * stride : i * stride + kernel.shape[0], j * stride : j * stride + kernel.shape[1]]
    y[:, i, j] = np.einsum('nabc,abcd->nd', window, kernel)
  return y


# Name, weight, use by a layer, the same in numpy.
_USES = (
  pytest.param(_W, lambda w: w.product(tf.constant(_X)), lambda w: _X @ w, id='product'),
  pytest.param(_W, lambda w: w.transposed_product(tf.constant(_Y)), lambda w: _Y @ w.T, id='transposed_product'),
  pytest.param(_W, lambda w: w.rows(tf.constant([[2, 0, 2]])), lambda w: w[[[2, 0, 2]]], id='rows'),
  pytest.param(_SCALE, lambda w: w.scaled(tf.constant(_Y)), lambda w: _Y * w, id='scaled'),
  pytest.param(
    _W,
    lambda w: w.causal_convolution(tf.constant(_SEQUENCES)),
    lambda w: _filtered(_SEQUENCES, w),
    id='causal_convolution',
  ),
  pytest.param(
    _W,
    lambda w: w.causal_convolution(tf.constant(_SEQUENCES[:, :2])),
    lambda w: _filtered(_SEQUENCES[:, :2], w),
    id='causal_convolution_longer_than_the_sequence',
  ),
  *(
    pytest.param(
      kernel,
      lambda w, stride=stride: w.convolution(tf.constant(_IMAGES), stride),
      lambda w, stride=stride: _convolved(_IMAGES, w, stride),
      id=f'convolution_{name}_stride_{stride}',
    )
    for name, kernel in (('of_pixels', _KERNEL[1:2, 1:2]), ('square', _KERNEL), ('of_rows', _KERNEL[:, 1:2]))
    for stride in (1, 2)
  ),
  pytest.param(_W, lambda w: w.loop_product(tf.constant(_X)), lambda w: _X @ w, id='loop_product'),
  pytest.param(_SCALE, lambda w: tf.linalg.matvec(_Y, w), lambda w: _Y @ w, id='as_a_tensor'),
  pytest.param(_SCALE, lambda w: w * tf.constant(_Y), lambda w: w * _Y, id='left_of_an_operator'),
  pytest.param(_SCALE, lambda w: tf.constant(_Y) * w, lambda w: _Y * w, id='right_of_an_operator'),
)
_WATCHED_USES = tuple(use for use in _USES if use.id != 'loop_product')


def _loss(outputs):
  return tf.add_n([tf.reduce_sum(tf.sin(output)) for output in outputs])


def _plain_gradient(value, *uses):
  tensor = tf.constant(value)
  with tf.GradientTape() as tape:
    tape.watch(tensor)
    loss = _loss([use(weight_lib.of(tensor)) for use in uses])
  return tf.convert_to_tensor(tape.gradient(loss, tensor))


def _tapped_gradient(value, *uses):
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    tapped = weight_lib.Tapped(tf.constant(value), tape)
    loss = _loss([use(tapped) for use in uses])
  return tapped.gradient([tf.convert_to_tensor(d) for d in tape.gradient(loss, [z for z, _ in tapped.uses])])


@pytest.mark.parametrize(('value', 'use', 'expected'), _USES)
def test_use_equals_numpy(value, use, expected):
  tensor = tf.constant(value)
  with tf.GradientTape() as tape:
    weights = [weight_lib.Weight(tensor), weight_lib.FrozenWeight(tensor), weight_lib.Tapped(tensor, tape)]
  for weight in weights:
    np.testing.assert_allclose(use(weight), expected(value), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('value', 'use', 'expected'), _WATCHED_USES)
def test_tapped_gradient_equals_that_of_a_watched_tensor(value, use, expected):
  del expected
  np.testing.assert_allclose(_tapped_gradient(value, use), _plain_gradient(value, use), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(('value', 'use', 'expected'), _WATCHED_USES)
def test_gradients_agree_in_a_graph_of_tff(value, use, expected):
  del expected
  with tf.Graph().as_default() as graph:
    tapped = tf.function(lambda: _tapped_gradient(value, use), autograph=False)()
  with tf.compat.v1.Session(graph=graph) as session:
    tapped = session.run(tapped)
  np.testing.assert_allclose(tapped, _plain_gradient(value, use), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
  'make',
  [
    pytest.param(lambda taps, tape: weight_lib.Weight(taps), id='weight'),
    pytest.param(lambda taps, tape: weight_lib.FrozenWeight(taps), id='frozen'),
    pytest.param(weight_lib.Tapped, id='tapped'),
  ],
)
def test_a_causal_convolution_ends_at_its_position(make):
  x, taps = tf.constant([[[1.0], [2.0], [3.0]]]), tf.constant([[10.0], [1.0]])
  with tf.GradientTape(persistent=True) as tape:
    tape.watch([x, taps])
    weight = make(taps, tape)
    y = weight.causal_convolution(x)
    loss = tf.reduce_sum(y * [[[1.0], [2.0], [4.0]]])
  np.testing.assert_array_equal(y, [[[1.0], [12.0], [23.0]]])
  # y = [1, 2 + 10 * 1, 3 + 10 * 2], weighted 1, 2, 4.
  np.testing.assert_array_equal(tape.gradient(loss, x), [[[1.0 + 2.0 * 10.0], [2.0 + 4.0 * 10.0], [4.0]]])
  if isinstance(weight, weight_lib.Tapped):
    d_taps = weight.gradient([tape.gradient(loss, output) for output, _ in weight.uses])
  else:
    d_taps = tape.gradient(loss, taps)
  if isinstance(weight, weight_lib.FrozenWeight) and not isinstance(weight, weight_lib.Tapped):
    assert d_taps is None
  else:
    np.testing.assert_array_equal(d_taps, [[2.0 * 1.0 + 4.0 * 2.0], [1.0 + 2.0 * 2.0 + 4.0 * 3.0]])


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(5, 4), (4, 4), (1, 3)])
def test_the_gradient_of_images_is_that_of_tensorflow(stride, size):
  x = tf.constant(_RNG.normal(size=[2, *size, 2]), tf.float32)
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(x)
    weights = [make(tf.constant(_KERNEL)) for make in (weight_lib.Weight, weight_lib.FrozenWeight)]
    losses = [_loss([weight.convolution(x, stride)]) for weight in weights]
  plain, frozen = (tape.gradient(loss, x) for loss in losses)
  np.testing.assert_allclose(frozen, plain, rtol=1e-5, atol=1e-6)


def test_a_convolution_centres_its_kernel():
  x, kernel = np.zeros([1, 4, 4, 1], np.float32), np.arange(9, dtype=np.float32).reshape([3, 3, 1, 1])
  x[0, 2, 2] = 1.0
  # Around (2, 2) each pixel sees it through the opposite tap; every second one is (0, 0), (0, 2), (2, 0) and (2, 2).
  all_places = [[0, 0, 0, 0], [0, 8, 7, 6], [0, 5, 4, 3], [0, 2, 1, 0]]
  weight = weight_lib.Weight(tf.constant(kernel))
  np.testing.assert_array_equal(weight.convolution(tf.constant(x))[0, :, :, 0], all_places)
  np.testing.assert_array_equal(weight.convolution(tf.constant(x), 2)[0, :, :, 0], [[0, 0], [0, 4]])


def test_several_uses_of_one_weight_add_up():
  uses = [
    lambda w: w.rows(tf.constant([0, 1, 1])),
    lambda w: tf.matmul(_X, w),
    lambda w: w.transposed_product(tf.constant(_Y)),
    lambda w: tf.matmul(_X, w) ** 2,
    lambda w: w.product(tf.constant(_X)),
  ]
  np.testing.assert_allclose(_tapped_gradient(_W, *uses), _plain_gradient(_W, *uses), rtol=1e-5, atol=1e-5)


def test_an_unused_weight_has_a_zero_gradient():
  with tf.GradientTape() as tape:
    tapped = weight_lib.Tapped(tf.constant(_W), tape)
  np.testing.assert_array_equal(tapped.gradient([]), np.zeros([3, 4]))


def test_a_tapped_weight_is_right_as_a_tensor_inside_a_loop():
  def use(w):
    return tf.scan(lambda total, x: total + tf.linalg.matvec(w, x, transpose_a=True), tf.constant(_X), tf.zeros([4]))

  tapped = tf.function(lambda: _tapped_gradient(_W, use), autograph=False)()
  np.testing.assert_allclose(tapped, _plain_gradient(_W, use), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('value', 'use', 'expected'), _USES)
def test_a_frozen_weight_gets_no_gradient_and_keeps_no_activation(value, use, expected):
  del expected
  tensor = tf.constant(value)
  with tf.GradientTape(watch_accessed_variables=False) as tape:
    output = use(weight_lib.FrozenWeight(tensor))
  assert tape.gradient(output, tensor) is None


def test_of_keeps_a_weight():
  frozen = weight_lib.FrozenWeight(tf.constant(_W))
  assert weight_lib.of(frozen) is frozen
  assert weight_lib.of(tf.constant(_W)).shape == [3, 4]
