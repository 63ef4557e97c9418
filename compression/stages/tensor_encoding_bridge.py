"""The bridge to `tensor_encoding`, the encoders of TensorFlow Model Optimization that TFF's `EncodedSumFactory` takes.

    tff.aggregators.EncodedSumFactory(lambda spec: as_gather_encoder(codec, spec))    # Our codec in TFF's aggregator.
    Codec([TensorEncoding('uniform', bits=8)])                                        # Their encoder as our codec.

Theirs round by `tf.random.uniform`, which is stateful: a run whose codec has such an encoder cannot be repeated from its
seed. Only the signs of their Hadamard transform come from a seed, here the round's shared one.
"""

import collections
from collections.abc import Callable
from typing import Any
from typing import NamedTuple

import tensorflow as tf
from tensorflow_model_optimization.python.core.internal import tensor_encoding

from compression import codec as codec_lib
from compression import stage as stage_lib
from compression import value_seed
from data import arguments

_ENCODERS: dict[str, Callable[[int], tensor_encoding.core.Encoder]] = {
  'uniform': tensor_encoding.encoders.uniform_quantization,
  'hadamard': tensor_encoding.encoders.hadamard_quantization,
  'identity': lambda bits: tensor_encoding.encoders.identity(),
}


def as_gather_encoder(codec: codec_lib.Codec, spec: tf.TensorSpec, seed: int = 0) -> tensor_encoding.core.GatherEncoder:
  """Wraps a codec for `tff.aggregators.EncodedSumFactory`.

  Args:
    codec: Its payload must have fixed lengths.
    spec: What is encoded: float32, of static shape.
    seed: Whatever is drawn is a function of it, the round (the state of the encoder) and the value, see `value_seed`.

  Returns:
    An encoder that decodes every payload before the sum, leading linear stages too.

  Raises:
    TypeError: For a tensor of another type or of unknown shape.
    ValueError: If the length of a payload depends on the values.
  """
  if spec.dtype != tf.float32 or not spec.shape.is_fully_defined():
    raise TypeError(f'a codec encodes float32 tensors of static shape, not {spec}')
  seed_spec = tf.TensorSpec([2], tf.int64)
  payload = (
    tf.function(codec.encode, autograph=False).get_concrete_function(spec, seed_spec, seed_spec).structured_outputs
  )
  if not all(tensor.shape.is_fully_defined() for tensor in tf.nest.flatten(payload)):
    raise ValueError(
      f'codec {codec} leaves a payload whose length depends on the values; a GatherEncoder needs fixed shapes'
    )
  payload_spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, payload)
  stage = _CodecStage(codec, spec, payload_spec, seed)
  encoder = tensor_encoding.core.EncoderComposer(stage).make()
  return tensor_encoding.core.GatherEncoder.from_encoder(encoder, spec)


class _Seed:
  """Stands for a seed among the parameters of an encoder."""


class _Trace(NamedTuple):
  """What is known of an encoder for tensors of one size.

  Attributes:
    params: Its parameters.
    encoded: The specs of the tensors it makes, in its own nested structure.
    shapes: What its decoding needs to know of shapes; all of them static.
  """

  params: Any
  encoded: Any
  shapes: Any


class _CodecStage(tensor_encoding.core.AdaptiveEncodingStageInterface):
  """A codec as a stage of `tensor_encoding`; adaptive only in that its state counts rounds, for seeds."""

  name = 'codec'
  compressible_tensors_keys = ()
  commutes_with_sum = False
  decode_needs_input_shape = False

  def __init__(self, codec: codec_lib.Codec, spec: tf.TensorSpec, payload_spec: codec_lib.Payload, seed: int):
    self._codec = codec
    self._spec = spec
    self._payload_spec = payload_spec
    self._seed = seed

  @property
  def state_update_aggregation_modes(self):
    return {}

  def initial_state(self):
    return {'round': tf.constant(1, tf.int64)}

  def update_state(self, state, state_update_tensors):
    del state_update_tensors
    return {'round': state['round'] + 1}

  def get_params(self, state):
    seed = tf.constant([self._seed, 1], tf.int64)
    params = {'shared_seed': tf.random.experimental.stateless_fold_in(seed, state['round'])}
    return params, params

  def encode(self, x, encode_params):
    shared_seed = encode_params['shared_seed']
    payload = self._codec.encode(x, value_seed.fold_values(shared_seed, [x]), shared_seed)
    tensors = tf.nest.flatten(payload)
    return collections.OrderedDict((f'tensor_{index}', tensor) for index, tensor in enumerate(tensors)), {}

  def decode(self, encoded_tensors, decode_params, num_summands=None, shape=None):
    del num_summands, shape
    tensors = [encoded_tensors[f'tensor_{index}'] for index in range(len(encoded_tensors))]
    payload = tf.nest.pack_sequence_as(self._payload_spec, tensors)
    # A static shape, as EncodedSumFactory needs it, does no harm here: it counts nothing and always sends everything.
    return tf.reshape(self._codec.decode(payload, self._spec, decode_params['shared_seed']), self._spec.shape)


