"""A script's run of a Keras model: it ends, its held-out units are those of its last model, and it can be continued."""

import collections

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff

from data import population as population_lib
from experiments.federated import run
from experiments.results import metrics
from models import keras_bridge
from models import language_task
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import heldout_file

_LENGTH, _VOCABULARY = 3, 5


def _build():
  layers = [tf.keras.layers.Embedding(_VOCABULARY, 2), tf.keras.layers.Dense(_VOCABULARY)]
  return tf.keras.Sequential([tf.keras.Input([_LENGTH], dtype=tf.int32), *layers])


def _run(output_dir, rounds):
  """Builds everything anew, as a notebook does."""
  task = language_task.build(keras_bridge.from_keras(_build, tf.TensorSpec([None, _LENGTH], tf.int32)), _LENGTH)
  process = fed_opt.fed_adam()(task, algorithms.Communication(), local_batches.LocalBatches(4), 0)
  tokens = np.random.default_rng(0).integers(1, _VOCABULARY, [2, 6, _LENGTH + 1], np.int32)
  clients = tff.simulation.datasets.TestClientData(
    {
      str(key): collections.OrderedDict(tokens=tokens[key], client_key=np.full([6], key, np.int64))
      for key in range(len(tokens))
    }
  )
  population = population_lib.Population(clients, clients, dataset_hash='random')
  return run.run(task, process, population, run.Config(output_dir, rounds=rounds, clients_per_round=1))


def test_it_ends_with_units_that_add_up_and_goes_on_when_it_is_built_again(tmp_path):
  for rounds in (1, 2):
    summary = _run(tmp_path / 'run', rounds)
    heldout_file.check(tmp_path / 'run', examples=False)
    rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
    assert [row['round'] for row in rows] == list(range(rounds + 1))
    assert (summary['rounds'], summary['eval/loss']) == (rounds, rows[-1]['eval/loss'])
