"""The bridge to `tensor_encoding`, the encoders of TensorFlow Model Optimization that TFF's `EncodedSumFactory` takes.

    tff.aggregators.EncodedSumFactory(lambda spec: as_gather_encoder(codec, spec))    # Our codec in TFF's aggregator.
    Codec([TensorEncoding('uniform', bits=8)])                                        # Their encoder as our codec.

Theirs round by `tf.random.uniform`, which is stateful: a run whose codec has such an encoder cannot be repeated from its
seed. Only the signs of their Hadamard transform come from a seed, here the round's shared one.
"""

import collections
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow_model_optimization.python.core.internal import tensor_encoding

from compression import codec as codec_lib
from compression import stage as stage_lib
from compression import value_seed

_ENCODERS: dict[str, Callable[[int], tensor_encoding.core.Encoder]] = {
  'uniform': tensor_encoding.encoders.uniform_quantization,
  'hadamard': tensor_encoding.encoders.hadamard_quantization,
  'identity': lambda bits: tensor_encoding.encoders.identity(),
}


def as_gather_encoder(codec: codec_lib.Codec, spec: tf.TensorSpec, seed: int = 0) -> tensor_encoding.core.GatherEncoder:
  """Wraps a codec for `tff.aggregators.EncodedSumFactory`.

  Args:
    codec: Its payload must have fixed lengths.
    spec: Of the tensor to encode: float32, of static shape.
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
  payload = tf.function(codec.encode).get_concrete_function(spec, seed_spec, seed_spec).structured_outputs
  if not all(tensor.shape.is_fully_defined() for tensor in tf.nest.flatten(payload)):
    raise ValueError(
      f'codec {codec} leaves a payload whose length depends on the values; a GatherEncoder needs fixed shapes'
    )
  payload_spec = tf.nest.map_structure(tf.TensorSpec.from_tensor, payload)
  stage = _CodecStage(codec, spec, payload_spec, seed)
  encoder = tensor_encoding.core.EncoderComposer(stage).make()
  return tensor_encoding.core.GatherEncoder.from_encoder(encoder, spec)


class _CodecStage(tensor_encoding.core.AdaptiveEncodingStageInterface):
  """A codec as a stage of `tensor_encoding`; adaptive only in that its state counts rounds, for seeds."""

  name = 'codec'
  compressible_tensors_keys = ()
  commutes_with_sum = False
  decode_needs_input_shape = False
  state_update_aggregation_modes = collections.OrderedDict()

  def __init__(self, codec: codec_lib.Codec, spec: tf.TensorSpec, payload_spec: codec_lib.Payload, seed: int):
    self._codec = codec
    self._spec = spec
    self._payload_spec = payload_spec
    self._seed = seed

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


class _Trace(NamedTuple):
  """What an encoder makes of a tensor of one size.

  Attributes:
    params: Its parameters: Python values, and None where it takes a seed.
    encoded: The specs of the encoded tensors, in the encoder's own nested structure.
    shapes: Static shapes that its decoding needs.
  """

  params: Any
  encoded: Any
  shapes: Any


class TensorEncoding(stage_lib.Stage):
  """Encodes by an encoder of `tensor_encoding`; the payload holds the bytes of its tensors.

  Not a function of the seeds unless the name is `identity`, see above. Theirs turn values near the largest float into
  NaN, so for `uniform` and `hadamard` such values are clipped.
  """

  gives = stage_lib.Kind.BYTES

  def __init__(self, name: str = 'uniform', bits: int = 8):
    """Configures the stage.

    Args:
      name: `uniform` and `hadamard` (followed by uniform) quantize between the smallest and the largest value; `identity`
        leaves the values as they are.
      bits: Bits per value, 1 to 16, of the 28 that `tensor_encoding` fills of 32; without effect on `identity`.

    Raises:
      ValueError: For other values.
    """
    if name not in _ENCODERS:
      raise ValueError(f'name must be one of {", ".join(_ENCODERS)}, not {name!r}')
    stage_lib.check_whole('bits', bits, 1, 16)
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
    if form.size == 0:
      return tf.zeros([0], tf.uint8), tuple(tf.zeros([2]) for _ in self._trace(1).encoded_side)
    params = _seeded(self._trace(form.size).params, shared_seed)
    encoded, _, _ = self._encoder.encode(self._clipped(x, form.size), params)
    values, side = _split(encoded)
    return tf.reshape(tf.bitcast(tf.reshape(values, [-1]), tf.uint8), [-1]), side
