"""Clients that hold sub-models of two layouts, and the mean of their updates in NumPy."""

import collections

import numpy as np

from compression import slices
from models import model as model_lib


def make_variable(name, shape, axis='', position=0, count=0, copies=1):
  units = model_lib.Units(axis, position, count, copies) if axis else None
  return model_lib.Variable(name, shape, model_lib.zeros, units)


VARIABLES = (
  make_variable('embedding/table', (5, 2), 'vocabulary', 0, 5),
  make_variable('block_0/gates', (2, 12), 'neurons', 1, 4, copies=3),
  make_variable('block_0/output', (6, 3), 'heads', 0, 3),
  make_variable('head/bias', (5,), 'vocabulary', 0, 5),
  make_variable('head/scale', (2,)),
)
# Values of each variable:              table  gates  output  bias  scale
# whole                                    10     24      18     5      2
# in the first layout, of 41 values         6     12      18     3      2
# in the second layout, of 38 values        4     24       6     2      2
LAYOUTS = (slices.Layout({'neurons': 2, 'vocabulary': 3}), slices.Layout({'heads': 1, 'vocabulary': 2}))
ALL, NONE = [True] * 5, [False] * 5


def make_client(layout, units, trained, seed=0):
  """A client's update and, to compare with, its layout's axes and their units."""
  rng = np.random.default_rng(seed)
  largest = dict(heads=1, neurons=2, vocabulary=3)
  return collections.OrderedDict(
    delta=tuple(rng.normal(size=variable.shape).astype(np.float32) for variable in VARIABLES),
    trained=np.array(trained),
    client_seed=np.array([seed, 1], np.int64),
    shared_seed=np.array([7, 8], np.int64),
    answers=True,
    layout=np.int32(layout),
    # What is beyond the client's own units does not count, be it out of range.
    units=collections.OrderedDict(
      (axis, np.array([*units.get(axis, ()), 9, 9, 9][:count], np.int32)) for axis, count in largest.items()
    ),
  )


CLIENTS = (
  make_client(0, dict(neurons=[3, 1], vocabulary=[0, 2, 4]), ALL, seed=1),
  make_client(1, dict(heads=[2], vocabulary=[2, 3]), ALL, seed=2),
  make_client(0, dict(neurons=[1, 2], vocabulary=[0, 1, 2]), [False, True, True, False, True], seed=3),
  make_client(1, dict(heads=[0], vocabulary=[3, 4]), [True, False, True, False, False], seed=4),
  make_client(0, dict(neurons=[0, 1], vocabulary=[1, 2, 3]), NONE, seed=5),
)
WEIGHTS = (1.0, 2.0, 4.0, 8.0, 16.0)


def held_values(client, variable):
  """Where a variable's units are those that a client holds, value by value."""
  units, counts = variable.units, LAYOUTS[client['layout']].counts
  held = np.ones(variable.shape, bool)
  if units and units.axis in counts:
    elements = variable.shape[units.position] // (units.copies * units.count)
    for index in np.ndindex(*variable.shape):
      held[index] = index[units.position] // elements % units.count in client['units'][units.axis][: counts[units.axis]]
  return held


def expected_means(denominator):
  means = []
  for index, variable in enumerate(VARIABLES):
    total, weights = np.zeros(variable.shape), np.zeros(variable.shape)
    for client, weight in zip(CLIENTS, WEIGHTS, strict=True):
      held = held_values(client, variable) & client['trained'][index]
      total += weight * np.where(held, client['delta'][index], 0.0)
      weights += weight * held if denominator == 'trained' else weight
    means.append(np.divide(total, weights, out=np.zeros(variable.shape), where=weights > 0))
  return means
