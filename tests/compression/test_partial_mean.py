"""The aggregation of compressed updates: types, means, and every byte counted, unsent variables included."""

import collections

import numpy as np
import pytest
import tensorflow_federated as tff

from compression import codec as codec_lib
from compression import partial_mean
from compression import sent_update
from compression import update_codec
from compression.stages import uniform

_DELTA = tff.types.to_type(((np.float32, (2, 3)), (np.float32, (4,)), np.float32))
_UPDATE = sent_update.update_type(_DELTA)
_RESULT = tff.types.to_type(collections.OrderedDict(delta=_DELTA, trained=tff.TensorType(np.bool_, [3])))
_WEIGHT = tff.types.to_type(np.float32)
_ALL = [True, True, True]


def _process(*stages, **arguments):
  codec = update_codec.UpdateCodec(codec_lib.Codec(stages))
  return partial_mean.PartialMeanFactory(codec, **arguments).create(_UPDATE, _WEIGHT)


def _update(kernel, bias, scalar, trained, client_seed=1):
  return collections.OrderedDict(
    delta=(np.full([2, 3], kernel, np.float32), np.full([4], bias, np.float32), np.float32(scalar)),
    trained=np.array(trained),
    client_seed=np.array([client_seed, 0], np.int64),
    shared_seed=np.array([0, 0], np.int64),
    answers=True,
  )


_LIVE = _update(1, 2, 3, _ALL)


def _run(process, updates, weights):
  return process.next(process.initialize(), updates, [np.float32(weight) for weight in weights])


@pytest.mark.parametrize('stages', [pytest.param([], id='identity'), pytest.param([uniform.Uniform(4)], id='uniform')])
def test_partial_mean_computation_types(stages):
  process = _process(*stages)
  assert process.is_weighted
  result = process.next.type_signature.result
  assert result.result.member.is_equivalent_to(_RESULT)
  assert result.result.placement == tff.SERVER
  measurements = result.measurements
  assert measurements.placement == tff.SERVER
  for name in ('upload_bytes', 'upload_bytes_values', 'upload_bytes_side', 'upload_bytes_weights'):
    assert measurements.member[name] == tff.TensorType(np.int64)


@pytest.mark.parametrize(
  'delta',
  [
    pytest.param(((np.int32, (2,)),), id='integers'),
    pytest.param(((np.float32, (None,)),), id='unknown_shape'),
    pytest.param((((np.float32, (2,)),),), id='nested'),
  ],
)
def test_partial_mean_computation_refuses_updates_of(delta):
  with pytest.raises(TypeError):
    partial_mean.PartialMeanFactory(update_codec.UpdateCodec()).create(
      sent_update.update_type(tff.types.to_type(delta)), _WEIGHT
    )


@pytest.mark.usefixtures('worker')
def test_mean_is_weighted():
  output = _run(_process(), [_update(1, 2, 3, _ALL), _update(5, 6, 7, _ALL)], [1.0, 3.0])
  np.testing.assert_allclose(output.result['delta'][0], np.full([2, 3], 4.0))  # (1 * 1 + 3 * 5) / 4
  np.testing.assert_allclose(output.result['delta'][1], np.full([4], 5.0))
  np.testing.assert_allclose(output.result['delta'][2], 6.0)


@pytest.mark.usefixtures('worker')
def test_denominator_counts_only_clients_that_trained_the_variable():
  updates = [_update(1, 2, 3, [True, False, False]), _update(5, 6, 7, [True, True, False])]
  output = _run(_process(), updates, [1.0, 3.0])
  np.testing.assert_allclose(output.result['delta'][0], np.full([2, 3], 4.0))
  np.testing.assert_allclose(output.result['delta'][1], np.full([4], 6.0))  # The second client alone.
  np.testing.assert_allclose(output.result['delta'][2], 0.0)  # Nobody.
  np.testing.assert_array_equal(output.result['trained'], [True, True, False])


