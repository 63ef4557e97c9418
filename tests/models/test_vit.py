"""The Vision Transformer has the published sizes and computes what its docstring says."""

import math

from absl.testing import parameterized
import numpy as np
import tensorflow as tf

from models import image_task
from models import vit

_erf = np.vectorize(math.erf)


def _norm(w, name, x):
  centred = x - x.mean(-1, keepdims=True)
  return centred / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * w[f'{name}_scale'] + w[f'{name}_bias']


def _project(w, name, x):
  return x @ w[f'{name}_kernel'] + w[f'{name}_bias']


def _code(place, width):
  """Sines, then cosines, of the place over 10000 ** (0, 2, 4, ... / width)."""
  angles = [place / 10_000 ** (2 * i / width) for i in range(width // 2)]
  return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]


def _plain_states(w, image, patch, width, layers, heads):
  """Of one image, patch by patch and head by head, in float64."""
  rows, columns = image.shape[0] // patch, image.shape[1] // patch
  x = np.zeros([rows * columns, width])
  for i in range(rows):
    for j in range(columns):
      pixels = image[i * patch : (i + 1) * patch, j * patch : (j + 1) * patch].reshape(-1)
      position = np.array(_code(i, width // 2) + _code(j, width // 2))
      x[i * columns + j] = _project(w, 'embedding/patch', pixels) + position
  d = width // heads
  for layer in range(layers):
    name = f'block_{layer}/attention'
    y = _norm(w, f'{name}/norm', x)
    q, k, v = (_project(w, f'{name}/{part}', y) for part in ('query', 'key', 'value'))
    mixed = np.zeros_like(x)
    for h in range(heads):
      s = slice(h * d, (h + 1) * d)
      scores = q[:, s] @ k[:, s].T / math.sqrt(d)
      p = np.exp(scores - scores.max(-1, keepdims=True))
      mixed[:, s] = p / p.sum(-1, keepdims=True) @ v[:, s]
    x = x + _project(w, f'{name}/output', mixed)
    name = f'block_{layer}/mlp'
    y = _project(w, f'{name}/up', _norm(w, f'{name}/norm', x))
    x = x + _project(w, f'{name}/down', y * 0.5 * (1 + _erf(y / math.sqrt(2))))
  return x


def _plain_vit(w, image, *dimensions):
  states = _plain_states(w, image, *dimensions)
  return _project(w, 'head/classifier', _norm(w, 'head/norm', states).mean(0))


class VitTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.named_parameters(
    # Per block 2 norms of 2 * 192, attention 4 * (192 * 192 + 192), MLP 2 * 192 * 768 + 768 + 192: 444,864. With a patch of
    # 16 * 16 * 3 pixels: 768 * 192 + 192, the last norm 384 and 1000 classes (192 + 1) * 1000.
    dict(testcase_name='tiny', size='tiny', patch=16, shape=(224, 224, 3), classes=1000, expected=5_679_400),
    # 4 * 4 * 3 pixels: 48 * 192 + 192 = 9,408; 12 * 444,864 = 5,338,368; 384; 193 * 10 = 1,930.
    dict(testcase_name='tiny_of_cifar', size='tiny', patch=4, shape=(32, 32, 3), classes=10, expected=5_350_090),
  )
  def test_published_sizes(self, size, patch, shape, classes, expected):
    model = vit.vit(size, patch_size=patch).classifier(shape, classes)
    self.assertEqual(model.num_parameters, expected)

  def test_computes_what_it_says(self):
    model = vit.vit(width=8, mlp_width=12, num_layers=2, num_heads=2, patch_size=2).classifier((4, 6, 3), 5)
    rng = np.random.default_rng(3)
    weights = {v.name: rng.normal(0.0, 0.3, v.shape).astype(np.float32) for v in model.variables}
    images = rng.uniform(-1.0, 1.0, [3, 4, 6, 3]).astype(np.float32)
    found = model.apply({name: tf.constant(w) for name, w in weights.items()}, tf.constant(images), None)
    exact = {name: w.astype(np.float64) for name, w in weights.items()}
    expected = [_plain_vit(exact, image.astype(np.float64), 2, 8, 2, 2) for image in images]
    self.assertAllClose(found, expected, rtol=1e-5, atol=1e-5)

  def test_features_are_means_of_states_before_a_norm(self):
    transformer = vit.vit(width=8, mlp_width=12, num_layers=2, num_heads=2, patch_size=2)
    rng = np.random.default_rng(4)
    weights = {v.name: rng.normal(0.0, 0.3, v.shape).astype(np.float32) for v in transformer.variables((4, 6, 3))}
    images = rng.uniform(-1.0, 1.0, [3, 4, 6, 3]).astype(np.float32)
    features = tf.function(lambda x: transformer.features(weights, x, None), autograph=False)
    found = features.get_concrete_function(tf.TensorSpec([None, 4, 6, 3]))(tf.constant(images))
    exact = {name: w.astype(np.float64) for name, w in weights.items()}
    expected = [_plain_states(exact, image.astype(np.float64), 2, 8, 2, 2).mean(0) for image in images]
    self.assertAllClose(found, expected, rtol=1e-5, atol=1e-5)
    self.assertEqual(found.shape, (3, transformer.feature_width))

  def test_a_classifier_adds_a_head_to_the_variables(self):
    transformer = vit.vit(width=8, mlp_width=8, num_layers=2, num_heads=1)
    names = [variable.name for variable in transformer.classifier((8, 8, 1), 2).variables]
    shared = [variable.name for variable in transformer.variables((8, 8, 1))]
    head = ['head/norm_scale', 'head/norm_bias', 'head/classifier_kernel', 'head/classifier_bias']
    self.assertEqual(names, shared + head)
    self.assertEqual(list(dict.fromkeys(name.split('/')[0] for name in shared)), ['embedding', 'block_0', 'block_1'])

  def test_variables_refuse_images_that_patches_do_not_divide(self):
    with self.assertRaisesRegex(ValueError, '^patch_size=4 must divide images of 8 x 6 pixels$'):
      vit.vit(patch_size=4).variables((8, 6, 3))

  def test_the_first_half_of_the_position_is_the_row(self):
    rows_differ = vit._positions(2, 3, 8)
    self.assertAllClose(rows_differ[0, 4:], rows_differ[3, 4:])  # Column 0 of rows 0 and 1.
    self.assertAllClose(rows_differ[0, :4], rows_differ[2, :4])  # Row 0, columns 0 and 2.
    self.assertAllClose(rows_differ[3, :4], [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)])

  def test_dropout_draws_only_with_a_seed(self):
    model = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1, dropout=0.5).classifier((8, 8, 1), 2)
    weights = model.by_name(model.initial_weights(0))
    images = tf.ones([1, 8, 8, 1])
    plain, first, second = (
      model.apply(weights, images, seed)
      for seed in (None, tf.constant([0, 1], tf.int64), tf.constant([0, 2], tf.int64))
    )
    self.assertNotAllClose(first, second)
    self.assertNotAllClose(first, plain)

  @parameterized.named_parameters(
    dict(
      testcase_name='patch', arguments=dict(patch_size=3), message='patch_size=3 must divide images of 8 x 8 pixels'
    ),
    dict(testcase_name='no_patch', arguments=dict(patch_size=0), message='patch_size must be a whole number'),
    dict(testcase_name='width', arguments=dict(width=6, num_heads=1), message='width=6 must be a multiple of 4'),
    dict(testcase_name='heads', arguments=dict(num_heads=5), message='num_heads=5 must divide width=192'),
    dict(testcase_name='size', arguments=dict(size='huge'), message='size must be one of tiny, small'),
  )
  def test_refuses_what_cannot_be(self, arguments, message):
    with self.assertRaisesRegex(ValueError, message):
      vit.vit(**arguments).classifier((8, 8, 1), 2)


class ImageTaskTest(tf.test.TestCase):
  def test_pixels_are_scaled(self):
    self.assertAllClose(image_task.scaled(tf.constant([0, 51, 255])), [-1.0, -0.6, 1.0])  # 51 / 127.5 = 0.4

  def test_measures_a_batch(self):
    model = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1).classifier((4, 4, 1), 3)
    task = image_task.build(model, (4, 4, 1))
    weights = [tf.zeros_like(weight) for weight in model.initial_weights(0)]
    batch = dict(image=tf.zeros([2, 4, 4, 1], tf.int32), label=tf.constant([0, 2]), client_key=tf.zeros([2], tf.int64))
    measured = task.evaluate(weights, batch)
    # All classes are equally likely: a loss of ln 3 each; the first of equal ones is taken.
    self.assertAllClose(list(measured.values()), [2 * math.log(3), 1.0, 2.0])
    self.assertEqual(list(measured), ['loss_sum', 'correct_sum', 'weight_sum'])
    self.assertFalse(task.is_language_model)
