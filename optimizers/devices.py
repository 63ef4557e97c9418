"""Who trains by which policy: one policy for all clients, or tiers of devices with one each.

A client's tier is a function of its key, so that a client is the same device in every round; or that of all clients is a
function of the round.
"""

from collections.abc import Hashable
from collections.abc import Sequence
import dataclasses
import functools

import numpy as np
import tensorflow as tf

from compression import delivery
from compression import groups
from compression import slices
from models import model as model_lib
from optimizers import policies
from optimizers import trainable
from optimizers import unit_keys

# How a variable that nobody ever trains reaches clients: in their first round, before it with what they run, or in each.
BASES = {'once': delivery.HELD, 'preinstalled': delivery.KEPT, 'every_round': delivery.SENT}
_TIER_SEED = 7  # Keeps the draw of a client's tier apart from others that begin at its key.


@dataclasses.dataclass(frozen=True)
class Devices:
  """The tiers of a run.

  Attributes:
    tiers: A policy for each. They differ in what they train, not in the model that results.
    shares: The fraction of clients in each, in (0, 1], summing to 1; or, if `by_round`, of rounds.
    by_round: Whether all clients of a round are of one tier, which the server draws, instead of each of its own.
  """

  tiers: tuple[trainable.Policy, ...] = (policies.All(),)
  shares: tuple[float, ...] = (1.0,)
  by_round: bool = False

  def __post_init__(self):
    check_shares(self.shares)
    if len(self.tiers) != len(self.shares):
      raise ValueError(f'{len(self.shares)} shares for {len(self.tiers)} tiers')
    if len({policy.denominator for policy in self.tiers}) > 1:
      raise ValueError('all tiers need the same denominator: the server divides by one')
    for name in sorted({name for policy in self.tiers for name in policy.of_model}):
      values = [getattr(policy, name) for policy in self.tiers if name in policy.of_model]
      if any(value != values[0] for value in values):
        raise ValueError(f'all tiers need the same {name}, not {values}: it decides the model, of which there is one')

  @property
  def denominator(self) -> str:
    """See `trainable.Policy`; all tiers have the same."""
    return self.tiers[0].denominator

  def adapt(self, model: model_lib.Model) -> model_lib.Model:
    """Returns the model that the server holds: that of the tier with the most parameters."""
    return max((policy.adapt(model) for policy in self.tiers), key=lambda adapted: adapted.num_parameters)

  def tier(self, client_key: tf.Tensor) -> tf.Tensor:
    """Returns the tier of a client that is of the same one in every round, int32 []."""
    return self._drawn(tf.stack([client_key, tf.constant(_TIER_SEED, tf.int64)]))

  def tier_in_round(self, round_seed: tf.Tensor, client_key: tf.Tensor) -> tf.Tensor:
    """Returns the tier of a client in a round, int32 []."""
    return self.tier_of_round(round_seed) if self.by_round else self.tier(client_key)

  def tier_of_round(self, round_seed: tf.Tensor) -> tf.Tensor:
    """Returns the tier of all clients of a round, int32 []; `round_seed` is int64[2], as it is broadcast."""
    return self._drawn(tf.random.experimental.stateless_fold_in(round_seed, tf.constant(_TIER_SEED, tf.int64)))

  def _drawn(self, seed: tf.Tensor) -> tf.Tensor:
    draw = tf.random.stateless_uniform([], seed)
    return tf.reduce_sum(tf.cast(draw >= tf.constant(np.cumsum(self.shares)[:-1], tf.float32), tf.int32))

  def ever(self, model: model_lib.Model, seed: int) -> list[bool]:
    """Returns whether some client may train each variable of the adapted model; raises `ValueError` for none at all."""
    chosen = [any(flag is not False for flag in flags) for flags in self._flags_known_when_traced(model, seed)]
    if not any(chosen):
      raise ValueError('this would train nothing')
    return chosen

  def together(self, model: model_lib.Model, seed: int, chooses_blocks: bool = False) -> tuple[int, ...]:
    """Returns which variables of the adapted model every client trains together: `UpdateCodec.together`.

    Args:
      model: The adapted one.
      seed: The run's.
      chooses_blocks: Whether clients train some of the blocks, each its own.

    Returns:
      For each variable the index of the first of its set, in which the same tiers train all variables. A variable for
      which that is drawn anew is a set by itself.
    """
    sets: dict[Hashable, int] = {}
    numbers = []
    flags_of_tiers = self._flags_known_when_traced(model, seed)
    for index, (variable, flags) in enumerate(zip(model.variables, flags_of_tiers, strict=True)):
      block = variable.block if chooses_blocks and variable.block.startswith('block_') else None
      key = index if None in flags else (flags, block)
      numbers.append(sets.setdefault(key, index) if any(flag is not False for flag in flags) else groups.NEVER)
    return tuple(numbers)

  def rebuilt(self, model: model_lib.Model, seed: int) -> frozenset[str]:
    """Returns the names of variables that never travel; raises `ValueError` if tiers disagree."""
    names = {policy.rebuilt(model, seed) for policy in self.tiers}
    if len(names) > 1:
      raise ValueError('all tiers must freeze the same variables, or they would have to travel')
    return names.pop()

  def kept(self, model: model_lib.Model) -> frozenset[str]:
    """Returns the names of variables that all clients keep from before the first round."""
    return frozenset.intersection(*(policy.kept(model) for policy in self.tiers))

  def deliveries(self, model: model_lib.Model, seed: int) -> tuple[delivery.Delivery, ...]:
    """Returns how each variable of the adapted model reaches clients that receive whole variables.

    Args:
      model: The adapted one.
      seed: The run's.

    Raises:
      ValueError: If tiers disagree, or clients would both keep a variable and make it themselves.
    """
    rebuilt, kept = self.rebuilt(model, seed), self.kept(model)
    if rebuilt & kept:
      raise ValueError(f'clients cannot both keep variables and make them themselves: {sorted(rebuilt & kept)}')
    deliveries, ever = [], self.ever(model, seed)
    for index, variable in enumerate(model.variables):
      if variable.name in rebuilt:
        draw = functools.partial(model.initial_weight, index, seed)
        deliveries.append(delivery.Delivery(delivery.Way.REBUILT, draw))
      elif variable.name in kept:
        deliveries.append(delivery.KEPT)
      else:
        deliveries.append(delivery.SENT if ever[index] else delivery.HELD)
    return tuple(deliveries)

  def layouts(self, model: model_lib.Model) -> tuple[slices.Layout, ...]:
    """Returns how many units each tier holds of those axes of which some tier holds a part."""
    counts = [policy.units(model) for policy in self.tiers]
    totals = {axis: unit_keys.num_units(model, axis) for tier in counts for axis in tier}
    partial = [axis for axis, total in totals.items() if any(tier.get(axis, total) < total for tier in counts)]
    return tuple(slices.Layout({axis: tier.get(axis, totals[axis]) for axis in partial}) for tier in counts)

  def _flags_known_when_traced(self, model: model_lib.Model, seed: int) -> list[tuple[bool | None, ...]]:
    """Returns, for each variable, whether each tier trains it; None where that is drawn anew."""
    return list(zip(*(policy.flags_known_when_traced(model, seed) for policy in self.tiers), strict=True))


def with_base(deliveries: Sequence[delivery.Delivery], base: str) -> tuple[delivery.Delivery, ...]:
  """Returns deliveries in which what clients would hold, since nobody trains it, reaches them as one of `BASES` says."""
  return tuple(BASES[base] if each.way is delivery.Way.HELD else each for each in deliveries)


def check_shares(shares: Sequence[float]) -> None:
  """Raises `ValueError` unless `shares` are positive and sum to 1."""
  numbers = [share for share in shares if isinstance(share, (int, float)) and not isinstance(share, bool) and share > 0]
  if not shares or len(numbers) < len(shares) or abs(sum(shares) - 1.0) > 1e-6:
    raise ValueError(f'shares must be positive and sum to 1, not {list(shares)!r}')


ALIKE = Devices()  # Every client trains everything.
