"""By what the sum of updates is divided: the weights of clients, for each variable, and for each unit if clients hold parts.

    trained:  mean_vj = sum_k w_k delta_kvj / sum_k w_k     both over the clients k that trained v and held unit j
    all:      mean_vj = the same sum / sum_k w_k            over all clients k

`trained` is the mean of those who know; `all` shrinks the step of what few clients train. What nobody trained is 0.
"""

import collections
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from compression import slices
from compression import sub_models as sub_models_lib

CHOICES = ('trained', 'all')


class Denominators:
  """Sums of clients' weights: a structure of float32 tensors that may be added up."""

  def __init__(self, sub_models: sub_models_lib.SubModels, choice: str = 'trained'):
    """Takes the sub-models that clients may have, and one of `CHOICES`."""
    self._sub_models = sub_models
    self._choice = choice

  def zero(self) -> collections.OrderedDict[str, Any]:
    """Returns the sums over no clients.

    `clients` [] is over all, `variables` [n] over those that trained each variable, and `units` [count] each, for every
    sliced variable, over those that trained it and held each unit.
    """
    variables = self._sub_models.variables
    return collections.OrderedDict(
      clients=tf.constant(0.0),
      variables=tf.zeros([len(variables)]),
      units=tuple(tf.zeros([variables[index].units.count]) for index in self._sub_models.sliced),
    )

  def add(
    self, sums: Mapping[str, Any], weight: tf.Tensor, trained: tf.Tensor, held: Mapping[str, tf.Tensor]
  ) -> collections.OrderedDict[str, Any]:
    """Adds a client.

    Args:
      sums: Those so far.
      weight: float32 [].
      trained: bool [n]: the variables that the client trained.
      held: float32 [count] for each axis, as of `SubModels.held`.

    Returns:
      The sums with the client.
    """
    weights = weight * tf.cast(trained, tf.float32)
    axes = [self._sub_models.variables[index].units.axis for index in self._sub_models.sliced]
    return collections.OrderedDict(
      clients=sums['clients'] + weight,
      variables=sums['variables'] + weights,
      units=tuple(
        of_units + weights[index] * held[axis]
        for index, axis, of_units in zip(self._sub_models.sliced, axes, sums['units'], strict=True)
      ),
    )

  def mean(self, sums: Mapping[str, Any], tensors: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """Divides the weighted sums of the clients' updates, one tensor for each variable."""
    of_units = dict(zip(self._sub_models.sliced, sums['units'], strict=True))
    means = []
    for index, (variable, tensor) in enumerate(zip(self._sub_models.variables, tensors, strict=True)):
      if self._choice == 'all':
        denominator = sums['clients']
      elif index in of_units:
        denominator = slices.spread(of_units[index], variable.units, variable.shape)
      else:
        denominator = sums['variables'][index]
      means.append(tf.math.divide_no_nan(tensor, denominator))
    return tuple(means)

  def trained(self, sums: Mapping[str, Any]) -> tf.Tensor:
    """Returns which variables a client of positive weight trained: bool [n]."""
    return sums['variables'] > 0.0

  def trained_units(self, sums: Mapping[str, Any]) -> tuple[tf.Tensor, ...]:
    """Returns which units of each sliced variable a client of positive weight held and trained: bool [count] each."""
    return tuple(of_units > 0.0 for of_units in sums['units'])
