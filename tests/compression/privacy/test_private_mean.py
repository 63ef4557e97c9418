"""Private means: bounds before and after the codec, noise on what could be sent, a divisor that nobody moves."""

import collections
from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats
import tensorflow as tf
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import sent_update
from compression import slices
from compression import stage as stage_lib
from compression import update_codec
from compression.privacy import clipping
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import noise
from compression.privacy import private_mean
from compression.stages import topk
from compression.stages import uniform
from models import model as model_lib

pytestmark = pytest.mark.usefixtures('worker')

_SHAPES = ((3, 2), (4,), ())
_SILENT = 1e-12  # A noise multiplier: noise that float32 does not see.


def _mechanism(**changed) -> mechanism_lib.Mechanism:
  given = dict(noise=noise.Independent(), noise_multiplier=_SILENT, bound=1.0, num_clients=4, seed=3)
  return mechanism_lib.Mechanism(**given | changed)


def _process(
  mechanism: mechanism_lib.Mechanism,
  codec: Sequence[stage_lib.Stage] = (),
  shapes: Sequence[tuple[int, ...]] = _SHAPES,
  **shape,
) -> tff.templates.AggregationProcess:
  factory = private_mean.PrivateMeanFactory(
    update_codec.UpdateCodec(codec_lib.Codec(codec)), mechanism, measure_distortion=True, **shape
  )
  delta = tff.types.to_type(tuple((np.float32, each) for each in shapes))
  value_type = sent_update.update_type(delta, shape.get('layouts', (slices.WHOLE,)))
  return factory.create(value_type, tff.TensorType(np.float32))


def _update(
  value: float | Callable, trained: Sequence[bool] | None = None, shapes: Sequence[tuple[int, ...]] = _SHAPES, **more
) -> collections.OrderedDict:
  make = value if callable(value) else lambda shape: np.full(shape, value, np.float32)
  return collections.OrderedDict(
    delta=tuple(np.asarray(make(shape), np.float32) for shape in shapes),
    trained=np.array([True] * len(shapes) if trained is None else trained),
    client_seed=np.array([1, 2], np.int64),
    shared_seed=np.array([5, 6], np.int64),
    answers=True,
    **more,
  )


def _run(process: tff.templates.AggregationProcess, updates: Sequence, state=None):
  state = process.initialize() if state is None else state
  return process.next(state, updates, [np.float32(1.0)] * len(updates))


def _norm(tensors: Sequence[np.ndarray]) -> float:
  return float(np.sqrt(sum(np.sum(np.square(np.asarray(each, np.float64))) for each in tensors)))


def test_sums_bounded_updates_and_divides_by_a_constant():
  # 11 values. Of 0.1: norm 0.1 sqrt(11) = 0.33, kept. Of 2: norm 2 sqrt(11), scaled to 1, so 1 / sqrt(11) = 0.301511 each.
  # Their sum over 4 expected clients: (0.1 + 0.301511) / 4 = 0.100378.
  done = _run(_process(_mechanism()), [_update(0.1), _update(2.0)])
  for each, shape in zip(done.result['delta'], _SHAPES, strict=True):
    np.testing.assert_allclose(each, np.full(shape, 0.100378), rtol=1e-5)
  assert done.result['trained'].tolist() == [True, True, True]
  assert done.measurements['clip'] == 1.0
  assert done.measurements['clipped_fraction'] == 0.5
  assert done.measurements['upload_distortion'] == 0.0


