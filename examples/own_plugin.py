"""A plug-in: a codec, a policy and a model of one's own, with names that every binary takes.

python -m experiments.language_model --plugin=examples/own_plugin.py --model='gru(width=64)' --trainable=body \\
  --upload='max_scaled|rans' --output_dir=runs/plugged_in
"""

from collections.abc import Callable

import tensorflow as tf

from compression import stage
from models import keras_bridge
from models import model as model_lib
from optimizers import trainable


class MaxScaled(stage.Stage):
  """Rounds 127 x / max|x| to the nearest whole number. Biased."""

  gives = stage.Kind.LEVELS

  def form(self, form: stage.Form) -> stage.Form:
    """255 levels, as many as there were values."""
    return stage.Form(stage.Kind.LEVELS, form.size, 255)

  def encode(self, x, form, client_seed, shared_seed):
    """Returns the levels, and the scale as side information: whatever is returned travels and is counted."""
    scale = tf.reduce_max(tf.abs(x)) if form.size else tf.constant(0.0)
    return tf.cast(tf.round(127.0 * tf.math.divide_no_nan(x, scale)), tf.int32) + 127, (scale[tf.newaxis],)

  def decode(self, x, side, form, shared_seed):
    """Returns the values."""
    return tf.cast(x - 127, tf.float32) / 127.0 * side[0][0]


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


STAGES = {'max_scaled': MaxScaled}
POLICIES = {'body': Body}
LANGUAGE_MODELS = {'gru': gru}
