"""The mean of a secure sum: equal to that of the rounded values to the bit, every byte counted, wrong sums told."""

import collections
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import sent_update
from compression import stage as stage_lib
from compression import update_codec
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise
from compression.privacy import private_mean
from compression.secure_sums import grid as grid_lib
from compression.secure_sums import modular
from compression.secure_sums import secure_mean
from compression.stages import hadamard
from compression.stages import randk

pytestmark = pytest.mark.usefixtures('worker')

_SHAPES = ((3, 2), (4,), ())
_LIMIT = 0.7  # With 4 bits a step of 0.1.


def _plan(**changed) -> modular.SumPlan:
  return modular.SumPlan(**dict(grid=grid_lib.Grid(4), field_bits=8, limit=_LIMIT, threshold=2 / 3) | changed)


def _process(plan: modular.SumPlan, stages: Sequence[stage_lib.Stage] = (), **more) -> tff.templates.AggregationProcess:
  codec = update_codec.UpdateCodec(codec_lib.Codec(stages), **more.pop('codec', {}))
  factory = secure_mean.SecureMeanFactory(codec, plan, **more)
  value_type = sent_update.update_type(tff.types.to_type(tuple((np.float32, shape) for shape in _SHAPES)))
  return factory.create(value_type, tff.TensorType(np.float32))


def _update(value, seed: int = 1, trained: Sequence[bool] = (True, True, True), answers: bool = True):
  make = value if callable(value) else lambda shape: np.full(shape, value)
  return collections.OrderedDict(
    delta=tuple(np.asarray(make(shape), np.float32) for shape in _SHAPES),
    trained=np.array(trained) & answers,
    client_seed=np.array([seed, 2], np.int64),
    shared_seed=np.array([5, 6], np.int64),
    answers=answers,
  )


def _run(process, updates, state=None):
  weights = [np.float32(np.any(update['trained'])) for update in updates]
  return process.next(process.initialize() if state is None else state, updates, weights)


def _random(seed: int):
  rng = np.random.default_rng(seed)
  return lambda shape: rng.uniform(-0.6, 0.6, size=shape)


def test_mean_and_bytes_by_hand():
  # 0.3 and -0.7 lie on levels 3 and -7; their mean is -0.2. 11 values of 8 bits are 6 + 4 + 1 bytes; counts of 4 flags in
  # 8 - 4 + 2 = 6 bits are 3 bytes. Keys and shares of 2 clients: 2 * 2 * 64 + 2 * 2 * 32 = 384 up, 128 * 2 * 1 + 2 = 258 down.
  done = _run(_process(_plan()), [_update(0.3), _update(-0.7)])
  for each in done.result['delta']:
    np.testing.assert_allclose(each, np.full(np.shape(each), -0.2), rtol=1e-5)
  assert done.result['trained'].tolist() == [True, True, True]
  counted = {name: int(value) for name, value in done.measurements.items()}
  assert counted == dict(
    upload_bytes=2 * (11 + 3) + 384,
    upload_bytes_values=22,
    upload_bytes_side=6,
    upload_bytes_weights=0,
    upload_bytes_per_client_max=14 + 192,
    upload_bytes_keys=384,
    download_bytes_keys=258,
    wrapped_values=0,
    cut_values=0,
    aborted_rounds=0,
  )


@pytest.mark.parametrize(
  ('stages', 'codec'),
  [
    ((), {}),
    ((hadamard.Hadamard(),), dict(concatenate=True)),
    ((randk.Randk(fraction=0.5, shared=True),), {}),
    ((hadamard.Hadamard(), randk.Randk(fraction=0.5, shared=True)), dict(concatenate=True)),
    ((hadamard.Hadamard(),), dict(small_size=5)),
  ],
)
def test_sum_is_that_of_what_each_alone_is_rounded_to(stages, codec):
  process = _process(_plan(field_bits=12, limit=4.0), stages, codec=codec, denominator='all')
  updates = [_update(_random(seed), seed) for seed in range(5)]
  alone = [_run(process, [update]).result['delta'] for update in updates]
  together = _run(process, updates)
  for index, each in enumerate(together.result['delta']):
    np.testing.assert_allclose(5 * each, np.sum([one[index] for one in alone], axis=0), rtol=1e-5, atol=1e-5)
  if not stages:
    step = 4.0 / 7
    for index, each in enumerate(together.result['delta']):
      levels = np.rint(np.sum([np.float64(one[index]) / step for one in alone], axis=0))
      np.testing.assert_array_equal(
        each, np.float32(np.float32(levels * (np.float64(np.float32(4.0)) / 7)) / np.float32(5))
      )


