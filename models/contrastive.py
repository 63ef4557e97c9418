"""Losses on vectors of two views of the same images, which want to be alike.

SimCLR: Chen et al. 2020 (arXiv 2002.05709); SimSiam: Chen & He 2020 (arXiv 2011.10566); BYOL: Grill et al. 2020 (arXiv
2006.07733).
"""

from collections.abc import Sequence

import tensorflow as tf

_HIDDEN = -1e9  # In place of the similarity of a vector to itself, which is not asked for.


def nt_xent(first: tf.Tensor, second: tf.Tensor, temperature: float) -> tuple[tf.Tensor, tf.Tensor]:
  """Tells each view's other view from all views of the other images (Chen et al. 2020, equation 1).

      l(i, j) = -log exp(cos(z_i, z_j) / temperature) / sum_{k != i} exp(cos(z_i, z_k) / temperature)

  z are the 2 * batch vectors of both views, and i and j the two of one image.

  Args:
    first: float32 [batch, width], of one view of each image; its length does not matter.
    second: float32 [batch, width], of the other view.
    temperature: Above 0.

  Returns:
    For each image, float32 [batch] each: the mean of l(i, j) and l(j, i), and whether z_j is nearer to z_i than any
    other z_k, as the mean over i and j. A batch of one image has a loss of 0 and is right.
  """
  batch = tf.shape(first)[0]
  z = _unit(tf.concat([first, second], axis=0))
  scores = tf.matmul(z, z, transpose_b=True) / temperature
  scores = tf.linalg.set_diag(scores, tf.fill([2 * batch], _HIDDEN))
  partners = tf.roll(tf.range(2 * batch), batch, axis=0)
  losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=partners, logits=scores)
  return _mean_of_views(losses), _mean_of_views(_is_nearest(scores, partners))


def negative_cosine(predicted: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
  """Wants a prediction to point where its target does (Chen & He 2020, equations 1 and 3).

      D(p, z) = -cos(p, stop_gradient(z))

  Args:
    predicted: float32 [batch, width].
    target: float32 [batch, width], through which no gradient flows.

  Returns:
    float32 [batch] in [-1, 1].
  """
  return -tf.reduce_sum(_unit(predicted) * _unit(tf.stop_gradient(target)), axis=1)


def nearest(predicted: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
  """Tells, as float32 [batch], whether the target nearest to each prediction by cosine is its own; [batch, width] each."""
  scores = tf.matmul(_unit(predicted), _unit(target), transpose_b=True)
  return _is_nearest(scores, tf.range(tf.shape(predicted)[0]))


def crossed(predictions: Sequence[tf.Tensor], targets: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
  """Compares what is predicted from each view with the target of the other view.

  Args:
    predictions: From first and second views, float32 [batch, width] each.
    targets: Targets of first and second views.

  Returns:
    For each image, float32 [batch] each: `negative_cosine` and `nearest`, means over both views.
  """
  pairs = list(zip(predictions, reversed(targets), strict=True))
  losses, correct = ([compare(*pair) for pair in pairs] for compare in (negative_cosine, nearest))
  return sum(losses) / 2.0, sum(correct) / 2.0


def _unit(x: tf.Tensor) -> tf.Tensor:
  return tf.math.l2_normalize(x, axis=1)


def _is_nearest(scores: tf.Tensor, own: tf.Tensor) -> tf.Tensor:
  """Tells, as float32 [n], whether in each row of `scores` [n, n] the one at index `own` [n] is above all others."""
  is_own = tf.one_hot(own, tf.size(own), on_value=True, off_value=False, dtype=tf.bool)
  best_other = tf.reduce_max(tf.where(is_own, _HIDDEN, scores), axis=1)
  return tf.cast(tf.gather(scores, own, batch_dims=1) > best_other, tf.float32)


def _mean_of_views(values: tf.Tensor) -> tf.Tensor:
  """Averages [2 * batch], one view of all images behind the other, to [batch]."""
  return tf.reduce_mean(tf.reshape(values, [2, -1]), axis=0)