def test_the_bound_is_on_what_top_k_keeps():
  # Of 4 values, 12, 5, 4, 3, half are kept: 12 and 5, of norm 13, scaled to 1. Bounded first, they would be 12 and 5 over
  # sqrt(194). Of 0.5 and 0.25 and two of 0.1 the norm of what is kept is 0.56: they stay.
  shapes = ((4,),)
  process = _process(_mechanism(num_clients=1), [topk.Topk(0.5)], shapes)
  for values, kept, clipped in (([12, -5, 4, 3], [12 / 13, -5 / 13], 1.0), ([0.5, -0.25, 0.1, 0.1], [0.5, -0.25], 0.0)):
    done = _run(process, [_update(lambda _, values=values: values, shapes=shapes)])
    np.testing.assert_allclose(done.result['delta'][0], [*kept, 0, 0], rtol=1e-5, atol=1e-9)
    assert done.measurements['clipped_fraction'] == clipped


def test_nobody_sends_anything():
  done = _run(_process(_mechanism(noise_multiplier=1.0)), [_update(np.nan, [False, False, False])])
  assert done.result['trained'].tolist() == [True, True, True]
  assert 0.1 < _norm(done.result['delta']) < 3.0
  assert done.measurements['clipped_fraction'] == 0.0
  assert done.measurements['signal_to_noise'] == 0.0


def test_an_empty_round_is_noise():
  process = _process(_mechanism(noise_multiplier=1.0))
  empty, other = (_run(process, updates).result['delta'] for updates in ([], [_update(0.0)]))
  assert _norm([a - b for a, b in zip(empty, other, strict=True)]) == 0.0


def test_noise_is_as_claimed():
  # 10,000 values of a mean over 4 clients: of standard deviation 1.5 * 2 / 4 = 0.75. Chi-square at 1e-6 on either side.
  shape = ((100, 100),)
  process = _process(_mechanism(noise_multiplier=1.5, bound=2.0), shapes=shape)
  first = _run(process, [_update(0.0, shapes=shape)])
  second = _run(process, [_update(0.0, shapes=shape)], first.state)
  for done in (first, second):
    sum_of_squares = np.sum(np.square(done.result['delta'][0] / 0.75))
    assert stats.chi2.ppf(1e-6, 10_000) < sum_of_squares < stats.chi2.ppf(1 - 1e-6, 10_000)
    assert done.measurements['noise_stddev'] == pytest.approx(np.sqrt(sum_of_squares / 10_000) * 0.75, rel=1e-5)
    assert stats.kstest(np.ravel(done.result['delta'][0]) / 0.75, 'norm').pvalue > 1e-6
  correlation = np.corrcoef(np.ravel(first.result['delta'][0]), np.ravel(second.result['delta'][0]))[0, 1]
  assert abs(correlation) < 0.05
  again = _run(process, [_update(0.0, shapes=shape)], first.state)
  np.testing.assert_array_equal(again.result['delta'][0], second.result['delta'][0])


class _Louder(stage_lib.Stage):
  """Decodes ten times what it encoded, as a broken or a hostile codec may."""

  def __init__(self, by: float):
    self._by = by

  def form(self, before: stage_lib.Form) -> stage_lib.Form:
    return before

  def encode(self, x, form, client_seed, shared_seed):
    return x, ()

  def decode(self, x, side, form, shared_seed):
    return self._by * x


@pytest.mark.parametrize('by', [10.0, 1e30, np.inf, np.nan])
def test_a_codec_that_decodes_more_than_was_encoded_is_bounded(by):
  done = _run(_process(_mechanism(num_clients=1), [_Louder(by)]), [_update(3.0)])
  norm = _norm(done.result['delta'])
  assert norm <= 1.0 + 1e-6
  assert norm == pytest.approx(1.0 if by < 1e31 else 0.0, abs=1e-6)


@pytest.mark.parametrize('value', [np.nan, np.inf, 3e38, -3e38, 1e-30])
def test_no_value_passes_the_bound(value):
  done = _run(_process(_mechanism(num_clients=1), [uniform.Uniform(8)]), [_update(value)])
  assert _norm(done.result['delta']) <= 1.0 + 1e-6


