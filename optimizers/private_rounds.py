"""What a learning process must be like for its rounds to be private, and what its clients could send in one."""

from collections.abc import Sequence
import dataclasses
import functools
from typing import Any

import tensorflow as tf

from compression import adaptive
from compression import broadcast
from compression import update_codec
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import private_mean
from models import model as model_lib
from optimizers import devices as devices_lib
from optimizers import randomness
from optimizers import trainable


def check(
  shares_state: bool,
  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec,
  devices: devices_lib.Devices,
  client_weighting: str,
) -> None:
  """Raises `ValueError` if clients could move the result by more than their bound.

  Args:
    shares_state: Whether clients send gradients beside updates.
    upload: Encodes updates.
    devices: Which client trains which part.
    client_weighting: What an update counts in the mean.
  """
  if shares_state:
    raise ValueError('privacy bounds one update of a client, and mime_lite sends gradients too: use another algorithm')
  if isinstance(upload, adaptive.AdaptiveCodec):
    raise ValueError(
      'privacy needs an upload that does not change from round to round, since votes of clients tell of their data: use '
      'another one'
    )
  if client_weighting != 'uniform':
    raise ValueError(
      'privacy needs clients that count alike: by its examples, one could count more than its bound; use '
      '--client_weighting=uniform'
    )
  for policy in devices.tiers:
    chosen = {field.name for field in dataclasses.fields(policy)} if dataclasses.is_dataclass(policy) else ()
    if 'denominator' in chosen and policy.denominator == 'trained':
      raise ValueError(
        'privacy divides by a number that does not depend on who takes part: use denominator="all" in --trainable, or a '
        'policy that has no denominator'
      )


def build_aggregation(
  mechanism: mechanism_lib.Mechanism,
  upload: update_codec.UpdateCodec,
  model: model_lib.Model,
  devices: devices_lib.Devices,
  seed: int,
  **shape: Any,
) -> private_mean.PrivateMeanFactory:
  """Returns the aggregation of private rounds.

  Args:
    mechanism: What makes rounds private, whatever clients could send.
    upload: Encodes updates.
    model: The adapted one.
    devices: Which client trains which part.
    seed: The run's, from which policies draw.
    **shape: What both `PrivateMeanFactory` and `partial_mean.PartialMeanFactory` take.

  Returns:
    The factory.
  """
  could_send = functools.partial(could_send_in, model, devices, seed)
  return private_mean.PrivateMeanFactory(
    upload,
    dataclasses.replace(mechanism, could_send=could_send),
    fixed_units=shape['units_per_key'] is None and not any(policy.rolling for policy in devices.tiers),
    **shape,
  )


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
  round_seed = randomness.round_seed(broadcast.round_seed(seed, round_number), randomness.Purpose.TRAINABLE)
  own_seed = tf.constant([0, 0], tf.int64)
  of_tiers = [policy.choose(model, trainable.Seeds(seed, round_seed, own_seed)) for policy in devices.tiers]
  return [
    _any([flag if not tf.is_tensor(flag) else _of_round(flag, own_seed) for flag in flags])
    for flags in zip(*of_tiers, strict=True)
  ]


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


def _any(flags: Sequence[bool | tf.Tensor]) -> bool | tf.Tensor:
  drawn = [flag for flag in flags if tf.is_tensor(flag)]
  if any(bool(flag) for flag in flags if not tf.is_tensor(flag)):
    return True
  return tf.reduce_any(tf.stack(drawn)) if drawn else False
