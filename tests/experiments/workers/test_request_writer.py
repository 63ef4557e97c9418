"""Values are sent to workers as TFF itself sends them, without its copies."""

import collections

import numpy as np
import pytest
import tensorflow_federated as tff
from tensorflow_federated.proto.v0 import executor_pb2

from experiments.workers import request_writer

_MATRIX = np.arange(6, dtype=np.float32).reshape([2, 3])
_MATRIX_TYPE = tff.TensorType(np.float32, [2, 3])
_NESTED = collections.OrderedDict(b=(_MATRIX, np.int64(3)), a=[_MATRIX + 1])
_NESTED_TYPE = tff.types.to_type(collections.OrderedDict(b=(_MATRIX_TYPE, np.int64), a=[_MATRIX_TYPE]))


@pytest.mark.parametrize(
  ('value', 'type_spec'),
  [
    pytest.param(_MATRIX, _MATRIX_TYPE, id='tensor'),
    pytest.param(3, tff.TensorType(np.int32), id='scalar'),
    pytest.param('client 7', tff.TensorType(np.str_), id='text'),
    pytest.param(_NESTED, _NESTED_TYPE, id='structure'),
    pytest.param((), tff.types.to_type(()), id='empty_structure'),
    pytest.param((_MATRIX, ()), tff.types.to_type((_MATRIX_TYPE, ())), id='empty_in_structure'),
    pytest.param(_NESTED, tff.FederatedType(_NESTED_TYPE, tff.SERVER), id='server'),
    pytest.param(_MATRIX, tff.FederatedType(_MATRIX_TYPE, tff.CLIENTS, all_equal=True), id='broadcast'),
    pytest.param([_NESTED, _NESTED], tff.FederatedType(_NESTED_TYPE, tff.CLIENTS), id='clients'),
    pytest.param([], tff.FederatedType(_MATRIX_TYPE, tff.CLIENTS), id='no_clients'),
  ],
)
def test_message_is_that_of_tff(value, type_spec):
  message = executor_pb2.Value()
  request_writer.write(message, value, type_spec)
  expected, _ = tff.framework.serialize_value(value, type_spec)
  assert message == expected


@pytest.mark.parametrize(
  ('value', 'type_spec'),
  [
    pytest.param((_MATRIX,), tff.types.to_type((_MATRIX_TYPE, np.int64)), id='structure_too_short'),
    pytest.param((_MATRIX, 1, 2), tff.types.to_type((_MATRIX_TYPE, np.int64)), id='structure_too_long'),
    pytest.param((_MATRIX.T,), tff.types.to_type((_MATRIX_TYPE,)), id='other_shape'),
    pytest.param((_MATRIX.astype(np.float64),), tff.types.to_type((_MATRIX_TYPE,)), id='other_dtype'),
    pytest.param(_MATRIX, tff.FederatedType(_MATRIX_TYPE, tff.CLIENTS), id='one_value_for_clients'),
  ],
)
def test_refuses_what_is_of_another_type(value, type_spec):
  with pytest.raises(TypeError):
    request_writer.write(executor_pb2.Value(), value, type_spec)


@pytest.mark.usefixtures('worker')
def test_worker_gets_what_was_sent():
  @tff.federated_computation(tff.FederatedType(_NESTED_TYPE, tff.SERVER), tff.FederatedType(np.int32, tff.CLIENTS))
  def echo(state, counts):
    return state, tff.federated_sum(counts)

  state, total = echo(_NESTED, [1, 2, 4])
  assert total == 7
  np.testing.assert_array_equal(state['b'][0], _MATRIX)
  assert state['b'][1] == 3
  np.testing.assert_array_equal(state['a'][0], _MATRIX + 1)
