"""The plain Keras loop trains each client from the same weights."""

import io
import pathlib
import sys

import numpy as np
import tensorflow as tf

from experiments.benchmarks import keras_contender
from experiments.benchmarks import keras_workloads
from experiments.benchmarks import rounds


def test_trains_each_client_from_the_same_weights_as_often_as_it_is_asked(tmp_path: pathlib.Path, monkeypatch, capsys):
  built = []

  def small() -> tf.keras.Model:
    tokens = tf.keras.Input([keras_workloads.SEQUENCE_LENGTH], dtype=tf.int32)
    built.append(
      tf.keras.Model(
        tokens, tf.keras.layers.Embedding(keras_workloads.VOCABULARY_SIZE, keras_workloads.VOCABULARY_SIZE)(tokens)
      )
    )
    return built[0]

  monkeypatch.setattr(keras_workloads, 'VOCABULARY_SIZE', 50)
  monkeypatch.setattr(keras_workloads, 'WORKLOADS', {'W1': small})
  rounds.store_clients(tmp_path / 'clients.sqlite', rounds.random_tokens(2))
  weights = []
  for requests in (0, 1, 3):
    tf.keras.utils.set_random_seed(0)
    built.clear()
    monkeypatch.setattr(sys, 'stdin', io.StringIO('\n' * requests))
    keras_contender.serve('W1', str(tmp_path / 'clients.sqlite'))
    assert capsys.readouterr().out == 'done\n' * requests
    weights.append(built[0].get_weights()[0])
  initial, once, again = weights
  assert np.abs(once - initial).max() > 1e-4
  np.testing.assert_allclose(again, once, rtol=1e-6)  # Two examples are one batch, whatever their order.
