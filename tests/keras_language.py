"""A Keras language model of a user's own over 12 tokens: GRU, normalization and logits."""

from collections.abc import Mapping

import tensorflow as tf

from models import keras_bridge
from models import model as model_lib

VOCABULARY, LENGTH = 12, 6


def build() -> tf.keras.Model:
  """Makes the model of Keras."""
  tokens = tf.keras.Input([LENGTH], dtype=tf.int32)
  x = tf.keras.layers.Embedding(VOCABULARY, 4, name='tokens')(tokens)
  x = tf.keras.layers.GRU(5, return_sequences=True)(x)
  x = tf.keras.layers.LayerNormalization()(x)
  return tf.keras.Model(tokens, tf.keras.layers.Dense(VOCABULARY, name='logits')(x))


def model(blocks: Mapping[str, str] | None = None) -> model_lib.Model:
  """Brings it over."""
  return keras_bridge.from_keras(build, tf.TensorSpec([None, LENGTH], tf.int32), blocks)
