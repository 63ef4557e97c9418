"""The plain Keras models of the speed benchmark, the same on both sides of every comparison."""

import tensorflow as tf

VOCABULARY_SIZE = 4000
SEQUENCE_LENGTH = 20


def w1() -> tf.keras.Model:
  """Embedding of 96, LSTM of 256 cells, output over 4,000 words."""
  tokens = tf.keras.Input([SEQUENCE_LENGTH], dtype=tf.int32)
  x = tf.keras.layers.Embedding(VOCABULARY_SIZE, 96)(tokens)
  x = tf.keras.layers.LSTM(256, return_sequences=True)(x)
  return tf.keras.Model(tokens, tf.keras.layers.Dense(VOCABULARY_SIZE)(x))


def w2() -> tf.keras.Model:
  """Transformer of 4 pre-normalized layers: width 128, 8 heads, MLP of 512, output over 4,000 words."""
  tokens = tf.keras.Input([SEQUENCE_LENGTH], dtype=tf.int32)
  x = tf.keras.layers.Embedding(VOCABULARY_SIZE, 128)(tokens)
  for _ in range(4):
    y = tf.keras.layers.LayerNormalization()(x)
    x = x + tf.keras.layers.MultiHeadAttention(8, 16)(y, y, use_causal_mask=True)
    y = tf.keras.layers.LayerNormalization()(x)
    x = x + tf.keras.layers.Dense(128)(tf.keras.layers.Dense(512, activation='relu')(y))
  x = tf.keras.layers.LayerNormalization()(x)
  return tf.keras.Model(tokens, tf.keras.layers.Dense(VOCABULARY_SIZE)(x))


def w() -> tf.keras.Model:
  """Embedding of 96, LSTM of 670 cells, dense layer of 96, output over 10,004 words (Reddi et al. 2020, arXiv 2003.00295)."""
  tokens = tf.keras.Input([SEQUENCE_LENGTH], dtype=tf.int32)
  x = tf.keras.layers.Embedding(10_004, 96)(tokens)
  x = tf.keras.layers.LSTM(670, return_sequences=True)(x)
  return tf.keras.Model(tokens, tf.keras.layers.Dense(10_004)(tf.keras.layers.Dense(96)(x)))


WORKLOADS = {'W1': w1, 'W2': w2, 'W': w}
