"""Losses of two views equal those worked out by hand and pair by pair."""

import math

import numpy as np
import pytest
import tensorflow as tf

from models import contrastive


@tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None])] * 2 + [tf.TensorSpec([])])
def _nt_xent(first, second, temperature):
  return contrastive.nt_xent(first, second, temperature)


@tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None])] * 2)
def _negative_cosine(predicted, target):
  return contrastive.negative_cosine(predicted, target)


@tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None])] * 2)
def _nearest(predicted, target):
  return contrastive.nearest(predicted, target)


def _cosine(a, b):
  return sum(a * b) / math.sqrt(sum(a * a) * sum(b * b))


def _plain_nt_xent(first, second, temperature):
  """Pair by pair, in float64."""
  z, n = [*first.astype(np.float64), *second.astype(np.float64)], len(first)
  losses, correct = np.zeros(n), np.zeros(n)
  for i in range(2 * n):
    j = (i + n) % (2 * n)
    scores = {k: _cosine(z[i], z[k]) / temperature for k in range(2 * n) if k != i}
    losses[i % n] += (np.logaddexp.reduce(list(scores.values())) - scores[j]) / 2
    correct[i % n] += (max(scores, key=scores.get) == j) / 2
  return losses, correct


def _vectors(*shape):
  return np.random.default_rng(6).normal(size=shape).astype(np.float32)


def test_two_images_by_hand():
  # z_0 = (1, 0), z_1 = (0, 1), z_2 = (1, 0), z_3 = (.8, .6); cosines times 1 / .2 = 5, each after the other view's:
  # z_0: 5; 0, 4. z_2: 5; 0, 4. ln(1 + e^-5 + e^-1) = ln 1.374617 = .318176 twice; right and right.
  # z_1: 3; 0, 0. z_3: 3; 4, 4. ln(1 + 2 e^-3) = ln 1.099574 = .094923 and ln(1 + 2 e) = ln 6.436564 = 1.861995, of which
  # the mean is .978459; right and wrong.
  losses, correct = _nt_xent([[1.0, 0.0], [0.0, 3.0]], [[7.0, 0.0], [0.4, 0.3]], 0.2)
  np.testing.assert_allclose(losses, [0.318176, 0.978459], rtol=0.0, atol=2e-6)
  np.testing.assert_array_equal(correct, [1.0, 0.5])


@pytest.mark.parametrize('temperature', [0.07, 0.2, 1.0])
@pytest.mark.parametrize('batch', [2, 5])
def test_nt_xent_equals_the_sum_over_pairs(temperature, batch):
  first, second = _vectors(2, batch, 3)
  expected = _plain_nt_xent(first, second, temperature)
  np.testing.assert_allclose(_nt_xent(first, second, temperature), expected, rtol=1e-4, atol=1e-5)


def test_similar_views_are_found():
  first = _vectors(6, 8)
  losses, correct = _nt_xent(first, first + 0.01, 0.1)
  np.testing.assert_array_equal(correct, np.ones(6))
  assert 0.0 <= np.min(losses) <= np.max(losses) <= 0.3
  np.testing.assert_array_equal(_nt_xent(first, np.roll(first, 1, axis=0), 0.1)[1], np.zeros(6))


def test_nt_xent_equal_vectors_are_not_told_apart():
  # All 2 * 4 - 1 others are as near: ln 7, and none is nearer than the rest.
  losses, correct = _nt_xent(np.ones([4, 2]), np.ones([4, 2]), 0.2)
  np.testing.assert_allclose(losses, np.full(4, math.log(7)), rtol=1e-6, atol=1e-6)
  np.testing.assert_array_equal(correct, np.zeros(4))


@pytest.mark.parametrize('temperature', [0.2, 1e-3])
def test_one_image_costs_nothing(temperature):
  first, second = tf.constant([[1.0, 2.0]]), tf.constant([[-3.0, 1.0]])
  with tf.GradientTape() as tape:
    tape.watch([first, second])
    losses, correct = _nt_xent(first, second, temperature)
  np.testing.assert_array_equal((losses, correct), [[0.0], [1.0]])
  np.testing.assert_array_equal(tape.gradient(losses, [first, second]), np.zeros([2, 1, 2]))


def test_nt_xent_is_stable():
  first = np.array([[1.0, 0.0], [-1.0, 1e-3]], np.float32)
  second = np.array([[-1.0, 0.0], [1.0, 1e-3]], np.float32)
  found = tf.constant(first)
  with tf.GradientTape() as tape:
    tape.watch(found)
    losses, _ = _nt_xent(found, second, 1e-3)  # Scores of +-1,000: e^1000 is no float.
  np.testing.assert_allclose(losses, _plain_nt_xent(first, second, 1e-3)[0], rtol=1e-4, atol=1e-6)
  assert np.min(losses) > 1000.0
  assert np.isfinite(tape.gradient(losses, found)).all()
  assert np.isfinite(_nt_xent(np.zeros([2, 3]), np.zeros([2, 3]), 0.2)[0]).all()


def test_negative_cosine_by_hand():
  # (3, 4) and (8, 6): 24 + 24 over 5 * 10 = .96; opposite: -1 of cosine; at right angles: 0.
  found = _negative_cosine([[3.0, 4.0], [1.0, 1.0], [2.0, 0.0]], [[8.0, 6.0], [-2.0, -2.0], [0.0, 5.0]])
  np.testing.assert_allclose(found, [-0.96, 1.0, 0.0], rtol=0.0, atol=1e-6)


def test_negative_cosine_equals_the_sum_over_elements():
  predicted, target = _vectors(2, 5, 4)
  expected = [-_cosine(p, z) for p, z in zip(predicted.astype(np.float64), target.astype(np.float64), strict=True)]
  np.testing.assert_allclose(_negative_cosine(predicted, target), expected, rtol=1e-5, atol=1e-6)


def test_the_gradient_stops_at_the_target():
  predicted, target = (tf.constant(vectors) for vectors in _vectors(2, 3, 4))
  with tf.GradientTape() as tape:
    tape.watch([predicted, target])
    loss = tf.reduce_sum(_negative_cosine(predicted, target))
  d_predicted, d_target = tape.gradient(loss, [predicted, target], unconnected_gradients='zero')
  np.testing.assert_array_equal(d_target, np.zeros([3, 4]))
  # d cos / d p = (z / |z| - cos p / |p|) / |p|.
  for p, z, found in zip(predicted.numpy(), target.numpy(), d_predicted, strict=True):
    length = math.sqrt(sum(p * p))
    expected = -(z / math.sqrt(sum(z * z)) - _cosine(p, z) * p / length) / length
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_nearest_by_hand():
  # Directions of 0, 40 and 90 degrees; their targets lie at 10, 80 and 50, and the second one's is long.
  def directions(*degrees):
    return np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)

  target = directions(10, 80, 50) * [[1.0], [100.0], [1.0]]
  # 0 is nearest to 10, its own; 40 to 50, the third's; 90 to 80, the second's.
  np.testing.assert_array_equal(_nearest(directions(0, 40, 90), target), [1.0, 0.0, 0.0])
  np.testing.assert_array_equal(_nearest(directions(0, 85, 40), target), [1.0, 1.0, 1.0])


def test_the_only_one_is_the_nearest():
  np.testing.assert_array_equal(_nearest([[1.0, 0.0]], [[-1.0, 0.0]]), [1.0])
