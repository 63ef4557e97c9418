"""What nobody trains: encoded once, counted once a client, and the same for server and clients."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from compression import codec as codec_lib
from compression import update_codec
from compression.stages import uniform
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import devices
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import policies

pytestmark = pytest.mark.usefixtures('worker')

_LENGTH = 6
_MODEL = lstm.lstm(width=4, num_cells=4)(40)
_HEAD = devices.Devices((policies.Head(),))
_FROZEN = [index for index, is_trained in enumerate(_HEAD.ever(_MODEL, 1)) if not is_trained]
_FROZEN_BYTES = 4 * sum(_MODEL.variables[index].size for index in _FROZEN)
_TRAINED_BYTES = 4 * _MODEL.num_parameters - _FROZEN_BYTES


def _clients(keys):
  rng = np.random.default_rng(0)
  return [
    tf.data.Dataset.from_tensor_slices(
      collections.OrderedDict(
        tokens=rng.integers(1, 40, [6, _LENGTH + 1]).astype(np.int32), client_key=np.full([6], key, np.int64)
      )
    )
    for key in keys
  ]


def _process(**communication):
  task = language_task.build(_MODEL, _LENGTH)
  return fed_opt.fed_adam(client_lr=0.1)(
    task, algorithms.Communication(**communication), local_batches.LocalBatches(4), 1, _HEAD
  )


def _rounds(process, rounds):
  state, measured = process.initialize(), []
  for keys in rounds:
    output = process.next(state, _clients(keys))
    state = output.state
    measured.append(output.metrics['distributor'])
  return state, measured


def test_the_base_travels_in_the_first_round_of_each_client():
  state, measured = _rounds(_process(base='once'), [[1, 2], [2, 3], [3, 1]])
  assert [each['download_bytes_frozen'] for each in measured] == [2 * _FROZEN_BYTES, _FROZEN_BYTES, 0]
  assert [each['download_bytes'] - each['download_bytes_frozen'] for each in measured] == 3 * [2 * _TRAINED_BYTES]
  np.testing.assert_array_equal(state.distributor['holders'], [1, 2, 3])


@pytest.mark.parametrize(
  ('base', 'num_bytes'), [('preinstalled', _TRAINED_BYTES), ('every_round', 4 * _MODEL.num_parameters)]
)
def test_a_base_of_other_kinds_is_no_part_of_the_first_round(base, num_bytes):
  _, measured = _rounds(_process(base=base), [[1, 2]])
  assert dict(measured[0]) == dict(download_bytes=2 * num_bytes)


def test_clients_train_alike_however_the_base_reached_them():
  results = [_rounds(_process(base=base), [[1, 2], [2, 3]])[0] for base in devices.BASES]
  for state in results[1:]:
    for one, other in zip(results[0].global_model_weights.trainable, state.global_model_weights.trainable, strict=True):
      np.testing.assert_array_equal(one, other)


def test_weights_that_are_set_become_what_clients_decode():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)]))
  process = _process(base='once', download=codec)
  state, measured = _rounds(process, [[1]])
  weights = process.get_model_weights(state)
  drawn = tuple(np.random.default_rng(0).normal(size=each.shape).astype(np.float32) for each in weights.trainable)
  changed = process.set_model_weights(state, type(weights)(drawn, weights.non_trainable))
  assert changed.distributor['base_bytes'] == measured[0]['download_bytes_frozen']
  # A value for each parameter, and the two ends of the range of each variable.
  assert changed.distributor['base_bytes'] == sum(_MODEL.variables[index].size + 8 for index in _FROZEN)
  for index, (given, held) in enumerate(zip(drawn, changed.global_model_weights.trainable, strict=True)):
    is_frozen = index in _FROZEN
    assert (len(np.unique(held)) <= 256) if is_frozen else np.array_equal(held, given)
    assert np.max(np.abs(held - given)) <= (np.ptp(given) / 255 * 1.001 if is_frozen else 0)