def test_variables_that_none_could_send_get_no_noise():
  def could_send(round_number):
    return [True, tf.equal(round_number % 2, 1), False]

  process = _process(_mechanism(noise_multiplier=1.0, could_send=could_send))
  first = _run(process, [_update(0.5, [True, False, False])])
  second = _run(process, [_update(0.5, [True, False, False])], first.state)
  assert [_norm([each]) > 0.0 for each in first.result['delta']] == [True, True, False]
  assert [_norm([each]) > 0.0 for each in second.result['delta']] == [True, False, False]
  assert first.result['trained'].tolist() == [True, True, False]
  assert second.result['trained'].tolist() == [True, False, False]


@pytest.mark.parametrize('held', [None, 2, 1])
def test_units_that_none_could_hold_get_no_noise(held):
  units = model_lib.Units('neurons', 1, 3)
  variables = (model_lib.Variable('block_0/kernel', (2, 3), model_lib.zeros, units),)
  layouts = (slices.Layout({'neurons': 2}), slices.Layout({'neurons': 1}))
  # In the first round clients hold so many units, in the second one more.
  held_units = None if held is None else lambda round_number: {'neurons': tf.cast(round_number, tf.int32) + held - 1}
  mechanism = _mechanism(noise_multiplier=1.0, held_units=held_units)
  process = _process(mechanism, shapes=((2, 3),), variables=variables, layouts=layouts)
  update = _update(
    0.5, shapes=((2, 3),), layout=np.int32(1), units=collections.OrderedDict(neurons=np.array([0, 1], np.int32))
  )
  first = _run(process, [update])
  second = _run(process, [update], first.state)
  for done, count in ((first, held or 3), (second, held + 1 if held else 3)):
    expected = [unit < count for unit in range(3)]
    assert done.result['units'][0].tolist() == expected
    assert (np.abs(done.result['delta'][0]) > 0.0).tolist() == [expected] * 2


def test_bound_follows_the_quantile():
  # Two of three updates are longer than 1: centred, (1 - 2) / 2 = -1/2. Over 4 clients: share = 1/2 - 1/8 = 0.375, below the
  # quantile 0.5 by 0.125: the bound grows by exp(0.2 * 0.125) = 1.025315.
  quantile = mechanism_lib.Quantile(quantile=0.5, learning_rate=0.2, count_stddev=_SILENT)
  done = _run(_process(_mechanism(quantile=quantile)), [_update(0.1), _update(2.0), _update(3.0)])
  np.testing.assert_allclose(done.state['bound'], 1.025315, rtol=1e-6)
  assert done.measurements['clipped_fraction'] == pytest.approx(2.0 / 3.0)
  # A client says in a byte whether it was longer, beside 11 values, a bitmap and a weight.
  assert done.measurements['upload_bytes'] == 3 * (44 + 1 + 4 + 1)


def test_noise_on_the_count_is_as_claimed():
  quantile = mechanism_lib.Quantile(quantile=0.5, learning_rate=1.0, count_stddev=2.0)
  process = _process(_mechanism(quantile=quantile))
  state, bounds = process.initialize(), [1.0]
  for _ in range(40):
    state = _run(process, [], state).state
    bounds.append(float(state['bound']))
  # log bound' = log bound - noise 2 / 4, of nobody: steps of standard deviation 0.5. Chi-square of 40 steps at 1e-6.
  steps = np.diff(np.log(bounds)) / 0.5
  assert stats.chi2.ppf(1e-6, 40) < np.sum(steps**2) < stats.chi2.ppf(1 - 1e-6, 40)


def test_clip_is_of_all_tensors_together():
  tensors = [tf.constant([3.0, 0.0]), tf.constant(4.0)]  # Of norm 5.
  clipped, norm = clipping.clip(tensors, tf.constant(2.5))
  assert norm == 5.0
  np.testing.assert_allclose(clipped[0], [1.5, 0.0])
  np.testing.assert_allclose(clipped[1], 2.0)
  kept, _ = clipping.clip(tensors, tf.constant(6.0))
  np.testing.assert_array_equal(kept[0], tensors[0])
