"""What a client trains: a policy over a model's named variables.

A policy answers, for one client in one round, which variables it trains. An answer of plain booleans is known when the
client's graph is built: what is not trained then costs no gradient, no optimizer state and, below the first trained
layer, no stored activation. An answer of boolean tensors is drawn when the graph runs, for each client anew.
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
from typing import NamedTuple

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


def _same(model: model_lib.Model) -> model_lib.Model:
  return model


@dataclasses.dataclass(frozen=True)
class Policy:
  """Which variables a client trains, and in which shape.

  Attributes:
    choose: From (adapted model, seeds) to whether each variable is trained.
    adapt: From the model to the one that is trained: with adapters beside its kernels, for example.
    rebuilt: From the adapted model and the run's seed to the names of variables that keep their initial value for the
      whole training; they travel in neither direction, since clients draw them from the seed.
    held: From the adapted model to the names of variables that clients keep from before the first round and that nobody
      trains; they travel in neither direction.
    units: From the adapted model to the number of units of each axis that a client holds; of the others it holds all.
    rolling: Whether these units move on by one key each round, instead of being the first ones.
    denominator: `trained` divides a variable's sum by the weight of the clients that trained it, `all` by that of all.
    depth_dropout: Which of the blocks that a client does not train it leaves out.
  """

  choose: Callable[[model_lib.Model, Seeds], Sequence[local_optimizer.Trained]]
  adapt: Callable[[model_lib.Model], model_lib.Model] = _same
  rebuilt: Callable[[model_lib.Model, int], frozenset[str]] = lambda model, seed: frozenset()
  held: Callable[[model_lib.Model], frozenset[str]] = lambda model: frozenset()
  units: Callable[[model_lib.Model], Mapping[str, int]] = lambda model: {}
  rolling: bool = False
  denominator: str = 'trained'
  depth_dropout: depth_dropout_lib.DepthDropout = depth_dropout_lib.NONE


def known_flags(policy: Policy, model: model_lib.Model, seed: int) -> list[bool | None]:
  """Returns whether a client of this policy trains each variable of the adapted model; None where that is drawn anew."""
  with tf.Graph().as_default():
    drawn = tf.constant([0, 0], tf.int64)
    flags = policy.choose(model, Seeds(seed, drawn, drawn))
  return [None if tf.is_tensor(flag) else bool(flag) for flag in flags]
