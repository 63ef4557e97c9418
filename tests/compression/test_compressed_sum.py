"""The compressed sum: types, sums, bytes by hand, what is drawn, and life inside TFF's wrappers."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
import tensorflow_privacy as tfp

from compression import codec as codec_lib
from compression import compressed_sum
from compression import update_codec
from compression import value_seed
from compression.stages import hadamard
from compression.stages import topk
from compression.stages import uniform

_VALUE = tff.types.to_type(collections.OrderedDict(kernel=(np.float32, (2, 3)), rest=((np.float32, (4,)), np.float32)))
_COUNTS = ('upload_bytes', 'upload_bytes_values', 'upload_bytes_side', 'upload_bytes_per_client_max')
_WEIGHT = tff.types.to_type(np.float32)


def _factory(*stages, seed=0, **options):
  return compressed_sum.CompressedSumFactory(update_codec.UpdateCodec(codec_lib.Codec(stages), **options), seed)


def _value(kernel, bias, scalar):
  return collections.OrderedDict(
    kernel=np.full([2, 3], kernel, np.float32), rest=(np.full([4], bias, np.float32), np.float32(scalar))
  )


def _run(factory, values, value_type=_VALUE):
  process = factory.create(value_type)
  return process.next(process.initialize(), values)


def _vector_sum(factory, *vectors):
  vectors = [np.asarray(vector, np.float32) for vector in vectors]
  return _run(factory, vectors, tff.TensorType(np.float32, vectors[0].shape)).result


def _mean(process, values, weights):
  return process.next(process.initialize(), values, [np.float32(weight) for weight in weights])


def _upload_bytes(measurements):
  """Finds the measurement, however deep wrappers have buried it."""
  if not isinstance(measurements, collections.abc.Mapping):
    return []
  found = [measurements['upload_bytes']] if 'upload_bytes' in measurements else []
  return found + [count for inner in measurements.values() for count in _upload_bytes(inner)]


@pytest.mark.parametrize(
  'value_type',
  [
    pytest.param(np.float32, id='scalar'),
    pytest.param((np.float32, (0,)), id='empty'),
    pytest.param((np.float32, (2, 3)), id='matrix'),
    pytest.param([np.float32, (np.float32, (2,))], id='list'),
    pytest.param(collections.OrderedDict(b=np.float32, a=(np.float32, (2,))), id='unsorted_names'),
    pytest.param(_VALUE, id='nested'),
    pytest.param(tff.StructType([('b', np.float32), ('a', tff.TensorType(np.float32, [2]))]), id='without_container'),
  ],
)
def test_compressed_sum_computation_types(value_type):
  value_type = tff.types.to_type(value_type)
  for factory in (_factory(), _factory(hadamard.Hadamard(), uniform.Uniform(4))):
    process = factory.create(value_type)
    assert not process.is_weighted
    assert process.initialize.type_signature.result == tff.FederatedType(np.int64, tff.SERVER)
    result = process.next.type_signature.result
    assert result.state == tff.FederatedType(np.int64, tff.SERVER)
    assert result.result.is_equivalent_to(tff.FederatedType(value_type, tff.SERVER))
    counts = collections.OrderedDict((name, np.int64) for name in _COUNTS)
    assert result.measurements == tff.FederatedType(counts, tff.SERVER)


@pytest.mark.parametrize(
  ('value_type', 'reason'),
  [
    pytest.param(np.int32, 'found int32', id='integers'),
    pytest.param((np.float32, np.float64), 'found float64 in <float32,float64>', id='doubles'),
    pytest.param((np.float32, (None,)), 'static shape', id='unknown_shape'),
    pytest.param(tff.SequenceType(np.float32), 'struct of tensors', id='sequence'),
    pytest.param(tff.FederatedType(np.float32, tff.CLIENTS), 'struct of tensors', id='placed'),
    pytest.param((), 'at least one tensor', id='nothing'),
  ],
)
def test_compressed_sum_computation_refuses(value_type, reason):
  with pytest.raises(TypeError, match=reason):
    _factory().create(tff.types.to_type(value_type))


def test_seed_depends_on_every_bit_and_on_the_shared_seed():
  shared = tf.constant([0, 1], tf.int64)
  x, y = tf.constant([1.0, 2.0]), tf.constant([[3.0]])
  seeds = [
    value_seed.fold_values(shared, [x, y]),
    value_seed.fold_values(shared, [x, tf.constant([[np.nextafter(np.float32(3), np.float32(4))]])]),
    value_seed.fold_values(shared, [y, x]),
    value_seed.fold_values(shared + 1, [x, y]),
    value_seed.fold_values(shared, [x, y, tf.zeros([0])]),
  ]
  assert len({tuple(seed.numpy()) for seed in seeds}) == 5
  np.testing.assert_array_equal(seeds[0], tf.function(value_seed.fold_values, autograph=False)(shared, [x, y]))
  assert (seeds[0].shape, seeds[0].dtype) == ([2], tf.int64)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'factory',
  [
    pytest.param(_factory(), id='identity'),
    pytest.param(_factory(hadamard.Hadamard()), id='linear'),
    pytest.param(_factory(hadamard.Hadamard(), uniform.Uniform(16)), id='uniform'),
    pytest.param(_factory(uniform.Uniform(16), concatenate=True), id='concatenated'),
    pytest.param(_factory(topk.Topk(1.0), small_size=5), id='small'),
  ],
)
def test_compressed_sum_execution_sums(factory):
  output = _run(factory, [_value(1, 2, 3), _value(5, 6, 7)])
  assert list(output.result) == ['kernel', 'rest']
  np.testing.assert_allclose(output.result['kernel'], np.full([2, 3], 6.0), atol=1e-3)
  np.testing.assert_allclose(output.result['rest'][0], np.full([4], 8.0), atol=1e-3)
  np.testing.assert_allclose(output.result['rest'][1], 10.0, atol=1e-3)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  ('factory', 'values', 'side', 'per_client'),
  [
    pytest.param(_factory(), 88, 0, 44, id='identity'),  # 2 clients x (6 + 4 + 1) floats x 4; no presence bits.
    # 2 x (6 x 4 bits = 3, 4 x 4 bits = 2, 4 bits = 1); min and max, 8 bytes, of 3 tensors; 6 + 24.
    pytest.param(_factory(uniform.Uniform(4)), 12, 48, 30, id='uniform'),
    # 2 x (11 x 4 bits = 6); 2 x 8; 6 + 8.
    pytest.param(_factory(uniform.Uniform(4), concatenate=True), 12, 16, 14, id='concatenated'),
    # 2 x (6 bytes + 5 floats); 2 x 8; 26 + 8.
    pytest.param(_factory(uniform.Uniform(8), small_size=5), 52, 16, 34, id='small_as_floats'),
  ],
)
def test_compressed_sum_execution_counts(factory, values, side, per_client):
  measured = _run(factory, [_value(1, 2, 3), _value(5, 6, 7)]).measurements
  assert list(measured) == list(_COUNTS)
  assert [measured[name] for name in _COUNTS] == [values + side, values, side, per_client]


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'stages', [pytest.param([], id='identity'), pytest.param([hadamard.Hadamard(), uniform.Uniform(4)], id='rotated')]
)
def test_compressed_sum_execution_no_clients(stages):
  output = _run(_factory(*stages), [])
  assert [output.measurements[name] for name in _COUNTS] == [0, 0, 0, 0]
  np.testing.assert_array_equal(output.result['kernel'], np.zeros([2, 3]))


@pytest.mark.usefixtures('worker')
def test_compressed_sum_execution_equal_clients_add_up():
  x = np.linspace(-1, 2, 20, dtype=np.float32)
  one = _vector_sum(_factory(topk.Topk(0.3)), x)
  np.testing.assert_allclose(_vector_sum(_factory(topk.Topk(0.3)), x, x, x), 3 * one, rtol=1e-6)


@pytest.mark.usefixtures('worker')
def test_compressed_sum_execution_equal_values_draw_equal_noise_and_a_last_bit_changes_it():
  factory, x = _factory(uniform.Uniform(1)), np.linspace(-1, 1, 64, dtype=np.float32)
  one = _vector_sum(factory, x)
  np.testing.assert_array_equal(_vector_sum(factory, x, x), 2 * one)
  other = x.copy()
  other[10] = np.nextafter(other[10], np.float32(1))
  assert np.sum(one != _vector_sum(factory, other)) > 5


@pytest.mark.usefixtures('worker')
def test_rounds_and_seeds_draw_their_own_noise():
  x = np.linspace(-1, 1, 64, dtype=np.float32)
  process = _factory(uniform.Uniform(1)).create(tff.TensorType(np.float32, [64]))
  first = process.next(process.initialize(), [x])
  second = process.next(first.state, [x])
  assert second.state == first.state + 1
  assert np.any(first.result != second.result)
  np.testing.assert_array_equal(first.result, process.next(process.initialize(), [x]).result)
  assert np.any(first.result != _vector_sum(_factory(uniform.Uniform(1), seed=1), x))


@pytest.mark.usefixtures('worker')
def test_inside_tff_mean():
  process = tff.aggregators.MeanFactory(_factory(uniform.Uniform(16))).create(_VALUE, _WEIGHT)
  output = _mean(process, [_value(1, 2, 3), _value(5, 6, 7)], [1, 3])
  np.testing.assert_allclose(output.result['kernel'], np.full([2, 3], 4.0), rtol=1e-4)  # (1 * 1 + 3 * 5) / 4
  # 2 clients x (11 values x 2 bytes + 3 x min and max).
  assert output.measurements['mean_value']['upload_bytes'] == 92


@pytest.mark.usefixtures('worker')
def test_zeroing_and_clipping():
  mean = tff.aggregators.MeanFactory(_factory(uniform.Uniform(16)))
  factory = tff.aggregators.zeroing_factory(100.0, tff.aggregators.clipping_factory(2.0, mean))
  process = factory.create(tff.TensorType(np.float32, [4]), _WEIGHT)
  values = [np.array(value, np.float32) for value in ([3, 0, 0, 4], [0, 1, 0, 0], [np.inf, 0, 0, 0], [500, 0, 0, 0])]
  output = _mean(process, values, [1, 1, 1, 1])
  # Of norm 5 becomes 2; of norm 1 stays; what is beyond 100 is zero.
  np.testing.assert_allclose(output.result, [1.2 / 4, 1 / 4, 0, 1.6 / 4], atol=1e-4)
  assert _upload_bytes(output.measurements) == [64]  # 4 clients x (4 values x 2 bytes + 8).


@pytest.mark.usefixtures('worker')
def test_inside_tff_differential_privacy():
  query = tfp.NormalizedQuery(tfp.GaussianSumQuery(l2_norm_clip=10.0, stddev=1e-4), denominator=2.0)
  factory = tff.aggregators.DifferentiallyPrivateFactory(query, _factory(uniform.Uniform(16)))
  output = _run(factory, [_value(1, 2, 1), _value(3, 2, 1)])
  np.testing.assert_allclose(output.result['kernel'], np.full([2, 3], 2.0), atol=1e-2)
  assert _upload_bytes(output.measurements) == [92]


@pytest.mark.usefixtures('worker')
def test_inside_tff_concatenation():
  output = _run(tff.aggregators.concat_factory(_factory(uniform.Uniform(8))), [_value(1, 1, 1), _value(0, 5, 5)])
  np.testing.assert_allclose(output.result['rest'][0], np.full([4], 6.0), rtol=1e-6)
  assert _upload_bytes(output.measurements) == [38]  # 2 clients x (11 + 8).


@pytest.mark.usefixtures('worker')
def test_rotation_of_tff():
  factory = tff.aggregators.HadamardTransformFactory(_factory(uniform.Uniform(16)))
  output = _run(factory, [_value(1, 2, 3), _value(5, 6, 7)])
  np.testing.assert_allclose(output.result['rest'][0], np.full([4], 8.0), atol=1e-2)
  # 2 clients x ((8 + 4 + 1) x 2 bytes + 3 x 8): theirs pads 6 to 8.
  assert _upload_bytes(output.measurements) == [100]


@pytest.mark.usefixtures('worker')
def test_as_weighted_aggregator():
  process = tff.aggregators.as_weighted_aggregator(_factory()).create(_VALUE, _WEIGHT)
  output = _mean(process, [_value(1, 2, 3), _value(5, 6, 7)], [1, 3])
  np.testing.assert_allclose(output.result['kernel'], np.full([2, 3], 6.0))  # Ignores the weights.
  assert _upload_bytes(output.measurements) == [88]


@pytest.mark.usefixtures('worker')
def test_stock_federated_averaging_learns():
  x = np.linspace(-1, 1, 8, dtype=np.float32)[:, np.newaxis]
  clients = [tf.data.Dataset.from_tensor_slices((part, 3 * part - 1)).batch(4) for part in (x[:4], x[4:])]

  def model_fn():
    return tff.learning.models.from_keras_model(
      tf.keras.Sequential([tf.keras.layers.Dense(1, kernel_initializer='zeros', input_shape=(1,))]),
      loss=tf.keras.losses.MeanSquaredError(),
      input_spec=clients[0].element_spec,
    )

  process = tff.learning.algorithms.build_weighted_fed_avg(
    model_fn,
    client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.3),
    model_aggregator=tff.aggregators.MeanFactory(_factory(uniform.Uniform(8))),
  )
  state, losses = process.initialize(), []
  for _ in range(20):
    output = process.next(state, clients)
    state = output.state
    losses.append(output.metrics['client_work']['train']['loss'])
  assert losses[-1] < 0.05 * losses[0]
  # 2 clients x 2 variables of one value x (1 byte + min and max).
  assert output.metrics['aggregator']['mean_value']['upload_bytes'] == 36
