"""Updates: groups, what is not present, sums decoded once, and payloads that are not ours."""

import numpy as np
import pytest
import tensorflow as tf

from compression import bitpack
from compression import codec as codec_lib
from compression import stage
from compression import update_codec
from compression.stages import hadamard
from compression.stages import uniform

_SEED = tf.constant([3, 4], tf.int64)
_SHAPES = [[7, 5], [4], []]
_SPECS = [tf.TensorSpec(shape) for shape in _SHAPES]


def _tensors(seed=0):
  rng = np.random.default_rng(seed)
  return [tf.constant(rng.normal(size=shape), tf.float32) for shape in _SHAPES]


class Doubling(stage.Stage):
  """A linear stage that counts how often it is decoded."""

  linear = True

  def __init__(self):
    self.num_decodes = 0

  def form(self, form):
    return form

  def encode(self, x, form, client_seed, shared_seed):
    return 2.0 * x, ()

  def decode(self, x, side, form, shared_seed):
    self.num_decodes += 1
    return x / 2.0


@pytest.mark.parametrize(
  'codec',
  [
    pytest.param(update_codec.UpdateCodec(), id='alone'),
    pytest.param(update_codec.UpdateCodec(concatenate=True), id='concatenated'),
    pytest.param(update_codec.UpdateCodec(codec_lib.Codec([hadamard.Hadamard()]), small_size=5), id='small'),
    pytest.param(update_codec.UpdateCodec(small_size=5, concatenate=True), id='small_concatenated'),
  ],
)
def test_round_trip_and_absent_variables_are_zero(codec):
  tensors = _tensors()
  present = tf.constant([True, False, True])
  decoded = codec.decode(codec.encode(tensors, present, _SEED, _SEED), _SPECS, _SEED)
  np.testing.assert_allclose(decoded[0], tensors[0], atol=1e-5)
  np.testing.assert_array_equal(decoded[1], np.zeros([4]))
  np.testing.assert_allclose(decoded[2], tensors[2], atol=1e-5)


def test_update_codec_counts_groups_apart():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(8)]), small_size=5)
  sent = codec.encode(_tensors(), tf.fill([3], True), _SEED, _SEED)
  values, side = update_codec.num_bytes(sent)
  assert int(values) == 35 + 16 + 4  # 35 values of a byte; 4 floats and 1 float as they are.
  assert int(side) == 8 + 1  # One range; one byte of presence bits.


def test_a_sum_is_decoded_once_by_linear_stages():
  doubling = Doubling()
  codec = update_codec.UpdateCodec(codec_lib.Codec([doubling]))
  terms, expected = codec.zero_terms(_SPECS), [np.zeros(shape) for shape in _SHAPES]
  for client in range(4):
    tensors = _tensors(client)
    sent = codec.encode(tensors, tf.fill([3], True), _SEED, _SEED)
    terms = codec.add(terms, sent, tf.constant(float(client)), _SPECS, _SEED)
    expected = [total + client * tensor.numpy() for total, tensor in zip(expected, tensors, strict=True)]
  assert doubling.num_decodes == 0
  for found, wanted in zip(codec.finish(terms, _SPECS, _SEED), expected, strict=True):
    np.testing.assert_allclose(found, wanted, atol=1e-5)
  assert doubling.num_decodes == 3  # Once a variable.


def test_squared_error_is_that_of_the_decoded_update():
  codec = update_codec.UpdateCodec(codec_lib.Codec([uniform.Uniform(2)]))
  tensors, present = _tensors(), tf.constant([True, False, True])
  sent = codec.encode(tensors, present, _SEED, _SEED)
  decoded = codec.decode(sent, _SPECS, _SEED)
  error, norm = codec.squared_error(tensors, sent, _SPECS, _SEED).numpy()
  assert error == pytest.approx(sum(np.square(decoded[i] - tensors[i]).sum() for i in (0, 2)), abs=5e-5)
  assert norm == pytest.approx(sum(np.square(tensors[i]).sum() for i in (0, 2)), abs=5e-5)


def test_a_truncated_payload_is_refused_by_name():
  codec = codec_lib.Codec([hadamard.Hadamard(), uniform.Uniform(4)])
  spec = tf.TensorSpec([20])
  payload = codec.encode(tf.ones([20]), _SEED, _SEED)
  cut = payload._replace(values=payload.values[:-1])
  with pytest.raises(tf.errors.InvalidArgumentError, match=r'not one of codec hadamard\|uniform'):
    codec.decode(cut, spec, _SEED)


def test_a_payload_of_another_codec_is_refused():
  payload = codec_lib.Codec([uniform.Uniform(8)]).encode(tf.ones([20]), _SEED, _SEED)
  with pytest.raises(tf.errors.InvalidArgumentError, match='not one of codec uniform'):
    codec_lib.Codec([uniform.Uniform(4)]).decode(payload, tf.TensorSpec([20]), _SEED)


def test_levels_are_packed_and_floats_are_not():
  levels = codec_lib.Codec([uniform.Uniform(4)]).encode(tf.ones([20]), _SEED, _SEED)
  assert levels.values.dtype == tf.uint8
  assert len(levels.values) == bitpack.packed_size(20, 4)
  assert codec_lib.Codec().encode(tf.ones([4, 5]), _SEED, _SEED).values.shape == [20]
