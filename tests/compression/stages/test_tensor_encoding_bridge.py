"""Both ways over the bridge: equal sums, bytes by hand, hard values, and what a seed does and does not decide."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow_model_optimization.python.core.internal import tensor_encoding

from compression import codec as codec_lib
from compression import compressed_sum
from compression import partial_mean
from compression import sent_update
from compression import stage
from compression import update_codec
from compression.stages import casts
from compression.stages import hadamard
from compression.stages import tensor_encoding_bridge
from compression.stages import topk
from compression.stages import uniform

_SHARED = tf.constant([0, 7], tf.int64)
_SHAPE = [4, 5]
# Whole numbers that stay whole when 8-bit quantization divides them by 255 and multiplies them by 255 again.
_WHOLE = [k for k in range(256) if np.float32(k) / np.float32(255) * np.float32(255) == k]


class _NonZeros(stage.Stage):
  """Sends as many bytes as there are values other than 0."""

  gives = stage.Kind.BYTES

  def form(self, form):
    return stage.Form(stage.Kind.BYTES, None)

  def encode(self, x, form, client_seed, shared_seed):
    return tf.cast(tf.boolean_mask(x, x != 0), tf.uint8), ()

  def decode(self, x, side, form, shared_seed):
    raise NotImplementedError


def _seed(number):
  return tf.constant([number, 1], tf.int64)


def _codec(name, bits=8):
  return codec_lib.Codec([tensor_encoding_bridge.TensorEncoding(name, bits)])


def _round_trip(codec, x, seed=1):
  x = tf.constant(x, tf.float32)
  payload = codec.encode(x, _seed(seed), _SHARED)
  return codec.decode(payload, tf.TensorSpec(x.shape), _SHARED).numpy(), payload


def _grid_values(seed):
  """Values that 8 bits hold exactly: whole numbers from 0 to 255, both ends among them."""
  values = np.random.default_rng(seed).choice(_WHOLE, size=_SHAPE)
  values[0, :2] = 0, 255
  return values.astype(np.float32)


def _sum(factory, values):
  process = factory.create(tff.types.to_type(collections.OrderedDict(x=(np.float32, _SHAPE))))
  values = [collections.OrderedDict(x=value) for value in values]
  return process.next(process.initialize(), values).result['x']


def _compressed_sum(codec, values):
  return _sum(compressed_sum.CompressedSumFactory(update_codec.UpdateCodec(codec)), values)


@pytest.mark.parametrize(
  ('name', 'bits', 'expected'),
  [
    ('uniform', 8, 20),  # 10 x 8 bits in 3 words of 28 bits, 4 bytes each; min and max, 4 bytes each.
    ('uniform', 16, 32),  # 160 bits in 6 words; 8.
    ('uniform', 1, 12),  # 10 bits in 1 word; 8.
    ('hadamard', 4, 20),  # Padded to 16 x 4 bits in 3 words; 8.
    ('identity', 8, 40),  # 10 floats.
  ],
)
def test_tensor_encoding_bytes(name, bits, expected):
  _, payload = _round_trip(_codec(name, bits), np.linspace(-1, 1, 10))
  assert payload.values.dtype == tf.uint8
  assert int(codec_lib.num_bytes(payload)) == expected


def test_bytes_are_those_of_the_encoder():
  _, payload = _round_trip(_codec('uniform'), [0, 1, 2, 255])
  # 0 + 1 * 2**8 + 2 * 2**16 + (255 mod 16) * 2**24 in the first word, 255 // 16 in the second; least byte first.
  np.testing.assert_array_equal(payload.values, [0, 1, 2, 15, 15, 0, 0, 0])
  np.testing.assert_array_equal(payload.side[0][0], [0, 255])


@pytest.mark.parametrize('name', ['uniform', 'hadamard'])
@pytest.mark.parametrize('bits', [1, 4, 6, 7, 8, 12, 16])
def test_error_is_below_one_step(name, bits):
  x = np.random.default_rng(0).normal(size=[7, 9]).astype(np.float32)
  decoded, _ = _round_trip(_codec(name, bits), x)
  assert decoded.shape == x.shape
  # A rotation keeps norms, but its values may range twice as far as the norm, and it pads 63 values to 64.
  span = np.ptp(x) * np.sqrt(63) if name == 'uniform' else 2 * np.linalg.norm(x) * 8
  assert np.linalg.norm(decoded - x) < span / (2**bits - 1) + 1e-4


@pytest.mark.parametrize('name', ['uniform', 'hadamard', 'identity'])
@pytest.mark.parametrize('x', [[0.0] * 5, [1.5] * 5, [1e30, -1e30], [3e38, -3e38, 0.0], [1e-40, 0.0], [7.0], [], 2.5])
def test_hard_values_stay_finite(name, x):
  decoded, _ = _round_trip(_codec(name), x)
  assert np.all(np.isfinite(decoded))
  assert decoded.shape == np.shape(x)
  if not np.any(x):
    np.testing.assert_array_equal(decoded, x)


def test_tensor_encoding_modes_agree():
  for codec, x in ((_codec('uniform'), _grid_values(1)), (_codec('identity'), np.ones([3]))):
    x = tf.constant(x, tf.float32)
    eager, graph = (
      codec.encode(x, _seed(1), _SHARED),
      tf.function(codec.encode, autograph=False)(x, _seed(1), _SHARED),
    )
    np.testing.assert_array_equal(eager.values, graph.values)
    decode = tf.function(
      lambda payload, codec=codec, x=x: codec.decode(payload, tf.TensorSpec(x.shape), _SHARED), autograph=False
    )
    np.testing.assert_allclose(decode(eager), x, rtol=1e-6)


def test_seeds_decide_signs_but_not_rounding():
  x = np.random.default_rng(0).normal(size=200).astype(np.float32)
  rounded = [_round_trip(_codec('uniform', 1), x)[1].values for _ in range(2)]
  assert np.any(rounded[0] != rounded[1])  # `tf.random.uniform`: stateful.
  codec = _codec('hadamard', 16)
  _, payload = _round_trip(codec, x)
  _, again = _round_trip(codec, x)
  np.testing.assert_allclose(payload.side[0][0], again.side[0][0])  # Min and max of equal rotations.
  other = codec.decode(payload, tf.TensorSpec([200]), _SHARED + 1)
  assert np.linalg.norm(other - x) > 1


def test_tensor_encoding_refuses():
  with pytest.raises(ValueError, match="name must be one of uniform, hadamard, identity, not 'gaussian'"):
    tensor_encoding_bridge.TensorEncoding('gaussian')
  with pytest.raises(ValueError, match='bits must be a whole number from 1 to 16'):
    tensor_encoding_bridge.TensorEncoding('uniform', 17)
  with pytest.raises(ValueError, match='such a chain makes no sense'):
    codec_lib.Codec([tensor_encoding_bridge.TensorEncoding(), uniform.Uniform()])
  codec = _codec('uniform')
  _, payload = _round_trip(codec, np.arange(10))
  with pytest.raises(tf.errors.InvalidArgumentError, match='not one of codec tensorencoding'):
    codec.decode(payload._replace(values=payload.values[:-4]), tf.TensorSpec([10]), _SHARED)


def test_rounds_and_values_draw_their_own_noise():
  codec = codec_lib.Codec([uniform.Uniform(1)])
  encoder = tensor_encoding_bridge.as_gather_encoder(codec, tf.TensorSpec([64]))

  def encoded(state, x):
    return tf.nest.flatten(encoder.encode(x, encoder.get_params(state)[0])[0])[0].numpy().tolist()

  x, first = tf.linspace(-1.0, 1.0, 64), encoder.initial_state()
  second = encoder.update_state(first, ())
  draws = [encoded(first, x), encoded(second, x), encoded(first, x * (1 + 2**-22))]
  assert len({tuple(draw) for draw in draws}) == 3
  assert encoded(first, x) == draws[0]


def test_as_gather_encoder_refuses():
  with pytest.raises(ValueError, match='codec _nonzeros leaves a payload whose length depends on the values'):
    tensor_encoding_bridge.as_gather_encoder(codec_lib.Codec([_NonZeros()]), tf.TensorSpec([8]))
  for spec in (tf.TensorSpec([8], tf.int32), tf.TensorSpec([None])):
    with pytest.raises(TypeError, match='float32 tensors of static shape'):
      tensor_encoding_bridge.as_gather_encoder(codec_lib.Codec(), spec)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize(
  'stages',
  [
    pytest.param([], id='identity'),
    pytest.param([topk.Topk(0.3)], id='topk'),
    pytest.param([casts.Float16()], id='float16'),
    pytest.param([uniform.Uniform(8)], id='uniform'),
    pytest.param([hadamard.Hadamard(), uniform.Uniform(16)], id='rotated'),
  ],
)
def test_our_codec_in_their_aggregator(stages):
  codec, values = codec_lib.Codec(stages), [_grid_values(seed) for seed in range(3)]
  theirs = tff.aggregators.EncodedSumFactory(lambda spec: tensor_encoding_bridge.as_gather_encoder(codec, spec))
  # Three clients, off by at most a rounding at 16 bits of 255 * sqrt(20) each.
  np.testing.assert_allclose(_sum(theirs, values), _compressed_sum(codec, values), atol=0.2)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('name', ['uniform', 'identity'])
def test_their_encoder_in_our_aggregator(name):
  def encoder_fn(spec):
    encoders = tensor_encoding.encoders
    encoder = encoders.uniform_quantization(8) if name == 'uniform' else encoders.identity()
    return encoders.as_gather_encoder(encoder, spec)

  values = [_grid_values(seed) for seed in range(3)]
  ours = _compressed_sum(_codec(name), values)
  np.testing.assert_allclose(ours, _sum(tff.aggregators.EncodedSumFactory(encoder_fn), values), rtol=1e-6)
  np.testing.assert_allclose(ours, np.sum(values, axis=0), rtol=1e-6)


@pytest.mark.usefixtures('worker')
def test_their_rotation_in_our_aggregator():
  values = [_grid_values(seed) for seed in range(3)]
  np.testing.assert_allclose(_compressed_sum(_codec('hadamard', 16), values), np.sum(values, axis=0), atol=0.2)


@pytest.mark.usefixtures('worker')
@pytest.mark.parametrize('name', ['uniform', 'hadamard', 'identity'])
def test_what_is_not_sent_counts_as_nothing(name):
  factory = partial_mean.PartialMeanFactory(update_codec.UpdateCodec(_codec(name)))
  update_type = sent_update.update_type(tff.types.to_type(((np.float32, (8,)), (np.float32, (3, 3)))))
  process = factory.create(update_type, tff.types.to_type(np.float32))
  update = collections.OrderedDict(
    delta=(np.ones([8], np.float32), np.ones([3, 3], np.float32)),
    trained=np.array([True, False]),
    client_seed=np.array([1, 0], np.int64),
    shared_seed=np.array([0, 0], np.int64),
    answers=True,
  )
  output = process.next(process.initialize(), [update], [np.float32(1)])
  # 8 x 8 bits in 3 words; or 8 floats.
  assert output.measurements['upload_bytes_values'] == (32 if name == 'identity' else 12)
  assert output.measurements['upload_bytes_side'] == (1 if name == 'identity' else 9)  # 1 presence byte, 8.
  np.testing.assert_allclose(output.result['delta'][0], np.ones([8]), atol=0.05)  # Rotated, then rounded.
  np.testing.assert_array_equal(output.result['delta'][1], np.zeros([3, 3]))
