"""What a learning process must be like for its clients to be added up unseen, and the aggregation that does so."""

from collections.abc import Sequence
import functools

from compression import adaptive
from compression import slices
from compression import update_codec
from compression.secure_sums import modular
from compression.secure_sums import secure_mean
from models import model as model_lib
from optimizers import devices as devices_lib
from optimizers import sendable

_HOLDS_PART = 'a secure sum adds up the same values of all clients, and {} gives a client its own part of the model'


def check(
  shares_state: bool,
  upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec,
  layouts: Sequence[slices.Layout],
  selects: bool,
  client_weighting: str,
) -> None:
  """Raises `ValueError` if what clients send cannot be added up unseen.

  Args:
    shares_state: Whether clients send gradients beside updates.
    upload: Encodes updates.
    layouts: What clients of each tier hold.
    selects: Whether clients choose what they hold.
    client_weighting: What an update counts in the mean.
  """
  if shares_state:
    raise ValueError(
      'a secure sum has one grid for all values, and mime_lite sends gradients too: use another algorithm'
    )
  if selects:
    raise ValueError(f'{_HOLDS_PART.format("select")}: leave out --download=select(...)')
  if slices.largest_counts(layouts):
    raise ValueError(f'{_HOLDS_PART.format("a width, or a rank by tier or round,")}: use suffix, random, or one rank')
  if client_weighting != 'uniform':
    raise ValueError(
      'a secure sum cannot weigh clients by their examples, which it does not see: use --client_weighting=uniform'
    )
  _check_codec(upload)


def _check_codec(upload: update_codec.UpdateCodec | adaptive.AdaptiveCodec) -> None:
  if isinstance(upload, adaptive.AdaptiveCodec):
    raise ValueError(
      'a secure sum has one grid for all, and this upload has ranges of each client: use hadamard or none'
    )
  for codec in (upload.codec, upload.small):
    if codec.not_linear:
      raise ValueError(
        f'what {codec.not_linear} leaves cannot be added up unseen, since it has a range, positions or a code of each '
        'client: the secure sum rounds by itself; use identity, hadamard or randk(shared=True)'
      )


def build_aggregation(
  plan: modular.SumPlan,
  upload: update_codec.UpdateCodec,
  model: model_lib.Model,
  devices: devices_lib.Devices,
  seed: int,
  measure_distortion: bool,
  together: Sequence[int],
) -> secure_mean.SecureMeanFactory:
  """Returns the aggregation of rounds that are not private.

  Args:
    plan: Grid and field.
    upload: Encodes updates.
    model: The adapted one.
    devices: Which client trains which part.
    seed: The run's, from which policies draw.
    measure_distortion: Whether clients decode what they send.
    together: Which variables clients train together always.

  Returns:
    The factory.
  """
  return secure_mean.SecureMeanFactory(
    upload,
    plan,
    functools.partial(sendable.could_send_in, model, devices, seed),
    measure_distortion,
    model.variables,
    devices.denominator,
    together,
  )