def test_what_does_not_fit_the_field_wraps_and_is_counted():
  # Levels 7 + 7 + 7 = 21 in a field of 5 bits, -16 to 15: 21 - 32 = -11, times 0.1 over 3 clients: -0.36667.
  done = _run(_process(_plan(field_bits=5)), [_update(0.7)] * 3)
  np.testing.assert_allclose(done.result['delta'][1], [-1.1 / 3] * 4, rtol=1e-5)
  assert done.measurements['wrapped_values'] == 11
  assert _run(_process(_plan(field_bits=6)), [_update(0.7)] * 3).measurements['wrapped_values'] == 0


def test_what_lies_beyond_the_grid_is_cut_and_counted():
  done = _run(_process(_plan()), [_update(0.9), _update(0.1)])
  np.testing.assert_allclose(done.result['delta'][0], np.full((3, 2), 0.4), rtol=1e-5)
  assert done.measurements['cut_values'] == 11


def test_who_trained_what_is_summed_too():
  updates = [_update(0.3), _update(0.7, trained=[True, False, False])]
  of_those = _run(_process(_plan()), updates).result
  np.testing.assert_allclose([float(np.ravel(each)[0]) for each in of_those['delta']], [0.5, 0.3, 0.3], rtol=1e-5)
  of_all = _run(_process(_plan(), denominator='all'), updates).result
  np.testing.assert_allclose([float(np.ravel(each)[0]) for each in of_all['delta']], [0.5, 0.15, 0.15], rtol=1e-5)
  nobody = _run(_process(_plan()), [_update(0.7, trained=[True, False, False])] * 2).result
  assert nobody['trained'].tolist() == [True, False, False]
  assert not np.any(nobody['delta'][1])


def test_a_client_that_trained_nothing_sends_as_much_as_any_other():
  done, both = (
    _run(_process(_plan()), updates)
    for updates in ([_update(0.3), _update(0.0, trained=[False] * 3)], [_update(0.3)] * 2)
  )
  assert done.measurements['upload_bytes'] == both.measurements['upload_bytes']
  np.testing.assert_allclose(done.result['delta'][1], [0.3] * 4, rtol=1e-5)


@pytest.mark.parametrize(('answering', 'is_known'), [(3, True), (2, True), (1, False), (0, False)])
def test_too_few_answers_end_the_round(answering, is_known):
  # Two thirds of 3 are 2. Keys of 3 clients were exchanged whoever vanished: 3 * 64 * 3, and 32 * 3 for each that answers.
  updates = [_update(0.3, seed, answers=seed < answering) for seed in range(3)]
  done = _run(_process(_plan()), updates)
  assert done.result['trained'].tolist() == [is_known] * 3
  assert done.measurements['aborted_rounds'] == (not is_known)
  assert done.measurements['upload_bytes'] == answering * (14 + 96) + 576
  assert done.measurements['upload_bytes_per_client_max'] == (14 + 96 if answering else 0) + 192
  if is_known:
    np.testing.assert_allclose(done.result['delta'][0], np.full((3, 2), 0.3), rtol=1e-5)


def test_least_answers_hold_whatever_the_cohort():
  plan = _plan(least_answers=3)
  assert _run(_process(plan), [_update(0.3)] * 2).measurements['aborted_rounds'] == 1
  assert _run(_process(plan), [_update(0.3)] * 3).measurements['aborted_rounds'] == 0


