"""A plug-in: a policy and a model of one's own, with names that every binary takes.

python -m experiments.language_model --plugin=examples/own_plugin.py --model='gru(width=64)' --trainable=body \\
  --output_dir=runs/plugged_in
"""

from collections.abc import Callable

import tensorflow as tf

from models import keras_bridge
from models import model as model_lib
from optimizers import trainable


class Body(trainable.Policy):
  """Trains all but the embedding."""

  def choose(self, model, seeds):
    """Returns which variables are not in the embedding."""
    return [variable.block != 'embedding' for variable in model.variables]


def gru(width: int = 64) -> Callable[[int], model_lib.Model]:
  """Configures a Keras model of one layer of gated recurrent units.

  Args:
    width: Numbers in an embedding, and units.
  """

  def build(vocabulary_size: int) -> model_lib.Model:
    def layers() -> tf.keras.Model:
      return tf.keras.Sequential(
        [
          tf.keras.layers.Embedding(vocabulary_size, width, name='embedding'),
          tf.keras.layers.GRU(width, return_sequences=True, name='gru'),
          tf.keras.layers.Dense(vocabulary_size, name='head'),
        ]
      )

    blocks = {'embedding': 'embedding', 'gru': 'block_0', 'head': 'head'}
    return keras_bridge.from_keras(layers, tf.TensorSpec([None, None], tf.int32), blocks)

  return build


POLICIES = {'body': Body}
LANGUAGE_MODELS = {'gru': gru}
