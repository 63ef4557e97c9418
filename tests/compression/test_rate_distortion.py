"""The step size follows the votes, the votes follow the lagrangian, and both are counted and kept."""

import collections

from absl.testing import parameterized
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import codec as codec_lib
from compression import partial_mean
from compression import rate_distortion

_SEED = tf.constant([1, 2], tf.int64)
_SIZE = 2000
_TYPE = partial_mean.update_type(tff.types.to_type(((np.float32, (_SIZE,)),)))


def _update(seed=0, trained=True):
  delta = np.random.default_rng(seed).normal(size=_SIZE).astype(np.float32)
  return collections.OrderedDict(
    delta=(delta,),
    trained=np.array([trained]),
    client_seed=np.array([seed, 1]),
    shared_seed=np.array([0, 0]),
    answers=True,
  )


def _process(**arguments):
  factory = partial_mean.PartialMeanFactory(rate_distortion.RateDistortion(**arguments), measure_distortion=True)
  return factory.create(_TYPE, tff.types.to_type(np.float32))


class StepQuantizerTest(parameterized.TestCase):
  def test_multiples_of_the_step_are_exact_and_others_between_their_neighbours(self):
    codec = codec_lib.Codec([rate_distortion.StepQuantizer(tf.constant(0.5))])
    x = tf.constant([0.0, 0.5, -1.5, 0.7, -0.2])
    decoded = codec.decode(codec.encode(x, _SEED, _SEED), tf.TensorSpec([5]), _SEED).numpy()
    np.testing.assert_array_equal(decoded[:3], [0.0, 0.5, -1.5])
    self.assertIn(decoded[3], (0.5, 1.0))
    self.assertIn(decoded[4], (-0.5, 0.0))

  def test_is_unbiased(self):
    x = tf.constant(np.random.default_rng(0).normal(size=50), tf.float32)
    codec = codec_lib.Codec([rate_distortion.StepQuantizer(tf.constant(0.7))])
    draw = tf.function(
      lambda n: codec.decode(codec.encode(x, tf.stack([n, n]), _SEED), tf.TensorSpec([50]), _SEED), autograph=False
    )
    draws = np.stack([draw(tf.constant(n, tf.int64)) for n in range(300)])
    standard_error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    self.assertTrue(np.all(np.abs(draws.mean(axis=0, dtype=np.float64) - x) <= 5 * standard_error + 1e-5))


class RateDistortionTest(parameterized.TestCase):
  @parameterized.parameters((0.05, 2), (50.0, 1))
  def test_votes_for_larger_steps_when_fine_ones_waste_bits_and_smaller_when_coarse_ones_lose(self, step, expected):
    # Values of size 1 and a bit worth 0.02: a step of 0.05 spends bits on noise, one of 50 loses everything.
    codec = rate_distortion.RateDistortion(lagrangian=0.02)
    vote = codec.vote([tf.random.stateless_normal([_SIZE], _SEED)], tf.constant(step), _SEED, _SEED)
    self.assertEqual(vote.numpy().tolist(), [expected])

  def test_the_most_votes_win_and_none_change_nothing(self):
    codec = rate_distortion.RateDistortion(width=2.0)
    step = tf.constant(8.0)
    for votes, expected in (([1, 3, 2], 4.0), ([1, 2, 3], 16.0), ([3, 2, 1], 8.0), ([0, 0, 0], 8.0)):
      self.assertEqual(float(codec.next_parameter(step, tf.constant(votes, tf.int64))), expected)

  @parameterized.parameters({'lagrangian': 0}, {'width': 1.0}, {'initial_step': -1})
  def test_refuses(self, **arguments):
    with self.assertRaisesRegex(ValueError, 'must lie in'):
      rate_distortion.RateDistortion(**arguments)

  def test_fixed_codecs_do_not_vote(self):
    self.assertEqual(adaptive.Fixed(None).vote([], None, None, None).shape, [0])


@pytest.mark.usefixtures('worker')
class RateDistortionProcessTest(parameterized.TestCase):
  def test_the_step_settles_where_the_lagrangian_says(self):
    settled = {}
    for lagrangian in (0.002, 0.2):
      process = _process(lagrangian=lagrangian, initial_step=0.05)
      state = process.initialize()
      for _ in range(12):
        output = process.next(state, [_update(1), _update(2), _update(3)], [np.float32(1)] * 3)
        state = output.state
      settled[lagrangian] = (float(state), output.measurements)
    self.assertGreater(settled[0.2][0], 2 * settled[0.002][0])
    self.assertLess(settled[0.2][1]['upload_bytes'], settled[0.002][1]['upload_bytes'])
    self.assertGreater(settled[0.2][1]['upload_distortion'], settled[0.002][1]['upload_distortion'])

  def test_a_client_that_sends_nothing_does_not_vote(self):
    process = _process(initial_step=50.0)
    sends_nothing = process.next(process.initialize(), [_update(trained=False)], [np.float32(1)])
    self.assertEqual(float(sends_nothing.state), 50.0)
    self.assertEqual(sends_nothing.measurements['upload_bytes'], 5)  # 1 of presence bits and 4 of weight.
    sends = process.next(process.initialize(), [_update()], [np.float32(1)])
    self.assertLess(float(sends.state), 50.0)
