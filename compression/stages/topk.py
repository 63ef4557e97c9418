"""The values of largest magnitude and their positions (Aji and Heafield 2017, arXiv 1704.05021).

    kept = the k = max(1, round(fraction * size)) positions with the largest |x|, of equal ones those that come first
    decode = x at kept, 0 elsewhere

Positions travel in ascending order, about 2 + log2(size / k) bits each, see `positions.py`. Where we differ: the threshold
is exact, not sampled, and what was dropped is not added to the next update, because clients keep no state. Biased:
towards zero.
"""

import tensorflow as tf

from compression import positions
from compression import stage
from data import arguments


class Topk(stage.Stage):
  """Keeps a fraction of the values, the largest in magnitude."""

  keeps = True

  def __init__(self, fraction: float = 0.01):
    """Configures the stage.

    Args:
      fraction: Share of the values to keep, above 0 and at most 1; at least one value is kept.

    Raises:
      ValueError: For other values.
    """
    arguments.check_within('(0, 1]', fraction=fraction)
    self._fraction = fraction

  def form(self, form: stage.Form) -> stage.Form:
    """Returns the kept values."""
    return stage.Form(stage.Kind.FLOATS, self._kept(form.size))

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns the kept values and (uint8 of their packed positions,)."""
    del client_seed, shared_seed
    if form.size == 0:
      return tf.zeros([0]), (tf.zeros([0], tf.uint8),)
    kept = tf.sort(tf.math.top_k(tf.abs(x), self._kept(form.size), sorted=False).indices)
    return tf.gather(x, kept), (positions.pack(kept, form.size),)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the kept values in their places among zeros; see `Stage.decode`."""
    del shared_seed
    if form.size == 0:
      return tf.zeros([0])
    kept = positions.unpack(side[0], form.size, self._kept(form.size))
    return tf.scatter_nd(kept[:, tf.newaxis], x, [form.size])

  def _kept(self, size: int) -> int:
    return min(size, max(1, round(self._fraction * size)))
