"""The step size follows the votes, the votes follow the lagrangian, and both are counted and kept."""

import collections
import functools

import hypothesis
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import adaptive
from compression import codec as codec_lib
from compression import partial_mean
from compression import rate_distortion
from compression import sent_update
from compression import stage as stage_lib
from tests.compression import conformance

_SEED = tf.constant([1, 2], tf.int64)
_SIZE = 2000
_TYPE = sent_update.update_type(tff.types.to_type(((np.float32, (_SIZE,)),)))


def _update(seed=0, trained=True):
  delta = np.random.default_rng(seed).normal(size=_SIZE).astype(np.float32)
  return collections.OrderedDict(
    delta=(delta,),
    trained=np.array([trained]),
    client_seed=np.array([seed, 1]),
    shared_seed=np.array([0, 0]),
    answers=True,
  )


@functools.cache
def _voting(codec):
  """Returns a graph from tensors, presence and step to a vote."""
  return tf.function(
    lambda tensors, present, step: codec.vote(adaptive.Ballot(codec.at, tensors, present, step, _SEED, _SEED)),
    autograph=False,
  )


def _vote(codec, tensors, step, present=None):
  present = tf.constant([True] * len(tensors) if present is None else present)
  return _voting(codec)(tensors, present, tf.constant(step)).numpy().tolist()


def _process(**arguments):
  factory = partial_mean.PartialMeanFactory(rate_distortion.RateDistortion(**arguments), measure_distortion=True)
  return factory.create(_TYPE, tff.types.to_type(np.float32))


@tf.function(autograph=False)
def _quantized(x, step, seed):
  """Returns how often the step was doubled, and what decoding makes of x."""
  stage, form = rate_distortion.StepQuantizer(step), stage_lib.Form(stage_lib.Kind.FLOATS, x.shape[0])
  levels, side = stage.encode(x, form, seed, _SEED)
  in_range = tf.reduce_all(tf.logical_and(levels >= 0, levels < stage.form(form).num_levels))
  with tf.control_dependencies([tf.debugging.Assert(in_range, [levels])]):
    return side[0], stage.decode(levels, side, form, _SEED)


def test_multiples_of_the_step_are_exact_and_others_between_their_neighbours():
  codec = codec_lib.Codec([rate_distortion.StepQuantizer(tf.constant(0.5))])
  x = tf.constant([0.0, 0.5, -1.5, 0.7, -0.2])
  decoded = codec.decode(codec.encode(x, _SEED, _SEED), tf.TensorSpec([5]), _SEED).numpy()
  np.testing.assert_array_equal(decoded[:3], [0.0, 0.5, -1.5])
  assert decoded[3] in (0.5, 1.0)
  assert decoded[4] in (-0.5, 0.0)


# The largest value of 50 is 2.8: of the smaller steps, it is 2.8e5 and 2.8e12.
@pytest.mark.parametrize('step', [0.7, 1e-5, 1e-12])
def test_step_quantizer_is_unbiased(step):
  x = tf.constant(np.random.default_rng(0).normal(size=50), tf.float32)
  codec = codec_lib.Codec([rate_distortion.StepQuantizer(tf.constant(step))])
  draw = tf.function(
    lambda n: codec.decode(codec.encode(x, tf.stack([n, n]), _SEED), tf.TensorSpec([50]), _SEED), autograph=False
  )
  draws = np.stack([draw(tf.constant(n, tf.int64)) for n in range(300)])
  standard_error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
  assert np.all(np.abs(draws.mean(axis=0, dtype=np.float64) - x) <= 5 * standard_error + 1e-5)


@hypothesis.given(
  numpy_strategies.arrays(np.float32, 6, elements=strategies.floats(width=32, allow_nan=False, allow_infinity=False)),
  strategies.floats(2.0**-39, 2.0**39, width=32),
  strategies.integers(0, 2**62),
)
def test_no_value_is_farther_off_than_a_step_that_holds_the_largest(x, step, seed):
  side, decoded = _quantized(tf.constant(x), tf.constant(step, tf.float32), tf.constant([seed, 1], tf.int64))
  # The least number of doublings at which 32,767 steps reach the largest value, by trying.
  doublings, largest = 0, np.max(np.abs(x.astype(np.float64)))
  while step * 2.0**doublings * 32_767 < largest:
    doublings += 1
  assert side.numpy().tolist() == [doublings]
  # A position among the steps is rounded to 24 bits.
  error = np.abs(decoded.numpy().astype(np.float64) - x) - 2.0**-23 * np.abs(x.astype(np.float64))
  assert np.max(error) < 1.000001 * step * 2.0**doublings


def test_a_value_of_32767_steps_just_fits():
  codec = codec_lib.Codec([rate_distortion.StepQuantizer(tf.constant(1.0))])
  for largest, doublings in ((32_767.0, 0), (32_768.0, 1), (65_534.0, 1), (65_535.0, 2)):
    payload = codec.encode(tf.constant([-largest, 0.0]), _SEED, _SEED)
    assert payload.side[0][0].numpy().tolist() == [doublings]


