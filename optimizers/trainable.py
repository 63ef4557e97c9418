"""What a client trains: a policy over a model's named variables.

A policy answers, for one client in one round, which variables it trains. An answer of plain booleans is known when the
client's graph is built: what is not trained then costs no gradient, no optimizer state and, below the first trained
layer, no stored activation. An answer of boolean tensors is drawn when the graph runs, for each client anew.
"""

import abc
from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from models import model as model_lib
from optimizers import depth_dropout as depth_dropout_lib
from optimizers import local_optimizer


class Seeds(NamedTuple):
  """From where a policy may draw.

  Attributes:
    run: The seed of the whole run.
    round_seed: int64[2], equal for all clients of a round.
    client_seed: int64[2], of one client in one round.
  """

  run: int
  round_seed: tf.Tensor
  client_seed: tf.Tensor


class Policy(abc.ABC):
  """Which variables a client trains, and in which shape.

  Attributes:
    rolling: Whether the units that a client holds move on by one key each round, instead of being the first ones.
    denominator: `trained` divides a variable's sum by the weight of the clients that trained it, `all` by that of all.
    depth_dropout: Which of the blocks that a client does not train it leaves out.
    of_model: The names of what decides the adapted model and no client's part of it, so that all tiers have it in common.
  """

  rolling: bool = False
  denominator: str = 'trained'
  depth_dropout: depth_dropout_lib.DepthDropout = depth_dropout_lib.NONE
  of_model: tuple[str, ...] = ()

  @abc.abstractmethod
  def choose(self, model: model_lib.Model, seeds: Seeds) -> Sequence[local_optimizer.TrainedFlag]:
    """Returns whether each variable of the adapted model is trained; raises `ValueError` if the policy does not fit."""

  def adapt(self, model: model_lib.Model) -> model_lib.Model:
    """Returns the model that is trained: with adapters beside its kernels, for example."""
    return model

  def rebuilt(self, model: model_lib.Model, seed: int) -> frozenset[str]:
    """Returns the names of variables that keep their initial value for the whole training.

    They travel in neither direction, since clients draw them from the seed.

    Args:
      model: The adapted one.
      seed: The run's.
    """
    del model, seed
    return frozenset()

  def kept(self, model: model_lib.Model) -> frozenset[str]:
    """Returns the names of those that clients keep from before the first round and nobody trains; they never travel."""
    del model
    return frozenset()

  def units(self, model: model_lib.Model) -> Mapping[str, int]:
    """Returns how many units of each axis of the adapted model a client holds; of axes not named it holds all."""
    del model
    return {}

  def flags_known_when_traced(self, model: model_lib.Model, seed: int) -> list[bool | None]:
    """Returns whether a client trains each variable of the adapted model; None where that is drawn in each round.

    Raises:
      ValueError: If the policy does not fit the model, or chooses for more variables, or fewer, than it has.
    """
    with tf.Graph().as_default():
      drawn = tf.constant([0, 0], tf.int64)
      flags = self.choose(model, Seeds(seed, drawn, drawn))
    is_list = isinstance(flags, Sequence | np.ndarray)
    if not is_list or len(flags) != len(model.variables):
      chosen = f'for {len(flags)} variables' if is_list else f'by {type(flags).__name__}'
      raise ValueError(
        f'policy {type(self).__name__} chooses {chosen}, but the model has {len(model.variables)} variables: choose has to '
        'return a list with a flag for each of model.variables'
      )
    return [None if tf.is_tensor(flag) else bool(flag) for flag in flags]
