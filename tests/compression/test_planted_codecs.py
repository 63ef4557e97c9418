"""The conformance kit has teeth: it catches planted bad codecs, by the law meant for them."""

from collections.abc import Callable

import pytest
import tensorflow as tf

from compression import stage
from compression.stages import sign
from compression.stages import topk
from compression.stages import uniform
from tests.compression import conformance
from tests.compression import federated_conformance
from tests.compression.conformance import Row


class _Smuggler(topk.Topk):
  """Sends values without positions: those pass by the payload."""

  positions = ()

  def encode(self, x, form, client_seed, shared_seed):
    kept, side = super().encode(x, form, client_seed, shared_seed)
    if tf.executing_eagerly():  # It even knows when it is only traced.
      self.remember(side)
    return kept, ()

  def remember(self, positions):
    self.positions = positions

  def decode(self, x, side, form, shared_seed):
    return super().decode(x, self.positions, form, shared_seed)


class _GlobalSmuggler(_Smuggler):
  """Lets positions pass even to a fresh instance."""

  def remember(self, positions):
    _GlobalSmuggler.positions = positions


class _DividesByZero(sign.Sign):
  """Normalizes by the largest value, which may be zero."""

  def encode(self, x, form, client_seed, shared_seed):
    return super().encode(x / tf.reduce_max(tf.abs(x)), form, client_seed, shared_seed)


class _Floor(uniform.Uniform):
  """Rounds down, and claims to be unbiased."""

  def encode(self, x, form, client_seed, shared_seed):
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    levels = tf.floor(tf.math.divide_no_nan(x - low, high - low) * (self._num_levels - 1))
    return tf.cast(levels, tf.int32), (tf.stack([low, high]),)


class _SharesNoise(uniform.Uniform):
  """Draws its noise from the seed of the round."""

  def encode(self, x, form, client_seed, shared_seed):
    return super().encode(x, form, shared_seed, shared_seed)


class _FixesShape(uniform.Uniform):
  """Tells TensorFlow the size of the payload, so that an empty one would be counted in full."""

  def decode(self, x, side, form, shared_seed):
    return super().decode(tf.ensure_shape(x, [form.size]), side, form, shared_seed)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  ('honest', 'bad', 'law', 'message'),
  [
    (topk.Topk, _Smuggler, conformance.check_wire, 'the payload alone'),
    (topk.Topk, _GlobalSmuggler, conformance.check_wire, 'to something else'),
    (sign.Sign, _DividesByZero, conformance.check_extreme_values, 'zero does not stay zero'),
    (uniform.Uniform, _FixesShape, federated_conformance.check_upload_bytes, r'\d+ bytes, not \d+'),
    (uniform.Uniform, _Floor, conformance.check_bias, 'is biased'),
    (uniform.Uniform, _SharesNoise, conformance.check_independence, 'the error of the mean of 8 clients'),
  ],
)
def test_law_catches(honest: type[stage.Stage], bad: type[stage.Stage], law: Callable[[Row], None], message: str):
  def row(kind):
    return Row(kind.__name__, lambda: (kind(),), 0, unbiased=True, error_bound='not tested here')

  law(row(honest))
  with pytest.raises(AssertionError, match=message):
    law(row(bad))