@pytest.mark.parametrize(('step', 'expected'), [(0.05, 2), (50.0, 1)])
def test_rate_distortion_votes_for_larger_steps_when_fine_ones_waste_bits_and_smaller_when_coarse_ones_lose(
  step, expected
):
  # Values of size 1 and a bit worth 0.02: a step of 0.05 spends bits on noise, one of 50 loses everything.
  codec = rate_distortion.RateDistortion(lagrangian=0.02)
  x = tf.random.stateless_normal([_SIZE], _SEED)
  # Neither does the scale of values and step matter; 1e36 squared is no float.
  for scale in (1.0, 1e36):
    assert _vote(codec, [scale * x], scale * step) == [expected]


@pytest.mark.parametrize('step', [1e-12, 1e-5])
def test_a_client_whose_values_are_beyond_the_levels_votes_for_larger_steps(step):
  # The lagrangian alone would have it otherwise.
  codec = rate_distortion.RateDistortion(lagrangian=1e-9)
  x = tf.constant(conformance.normal([_SIZE], 0))
  assert _vote(codec, [x], step) == [2]


@pytest.mark.parametrize('step', [0.2, 0.45, 1.0])
def test_what_is_not_sent_does_not_count_in_a_vote(step):
  # With 10 times as many values that are not sent, bits a value would be a tenth.
  codec, x = rate_distortion.RateDistortion(), tf.constant(conformance.normal([200], 0))
  votes = [
    _vote(codec, tensors, step, present)
    for tensors, present in (([x], [True]), ([x, tf.fill([2000], 1e6)], [True, False]))
  ]
  assert votes[1] == votes[0]


def test_the_most_votes_win_and_none_change_nothing():
  codec = rate_distortion.RateDistortion(width=2.0)
  step = tf.constant(8.0)
  for votes, expected in (([1, 3, 2], 4.0), ([1, 2, 3], 16.0), ([3, 2, 1], 8.0), ([0, 0, 0], 8.0)):
    assert float(codec.next_parameter(step, tf.constant(votes, tf.int64))) == expected


@pytest.mark.parametrize('votes', [[0, 5, 5], [4, 5, 5], [5, 5, 5], [5, 5, 1], [5, 1, 5]])
def test_ties_keep_the_step(votes):
  codec = rate_distortion.RateDistortion()
  assert float(codec.next_parameter(tf.constant(8.0), tf.constant(votes, tf.int64))) == 8.0


@pytest.mark.parametrize(
  'arguments', [{'lagrangian': 0}, {'width': 1.0}, {'initial_step': -1}, {'initial_step': 1e-12}], ids=str
)
def test_rate_distortion_refuses(arguments):
  with pytest.raises(ValueError, match='must lie in'):
    rate_distortion.RateDistortion(**arguments)


def test_fixed_codecs_do_not_vote():
  assert adaptive.Fixed(None).vote(None).shape == [0]


@pytest.mark.usefixtures('worker')
def test_the_step_settles_where_the_lagrangian_says():
  settled = {}
  for lagrangian in (0.002, 0.2):
    process = _process(lagrangian=lagrangian, initial_step=0.05)
    state = process.initialize()
    for _ in range(12):
      output = process.next(state, [_update(1), _update(2), _update(3)], [np.float32(1)] * 3)
      state = output.state
    settled[lagrangian] = (float(state), output.measurements)
  assert settled[0.2][0] > 2 * settled[0.002][0]
  assert settled[0.2][1]['upload_bytes'] < settled[0.002][1]['upload_bytes']
  assert settled[0.2][1]['upload_distortion'] > settled[0.002][1]['upload_distortion']


@pytest.mark.usefixtures('worker')
def test_what_nobody_trains_does_not_move_the_step():
  delta = _update()['delta']
  wider = sent_update.update_type(tff.types.to_type(((np.float32, (_SIZE,)), (np.float32, (30 * _SIZE,)))))
  update = _update() | dict(delta=(*delta, np.zeros(30 * _SIZE, np.float32)), trained=np.array([True, False]))
  outputs = []
  for type_, sent, together in ((_TYPE, _update(), (0,)), (wider, update, (0, -1)), (wider, update, None)):
    codec = rate_distortion.RateDistortion(initial_step=0.1)
    factory = partial_mean.PartialMeanFactory(codec, together=together)
    process = factory.create(type_, tff.types.to_type(np.float32))
    steps = (process.initialize(), np.float32(1e-6))
    outputs.append([process.next(step, [sent], [np.float32(1)]) for step in steps])
  for of_one_step in zip(*outputs, strict=True):
    assert [float(output.state) for output in of_one_step[1:]] == 2 * [float(of_one_step[0].state)]
    sizes = [output.measurements['upload_bytes'] for output in of_one_step]
    assert sizes[1] == sizes[0]
    assert sizes[2] > sizes[0]


@pytest.mark.usefixtures('worker')
def test_a_client_that_sends_nothing_does_not_vote():
  process = _process(initial_step=50.0)
  sends_nothing = process.next(process.initialize(), [_update(trained=False)], [np.float32(1)])
  assert float(sends_nothing.state) == 50.0
  assert sends_nothing.measurements['upload_bytes'] == 5  # 1 of presence bits and 4 of weight.
  sends = process.next(process.initialize(), [_update()], [np.float32(1)])
  assert float(sends.state) < 50.0
