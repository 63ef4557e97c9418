"""A client's seed from the values it encodes, for shells that neither know their client nor get a seed from it.

Stateless, and different for different values and rounds. But equal values draw equal noise, so that errors of clients
which agree to the last bit do not average out; and a last-bit difference changes all the noise, so that a run that is
resumed on another machine draws other noise. Where an update carries its client's seed, that one is better.
"""

from collections.abc import Sequence

import tensorflow as tf


def fold_values(shared_seed: tf.Tensor, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  """Folds the bits of all tensors, of which there is at least one, into the round's seed; both seeds are int64[2]."""
  fingerprints = [tf.fingerprint(tf.reshape(tensor, [1, -1])) for tensor in tensors]
  fingerprint = tf.fingerprint(tf.concat(fingerprints, axis=1))
  return tf.random.experimental.stateless_fold_in(shared_seed, tf.bitcast(fingerprint[0], tf.int64))