class TensorEncoding(stage_lib.Stage):
  """Encodes by an encoder of `tensor_encoding`; what travels are the bytes of the tensors it makes.

  Not a function of the seeds unless the name is `identity`. Since theirs turn values near the largest float
  into NaN, `uniform` and `hadamard` clip those.
  """

  gives = stage_lib.Kind.BYTES

  def __init__(self, name: str = 'uniform', bits: int = 8):
    """Configures the stage.

    Args:
      name: `uniform` quantizes between the smallest and the largest value, `hadamard` rotates before that, `identity`
        leaves values as they are.
      bits: Bits per value, 1 to 16; they fill 28 of every 32 that travel. Without effect on `identity`.

    Raises:
      ValueError: For other values.
    """
    arguments.check_one_of(_ENCODERS, name=name)
    arguments.check_whole(1, 16, bits=bits)
    self._name = name
    self._encoder = _ENCODERS[name](bits)
    self._traces: dict[int, _Trace] = {}

  def form(self, form: stage_lib.Form) -> stage_lib.Form:
    """Returns bytes."""
    del form
    return stage_lib.Form(stage_lib.Kind.BYTES, None)

  def encode(
    self, x: tf.Tensor, form: stage_lib.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage_lib.Side]:
    """Returns the bytes of the packed values and, unless the name is `identity`, (float32[2] of min and max,)."""
    del client_seed
    trace = self._trace(form.size)
    if form.size == 0:
      return tf.zeros([0], tf.uint8), tuple(tf.zeros([2]) for _ in tf.nest.flatten(trace.encoded)[:-1])
    encoded, _, _ = self._encoder.encode(self._clipped(x, form.size), _seeded(trace.params, shared_seed))
    *side, values = tf.nest.flatten(encoded)  # Sorted by name: `min_max` comes first.
    return tf.reshape(tf.bitcast(values, tf.uint8), [-1]), tuple(side)

  def decode(self, x: tf.Tensor, side: stage_lib.Side, form: stage_lib.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns what `tensor_encoding` decodes; see `Stage.decode`."""
    if form.size == 0:
      return tf.zeros([0])
    trace = self._trace(form.size)
    spec = tf.nest.flatten(trace.encoded)[-1]
    words = tf.bitcast(tf.reshape(x, [-1, spec.dtype.size]), spec.dtype)
    encoded = tf.nest.pack_sequence_as(trace.encoded, [*side, tf.reshape(words, [-1, *spec.shape[1:]])])
    return self._encoder.decode(encoded, _seeded(trace.params, shared_seed), trace.shapes)

  def _trace(self, size: int) -> _Trace:
    size = max(size, 1)  # Their Hadamard transform has no size 0.
    if size not in self._traces:
      with tf.Graph().as_default():
        params, _ = self._encoder.get_params(self._encoder.initial_state())
        encoded, _, shapes = self._encoder.encode(tf.zeros([size]), params)
        params = tf.nest.map_structure(lambda value: _Seed() if tf.is_tensor(value) else value, params)
        self._traces[size] = _Trace(params, tf.nest.map_structure(tf.TensorSpec.from_tensor, encoded), shapes)
    return self._traces[size]

  def _clipped(self, x: tf.Tensor, size: int) -> tf.Tensor:
    if self._name == 'identity':
      return x
    # Theirs subtract the smallest from the largest value; a rotation, and that back, add up as many as there are.
    largest = 2.0**126 if self._name == 'uniform' else 2.0**124 / size**1.5
    return tf.clip_by_value(x, -largest, largest)


def _seeded(params: Any, shared_seed: tf.Tensor) -> Any:
  """Puts the round's seed where the encoder would have drawn one."""
  return tf.nest.map_structure(lambda value: shared_seed if isinstance(value, _Seed) else value, params)