@pytest.mark.usefixtures('worker')
def test_denominator_of_all_counts_every_client():
  updates = [_update(1, 2, 3, [True, False, False]), _update(5, 6, 7, [True, True, False])]
  output = _run(_process(denominator='all'), [*updates, _update(9, 9, 9, [False] * 3)], [1.0, 3.0, 4.0])
  np.testing.assert_allclose(output.result['delta'][0], np.full([2, 3], 2.0))  # (1 * 1 + 3 * 5) / 8
  np.testing.assert_allclose(output.result['delta'][1], np.full([4], 2.25))  # 3 * 6 / 8
  np.testing.assert_allclose(output.result['delta'][2], 0.0)


@pytest.mark.usefixtures('worker')
def test_a_client_without_weight_trains_nothing():
  output = _run(_process(), [_update(1, 2, 3, _ALL)], [0.0])
  np.testing.assert_array_equal(output.result['trained'], [False] * 3)
  np.testing.assert_array_equal(output.result['delta'][0], np.zeros([2, 3]))


@pytest.mark.usefixtures('worker')
def test_a_client_that_does_not_answer_costs_nothing():
  gone = _update(5, 6, 7, [False] * 3) | dict(answers=False)
  for stages in ([], [uniform.Uniform(4)]):
    process = _process(*stages)
    alone, output = (_run(process, each, [1.0, 0.0][: len(each)]) for each in ([_LIVE], [_LIVE, gone]))
    assert output.measurements == alone.measurements
    for one, two in zip(output.result['delta'], alone.result['delta'], strict=True):
      np.testing.assert_array_equal(one, two)
    silent = _run(process, [gone, gone], [0.0, 0.0])
    assert not any(silent.measurements.values())
    np.testing.assert_array_equal(silent.result['delta'][0], np.zeros([2, 3]))


@pytest.mark.usefixtures('worker')
def test_partial_mean_execution_counts_full_precision():
  measured = _run(_process(), [_update(1, 2, 3, _ALL), _update(5, 6, 7, _ALL)], [1.0, 3.0]).measurements
  assert measured['upload_bytes_values'] == 88  # 2 clients x (6 + 4 + 1) floats x 4.
  assert measured['upload_bytes_side'] == 2  # 2 clients x 1 byte of presence bits.
  assert measured['upload_bytes_weights'] == 8  # 2 clients x 1 float.
  assert measured['upload_bytes'] == 98
  assert measured['upload_bytes_per_client_max'] == 49


@pytest.mark.usefixtures('worker')
def test_partial_mean_execution_counts_what_is_not_sent_as_nothing():
  updates = [_update(1, 2, 3, [True, False, True]), _update(5, 6, 7, [False, False, False])]
  measured = _run(_process(uniform.Uniform(4)), updates, [1.0, 3.0]).measurements
  assert measured['upload_bytes_values'] == 4  # Kernel: 6 x 4 bits = 3 bytes; scalar: 1 byte.
  assert measured['upload_bytes_side'] == 18  # min and max of 2 variables, 8 bytes each; 2 bitmaps.
  assert measured['upload_bytes_weights'] == 8
  assert measured['upload_bytes_per_client_max'] == 25  # 4 + 16 + 1 + 4.


@pytest.mark.usefixtures('worker')
def test_constant_updates_survive_quantization():
  output = _run(_process(uniform.Uniform(2)), [_update(1, 2, 3, _ALL), _update(5, 6, 7, _ALL)], [1.0, 3.0])
  np.testing.assert_allclose(output.result['delta'][1], np.full([4], 5.0), rtol=1e-6)


@pytest.mark.usefixtures('worker')
def test_clients_draw_their_own_noise():
  process = _process(uniform.Uniform(1))

  def decoded(seed):
    update = _update(0, 0, 0, _ALL, client_seed=seed)
    update['delta'] = (np.linspace(-1, 1, 6, dtype=np.float32).reshape([2, 3]), *update['delta'][1:])
    return _run(process, [update], [1.0]).result['delta'][0]

  np.testing.assert_array_equal(decoded(3), decoded(3))
  assert any(np.any(decoded(3) != decoded(seed)) for seed in range(4, 10))


@pytest.mark.usefixtures('worker')
def test_partial_mean_execution_no_clients():
  output = _run(_process(), [], [])
  assert output.measurements['upload_bytes'] == 0
  np.testing.assert_array_equal(output.result['delta'][0], np.zeros([2, 3]))