def test_what_nobody_can_send_does_not_travel():
  def could_send(round_number):
    return [True, round_number > 1, False]

  process = _process(_plan(), could_send=could_send)
  first = _run(process, [_update(0.3, trained=[True, False, False])] * 2)
  second = _run(process, [_update(0.3, trained=[True, True, False])] * 2, first.state)
  assert [int(done.measurements['upload_bytes_values']) for done in (first, second)] == [2 * 6, 2 * 10]
  assert first.result['trained'].tolist() == [True, False, False]
  np.testing.assert_allclose(second.result['delta'][1], [0.3] * 4, rtol=1e-5)


def test_distortion_is_that_of_rounding():
  # 0.35 is rounded to 0.3 or 0.4: off by 0.05, of 0.35: (1 / 7)^2 = 0.0204.
  done = _run(_process(_plan(), measure_distortion=True), [_update(0.35, seed) for seed in range(3)])
  assert done.measurements['upload_distortion'] == pytest.approx(1 / 49, rel=1e-3)


def test_a_plan_without_a_limit_is_refused():
  with pytest.raises(ValueError, match='needs a limit'):
    _process(_plan(limit=None))


def test_nobody_is_there():
  done = _run(_process(_plan()), [])
  assert not np.any(done.result['trained'])
  assert done.measurements['upload_bytes'] == 0


@pytest.mark.parametrize('variance', [0.0, 50.0])
@pytest.mark.parametrize('scale', [1e-3, 1.0, 3e38, np.inf, np.nan])
def test_no_client_moves_a_private_sum_by_more_than_its_bound(scale, variance):
  # The noise of clients is that of their seeds, so that two rounds differ by what one of them sends.
  plan = _plan(grid=grid_lib.Grid(10), field_bits=20, limit=None, noise_variance=variance, noise_seed=3)
  mechanism = mechanism_lib.Mechanism(noise.Silent(), 0.0, bound=0.5, num_clients=4, seed=3)
  factory = private_mean.PrivateMeanFactory(
    update_codec.UpdateCodec(codec_lib.Codec([hadamard.Hadamard()])), mechanism, secure_sum=plan
  )
  value_type = sent_update.update_type(tff.types.to_type(tuple((np.float32, shape) for shape in _SHAPES)))
  process = factory.create(value_type, tff.TensorType(np.float32))
  others = [_update(_random(seed), seed) for seed in (2, 3)]
  loud, silent = (_run(process, [_update(value), *others]) for value in (scale, 0.0))
  differences = [one - other for one, other in zip(loud.result['delta'], silent.result['delta'], strict=True)]
  moved = np.sqrt(sum(np.sum(np.square(each, dtype=np.float64)) for each in differences))
  assert moved <= 0.5 / 4 * (1 + 1e-5)
  if scale == 1.0:
    assert moved > 0.5 / 4 * 0.9
  # A level is 0.5 / 511: noise of 3 clients of variance 50 has a standard deviation of sqrt(150) levels in the sum.
  expected = np.sqrt(3 * variance) * 0.5 / 511 / 4
  assert loud.measurements['noise_stddev'] == pytest.approx(expected, rel=0.7)
  assert loud.result['trained'].tolist() == [True, True, True]


def test_an_aborted_private_round_learns_nothing_and_keeps_its_bound():
  quantile = mechanism_lib.Quantile(0.5, 0.2, 1.0)
  mechanism = mechanism_lib.Mechanism(noise.Independent(), 1.0, bound=0.5, num_clients=4, seed=3, quantile=quantile)
  factory = private_mean.PrivateMeanFactory(
    update_codec.UpdateCodec(), mechanism, secure_sum=_plan(grid=grid_lib.Grid(10), field_bits=20, limit=None)
  )
  value_type = sent_update.update_type(tff.types.to_type(tuple((np.float32, shape) for shape in _SHAPES)))
  process = factory.create(value_type, tff.TensorType(np.float32))
  done = _run(process, [_update(0.3), _update(0.3, 2, answers=False), _update(0.3, 3, answers=False)])
  assert done.result['trained'].tolist() == [False] * 3
  assert float(done.state['bound']) == pytest.approx(0.5)
  assert done.state['round_number'] == 2
  # Two flags more travel where the bound follows votes, 2 values of 20 - 10 + 2 = 12 bits: 2 + 1 bytes.
  assert done.measurements['upload_bytes_side'] == 3
