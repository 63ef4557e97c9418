"""The download: clients get the decoded weights and the round's seed, and every receiver's bytes are counted."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff

from compression import broadcast
from compression import codec as codec_lib
from compression import delivery
from compression import update_codec
from compression.stages import uniform

pytestmark = pytest.mark.usefixtures('worker')

_WEIGHTS = tff.types.to_type(
  tff.learning.models.ModelWeights(((np.float32, (2, 3)), np.float32), ((np.float32, (5,)),))
)


def _build_round(process, num_clients):
  """Builds a round: from state to (state, mean of a received weight, round seed, measurements, number of clients)."""

  @tff.tensorflow.computation(process.next.type_signature.result.result.member)
  def as_numbers(received):
    return received['weights'].trainable[0], received['round_seed']

  @tff.federated_computation(
    process.next.type_signature.parameter[0],
    process.next.type_signature.parameter[1],
    tff.FederatedType(np.int32, tff.CLIENTS),
  )
  def round_fn(state, weights, clients):
    output = process.next(state, weights)
    seen = tff.federated_map(as_numbers, output.result)
    return (
      output.state,
      tff.federated_mean(seen[0]),
      tff.federated_max(seen[1]),
      output.measurements,
      tff.federated_sum(clients),
    )

  weights = tff.learning.models.ModelWeights(
    (np.arange(6, dtype=np.float32).reshape([2, 3]), np.float32(7)), (np.zeros([5], np.float32),)
  )
  return lambda state: round_fn(state, weights, [1] * num_clients)


def test_types():
  process = broadcast.build_broadcast(_WEIGHTS, update_codec.UpdateCodec(), seed=0)
  result = process.next.type_signature.result
  _WEIGHTS.check_assignable_from(result.result.member['weights'])
  assert result.measurements.member['download_bytes'] == tff.TensorType(np.int64)


def test_counts_each_receiver():
  process = broadcast.build_broadcast(_WEIGHTS, update_codec.UpdateCodec(), seed=0)
  _, mean, _, measured, _ = _build_round(process, 3)(process.initialize())
  assert measured['download_bytes'] == 144  # 3 clients x (6 + 1 + 5) floats x 4.
  np.testing.assert_allclose(mean, np.arange(6).reshape([2, 3]))


def test_counts_the_encoded_payload():
  process = broadcast.build_broadcast(
    _WEIGHTS, update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(16)])), seed=0
  )
  _, mean, _, measured, _ = _build_round(process, 2)(process.initialize())
  # 2 clients x (6 x 2 + 8 of range; 1 x 2 + 8; 5 floats that are not trained).
  assert measured['download_bytes'] == 100
  np.testing.assert_allclose(mean, np.arange(6).reshape([2, 3]), atol=1e-3)


def test_what_clients_have_kept_is_theirs_and_not_counted():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(1)]))
  process = broadcast.build_broadcast(_WEIGHTS, codec, 0, [delivery.KEPT, delivery.SENT])
  _, mean, _, measured, _ = _build_round(process, 2)(process.initialize())
  # 2 clients x (1 byte for one value of one bit + 8 of range; 5 floats): one bit would not leave 0 to 5 as they are.
  assert measured['download_bytes'] == 2 * (1 + 8 + 20)
  np.testing.assert_array_equal(mean, np.arange(6).reshape([2, 3]))


@pytest.mark.parametrize('way', [delivery.Way.REBUILT, delivery.Way.SLICED])
def test_what_clients_make_themselves_is_not_counted(way):
  made = delivery.Delivery(way, lambda: tf.fill([2, 3], 2.5))
  process = broadcast.build_broadcast(_WEIGHTS, update_codec.UpdateCodec(), 0, [made, delivery.SENT])
  _, mean, _, measured, _ = _build_round(process, 2)(process.initialize())
  assert measured['download_bytes'] == 2 * (1 + 5) * 4
  np.testing.assert_array_equal(mean, np.full([2, 3], 2.5))


def test_each_round_has_a_seed_of_its_own_and_the_same_again():
  process = broadcast.build_broadcast(_WEIGHTS, update_codec.UpdateCodec(), seed=0)
  step = _build_round(process, 1)
  state, _, first, *_ = step(process.initialize())
  _, _, second, *_ = step(state)
  _, _, again, *_ = step(process.initialize())
  assert np.any(first != second)
  np.testing.assert_array_equal(first, again)
