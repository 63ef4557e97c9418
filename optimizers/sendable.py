"""What clients could send in a round, whoever takes part: what gets noise in private rounds, and travels in secure sums."""

from collections.abc import Sequence

import tensorflow as tf

from compression import broadcast
from compression import slices
from models import model as model_lib
from optimizers import devices as devices_lib
from optimizers import randomness
from optimizers import trainable


def could_send_in(
  model: model_lib.Model, devices: devices_lib.Devices, seed: int, round_number: tf.Tensor
) -> list[bool | tf.Tensor]:
  """Returns whether any client could train each variable in a round, whoever takes part.

  Args:
    model: The adapted one.
    devices: Which client trains which part.
    seed: The run's.
    round_number: int64 [], from 1, in a graph.

  Returns:
    A plain bool where that is known before the round, else bool []. What a policy draws from a client's own seed, any
    client could train.
  """
  seed_of_round = broadcast.round_seed(seed, round_number)
  round_seed = randomness.round_seed(seed_of_round, randomness.Purpose.TRAINABLE)
  own_seed = tf.constant([0, 0], tf.int64)
  of_tiers = [policy.choose(model, trainable.Seeds(seed, round_seed, own_seed)) for policy in devices.tiers]
  sent = [
    [flag if not tf.is_tensor(flag) else _of_round(flag, own_seed) for flag in flags]
    for flags in zip(*of_tiers, strict=True)
  ]
  if not devices.by_round:
    return [_any(flags) for flags in sent]
  tier = devices.tier_of_round(seed_of_round)
  return [_of_tier(flags, tier) for flags in sent]


def units_in(
  devices: devices_lib.Devices, layouts: Sequence[slices.Layout], seed: int, round_number: tf.Tensor
) -> dict[str, tf.Tensor]:
  """Returns how many of the first units clients of a round hold at most, of each axis that some hold in part.

  Args:
    devices: Which client trains which part.
    layouts: What clients of each tier hold.
    seed: The run's.
    round_number: int64 [], from 1, in a graph.

  Returns:
    int32 [] for each axis.
  """
  largest = slices.largest_counts(layouts)
  if not devices.by_round:
    return {axis: tf.constant(count) for axis, count in largest.items()}
  tier = devices.tier_of_round(broadcast.round_seed(seed, round_number))
  return {axis: tf.gather([layout.counts[axis] for layout in layouts], tier) for axis in largest}


def _of_round(flag: tf.Tensor, own_seed: tf.Tensor) -> bool | tf.Tensor:
  """Returns the flag where it is equal for all clients, and True where it depends on a client's own seed."""
  seen, ahead = set(), [flag.op]
  while ahead:
    operation = ahead.pop()
    if operation is own_seed.op:
      return True
    if operation not in seen:
      seen.add(operation)
      ahead += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
  return flag


def _of_tier(flags: Sequence[bool | tf.Tensor], tier: tf.Tensor) -> bool | tf.Tensor:
  if not any(tf.is_tensor(flag) for flag in flags) and len(set(map(bool, flags))) == 1:
    return bool(flags[0])
  return tf.gather(tf.stack([tf.convert_to_tensor(flag, tf.bool) for flag in flags]), tier)


def _any(flags: Sequence[bool | tf.Tensor]) -> bool | tf.Tensor:
  drawn = [flag for flag in flags if tf.is_tensor(flag)]
  if any(bool(flag) for flag in flags if not tf.is_tensor(flag)):
    return True
  return tf.reduce_any(tf.stack(drawn)) if drawn else False
