"""The Vision Transformer has the published sizes and computes what its docstring says."""

import math

import numpy as np
import pytest
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
  """The logits of one image, patch by patch and head by head, in float64."""
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


@pytest.mark.parametrize(
  ('size', 'patch', 'shape', 'classes', 'expected'),
  [
    # Per block 2 norms of 2 * 192, attention 4 * (192 * 192 + 192), MLP 2 * 192 * 768 + 768 + 192: 444,864. With a patch of
    # 16 * 16 * 3 pixels: 768 * 192 + 192, the last norm 384 and 1000 classes (192 + 1) * 1000.
    pytest.param('tiny', 16, (224, 224, 3), 1000, 5_679_400, id='tiny'),
    # 4 * 4 * 3 pixels: 48 * 192 + 192 = 9,408; 12 * 444,864 = 5,338,368; 384; 193 * 10 = 1,930.
    pytest.param('tiny', 4, (32, 32, 3), 10, 5_350_090, id='tiny_of_cifar'),
  ],
)
def test_vit_published_sizes(size, patch, shape, classes, expected):
  model = vit.vit(size, patch_size=patch).classifier(shape, classes)
  assert model.num_parameters == expected


def test_vit_computes_what_it_says():
  model = vit.vit(width=8, mlp_width=12, num_layers=2, num_heads=2, patch_size=2).classifier((4, 6, 3), 5)
  rng = np.random.default_rng(3)
  weights = {v.name: rng.normal(0.0, 0.3, v.shape).astype(np.float32) for v in model.variables}
  images = rng.uniform(-1.0, 1.0, [3, 4, 6, 3]).astype(np.float32)
  found = model.apply({name: tf.constant(w) for name, w in weights.items()}, tf.constant(images), None)
  exact = {name: w.astype(np.float64) for name, w in weights.items()}
  expected = [_plain_vit(exact, image.astype(np.float64), 2, 8, 2, 2) for image in images]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_features_are_means_of_states_before_a_norm():
  transformer = vit.vit(width=8, mlp_width=12, num_layers=2, num_heads=2, patch_size=2)
  rng = np.random.default_rng(4)
  weights = {v.name: rng.normal(0.0, 0.3, v.shape).astype(np.float32) for v in transformer.variables((4, 6, 3))}
  images = rng.uniform(-1.0, 1.0, [3, 4, 6, 3]).astype(np.float32)
  features = tf.function(lambda x: transformer.features(weights, x, None), autograph=False)
  found = features.get_concrete_function(tf.TensorSpec([None, 4, 6, 3]))(tf.constant(images))
  exact = {name: w.astype(np.float64) for name, w in weights.items()}
  expected = [_plain_states(exact, image.astype(np.float64), 2, 8, 2, 2).mean(0) for image in images]
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  assert found.shape == (3, transformer.feature_width)


def test_a_classifier_adds_a_head_to_the_variables():
  transformer = vit.vit(width=8, mlp_width=8, num_layers=2, num_heads=1)
  names = [variable.name for variable in transformer.classifier((8, 8, 1), 2).variables]
  shared = [variable.name for variable in transformer.variables((8, 8, 1))]
  head = ['head/norm_scale', 'head/norm_bias', 'head/classifier_kernel', 'head/classifier_bias']
  assert names == shared + head
  assert list(dict.fromkeys(name.split('/')[0] for name in shared)) == ['embedding', 'block_0', 'block_1']


def test_variables_refuse_images_that_patches_do_not_divide():
  with pytest.raises(ValueError, match=r'^patch_size=4 must divide images of 8 x 6 pixels$'):
    vit.vit(patch_size=4).variables((8, 6, 3))


def test_the_first_half_of_the_position_is_the_row():
  rows_differ = vit._positions(2, 3, 8)
  np.testing.assert_allclose(rows_differ[0, 4:], rows_differ[3, 4:], rtol=1e-6, atol=1e-6)  # Column 0 of rows 0 and 1.
  np.testing.assert_allclose(rows_differ[0, :4], rows_differ[2, :4], rtol=1e-6, atol=1e-6)  # Row 0, columns 0 and 2.
  np.testing.assert_allclose(
    rows_differ[3, :4], [math.sin(1), math.sin(0.01), math.cos(1), math.cos(0.01)], rtol=1e-6, atol=1e-6
  )


def test_dropout_draws_only_with_a_seed():
  model = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1, dropout=0.5).classifier((8, 8, 1), 2)
  weights = model.by_name(model.initial_weights(0))
  images = tf.ones([1, 8, 8, 1])
  plain, first, second = (
    model.apply(weights, images, seed) for seed in (None, tf.constant([0, 1], tf.int64), tf.constant([0, 2], tf.int64))
  )
  assert not np.allclose(first, second, rtol=1e-6, atol=1e-6)
  assert not np.allclose(first, plain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    pytest.param(dict(patch_size=3), 'patch_size=3 must divide images of 8 x 8 pixels', id='patch'),
    pytest.param(dict(patch_size=0), 'patch_size must be a whole number', id='no_patch'),
    pytest.param(dict(width=6, num_heads=1), 'width=6 must be a multiple of 4', id='width'),
    pytest.param(dict(num_heads=5), 'num_heads=5 must divide width=192', id='heads'),
    pytest.param(dict(size='huge'), 'size must be one of tiny, small', id='size'),
  ],
)
def test_vit_refuses_what_cannot_be(arguments, message):
  with pytest.raises(ValueError, match=message):
    vit.vit(**arguments).classifier((8, 8, 1), 2)


def test_pixels_are_scaled():
  np.testing.assert_allclose(
    image_task.scaled(tf.constant([0, 51, 255])), [-1.0, -0.6, 1.0], rtol=1e-6, atol=1e-6
  )  # 51 / 127.5 = 0.4


def test_measures_a_batch():
  model = vit.vit(width=8, mlp_width=8, num_layers=1, num_heads=1).classifier((4, 4, 1), 3)
  task = image_task.build(model, (4, 4, 1))
  weights = [tf.zeros_like(weight) for weight in model.initial_weights(0)]
  batch = dict(image=tf.zeros([2, 4, 4, 1], tf.int32), label=tf.constant([0, 2]), client_key=tf.zeros([2], tf.int64))
  measured = task.evaluate(weights, batch)
  # All classes are equally likely: a loss of ln 3 each; the first of equal ones is taken.
  np.testing.assert_allclose(list(measured.values()), [2 * math.log(3), 1.0, 2.0], rtol=1e-6, atol=1e-6)
  assert list(measured) == ['loss_sum', 'correct_sum', 'weight_sum']
  assert not task.is_language_model
