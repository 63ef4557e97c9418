"""What a learning process must be like for its rounds to be private."""

import dataclasses
import functools
from typing import Any

from compression import adaptive
from compression import update_codec
from compression.privacy import mechanism as mechanism_lib
from compression.privacy import private_mean
from compression.secure_sums import modular
from models import model as model_lib
from optimizers import devices as devices_lib
from optimizers import sendable


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
  secure_sum: modular.SumPlan | None,
  **shape: Any,
) -> private_mean.PrivateMeanFactory:
  """Returns the aggregation of private rounds.

  Args:
    mechanism: What makes rounds private, whatever clients could send.
    upload: Encodes updates.
    model: The adapted one.
    devices: Which client trains which part.
    seed: The run's, from which policies draw.
    secure_sum: How clients are added up without being seen; None if they are seen.
    **shape: What both `PrivateMeanFactory` and `partial_mean.PartialMeanFactory` take.

  Returns:
    The factory.
  """
  could_send = functools.partial(sendable.could_send_in, model, devices, seed)
  chooses = shape['units_per_key'] is not None or any(policy.rolling for policy in devices.tiers)
  held_units = None if chooses else functools.partial(sendable.units_in, devices, shape['layouts'], seed)
  return private_mean.PrivateMeanFactory(
    upload,
    dataclasses.replace(mechanism, could_send=could_send, held_units=held_units),
    secure_sum=secure_sum,
    **shape,
  )
