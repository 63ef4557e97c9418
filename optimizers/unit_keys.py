"""Keys of federated select: each stands for a few neighbouring units of an axis, because every key costs time."""

import decimal

import tensorflow as tf

from models import model as model_lib

# Units per key; one for all other axes. A key costs the server 50 to 150 us, nearly whatever it stands for. Neurons are
# drawn at random, so that groups lose nothing. Sub-words are not: of a client's tokens 500 rows by single keys cover
# more than 1,000 rows by keys of 4, for half the bytes (`python -m experiments.benchmark --what=select`).
_PREFERRED = {'neurons': 16}


def units_per_key(model: model_lib.Model, axis: str) -> int:
  """Returns how many units a key stands for: the preferred number where it divides the axis, else one."""
  preferred = _PREFERRED.get(axis, 1)
  return preferred if num_units(model, axis) % preferred == 0 else 1


def num_keys(model: model_lib.Model, axis: str) -> int:
  """Returns how many keys an axis has."""
  return num_units(model, axis) // units_per_key(model, axis)


def whole_keys(model: model_lib.Model, axis: str, fraction: float) -> int:
  """Returns how many units a fraction of an axis is: those of the nearest whole number of keys, at least one key.

  Halves go up, and a fraction is the decimal that is written: of 4 heads .375, 1.5 of them, makes 2, .5 makes 2 and .625
  makes 3; .145 of 100 neurons makes 15. A larger fraction is never fewer units.

  Args:
    model: With units of this axis.
    axis: Its name.
    fraction: In (0, 1].

  Returns:
    The number of units, a multiple of `units_per_key`.

  Raises:
    ValueError: See `num_units`.
  """
  # The float nearest to .145 lies below it.
  keys = decimal.Decimal(str(float(fraction))) * num_keys(model, axis)
  nearest = int(keys.to_integral_value(decimal.ROUND_HALF_UP))
  return max(1, nearest) * units_per_key(model, axis)


def units_of(model: model_lib.Model, axis: str, keys: tf.Tensor) -> tf.Tensor:
  """Returns the units of int32 keys [n]: int32 [n * units per key]."""
  size = units_per_key(model, axis)
  return tf.reshape(keys[:, tf.newaxis] * size + tf.range(size), [-1])


def num_units(model: model_lib.Model, axis: str) -> int:
  """Returns how many units the model has along an axis; raises `ValueError` for none, or if variables disagree."""
  counts = {variable.units.count for variable in model.variables if variable.units and variable.units.axis == axis}
  if not counts:
    raise ValueError(f'the model has no {axis} of which a client could hold a part')
  if len(counts) > 1:
    raise ValueError(f'variables have {sorted(counts)} {axis}: one set of keys cannot fit them all')
  return counts.pop()
