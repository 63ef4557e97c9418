"""A trial of a codec that nobody has tested: it encodes and decodes some values, each in a graph that knows nothing else.

So it is in rounds: clients encode, the server decodes, and only what `encode` returns comes from one to the other.
"""

import tensorflow as tf

from compression import codec as codec_lib

_NUM_VALUES = 100


def check(codec: codec_lib.Codec) -> None:
  """Encodes and decodes values.

  Args:
    codec: The codec.

  Raises:
    ValueError: If it fails, or the result is not so many floats. The message is one line.
  """
  spec, seeds = tf.TensorSpec([_NUM_VALUES]), (tf.constant([1, 2], tf.int64), tf.constant([3, 4], tf.int64))
  encode = tf.function(codec.encode, autograph=False)
  decode = tf.function(lambda payload: codec.decode(payload, spec, seeds[1]), autograph=False)
  try:
    decoded = decode(encode(tf.linspace(-1.0, 1.0, _NUM_VALUES), *seeds))
  except Exception as error:
    reason = str(error).strip().partition('\n')[0]
    raise ValueError(
      f'{_NUM_VALUES} values cannot be encoded and decoded ({type(error).__name__}: {reason}); decode has what encode '
      'returns, its form and the shared seed, and nothing else'
    ) from error
  if decoded.shape != spec.shape or decoded.dtype != tf.float32:
    raise ValueError(f'of {_NUM_VALUES} floats decode makes {decoded.dtype.name} of shape {decoded.shape}')
