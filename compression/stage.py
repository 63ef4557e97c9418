"""The contract of one step of a codec: an invertible map on a tensor, in pure TensorFlow.

Pure TensorFlow, because stages run inside TFF's C++ worker, which knows no custom ops.
"""

import abc

import tensorflow as tf

Side = tuple[tf.Tensor, ...]


class Stage(abc.ABC):
  """Turns a tensor into a smaller one plus what is needed to turn it back.

  Attributes:
    linear: Whether decoding commutes with addition, so that a sum of encoded tensors can be decoded once.
  """

  linear: bool = False

  @abc.abstractmethod
  def encode(self, x: tf.Tensor, client_seed: tf.Tensor, shared_seed: tf.Tensor) -> tuple[tf.Tensor, Side]:
    """Encodes a tensor.

    Args:
      x: The output of the stage before, or the value itself: float32 of any static shape.
      client_seed: int64[2], this client's own, for noise.
      shared_seed: int64[2], the same for all clients of a round, for rotations and draws of indices.

    Returns:
      What is left of x, and side information: tensors of rank 1 that travel with it.
    """

  @abc.abstractmethod
  def decode(self, x: tf.Tensor, side: Side, spec: tf.TensorSpec, shared_seed: tf.Tensor) -> tf.Tensor:
    """Inverts `encode`.

    Args:
      x: What `encode` left, perhaps with its leading axis of unknown length.
      side: The side information of `encode`.
      spec: Shape and dtype of the tensor that was encoded.
      shared_seed: The one given to `encode`.

    Returns:
      A tensor of `spec`'s dtype whose number of values is that of `spec`; shape it with `shaped`, never with a fully
      static reshape: that would make TensorFlow bill empty payloads in full.
    """

  def encoded_spec(self, spec: tf.TensorSpec) -> tf.TensorSpec:
    """Returns the spec of what `encode` leaves of a tensor of `spec`."""
    encoded = tf.function(lambda x: self.encode(x, tf.zeros([2], tf.int64), tf.zeros([2], tf.int64))[0])
    return tf.TensorSpec.from_tensor(encoded.get_concrete_function(spec).outputs[0])


def shaped(x: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
  """Gives `x` the shape of `spec` while its leading axis stays unknown to the graph; a scalar has no axis to keep."""
  if spec.shape.rank == 0:
    return tf.reduce_sum(x)
  if spec.shape.num_elements() == 0:
    return tf.zeros(spec.shape, x.dtype)
  return tf.reshape(x, [-1, *spec.shape[1:]])
