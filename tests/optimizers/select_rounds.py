"""Rounds of clients that hold a part of the model, to be looked at: its units, and which of them moved."""

import numpy as np
import tensorflow as tf

from optimizers import algorithms
from optimizers import devices as devices_lib
from optimizers import fed_opt
from optimizers import local_batches
from optimizers import randomness
from optimizers import selection as selection_lib
from optimizers import unit_keys
from tests import tiny_language
from tests import tiny_task

SEED = 3
BATCHES = local_batches.LocalBatches(batch_size=3)
CLIENTS = (1, 2, 3)


def process(task, devices=devices_lib.ALIKE, build=None, **selected):
  selection = selection_lib.Selection(**selected) if selected else None
  build = build or fed_opt.fed_avg(client_lr=0.5)
  return build(task, algorithms.Communication(selection=selection), BATCHES, SEED, devices)


def run(process, num_rounds=1, state=None, clients=None):
  """Returns the last round's state, metrics and weights."""
  state, clients = state or process.initialize(), clients or [tiny_language.client(key) for key in CLIENTS]
  for _ in range(num_rounds):
    state, metrics = process.next(state, clients)
  return state, metrics, weights(state)


def weights(state):
  return [np.asarray(weight) for weight in state.global_model_weights.trainable]


def keys(selection, task, round_number=1, client_keys=CLIENTS):
  """The units and blocks that clients choose, for each axis those of each client; of language, if by vocabulary."""
  run_seed = tf.constant([SEED, 0], tf.int64)
  round_seed = tf.random.experimental.stateless_fold_in(run_seed, tf.constant(round_number, tf.int64))
  chosen = {}
  for client_key in client_keys:
    seed = randomness.client_seed(round_seed, tf.constant(client_key, tf.int64), randomness.Purpose.SELECTION)
    for axis, keys in selection.keys(task, tiny_language.client(client_key), seed).items():
      units = keys if axis == 'blocks' else unit_keys.units_of(task.model, axis, keys)
      chosen.setdefault(axis, []).append(set(np.asarray(units).tolist()))
  return chosen


def moved_units(variable, before, after):
  """Tells of each unit whether any of its values is another bit for bit."""
  units = variable.units
  by_unit = [*variable.shape[: units.position], units.copies, units.count, -1, *variable.shape[units.position + 1 :]]
  moved = (before != after).reshape(by_unit)
  axis = units.position + 1
  return set(np.flatnonzero(moved.any(axis=tuple(i for i in range(moved.ndim) if i != axis))).tolist())


def regression_client(client_key):
  rng = np.random.default_rng(client_key)
  return tiny_task.client(rng.normal(size=[4, 2]), rng.normal(size=4), client_key)
