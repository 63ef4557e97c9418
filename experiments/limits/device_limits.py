"""What devices allow: the limits of `--devices='tiers(shares=[0.3, 0.7], memory_mb=[8, 30], upload_mb=[1, 4], gflops=[20, 90])'`."""

from typing import Any
from typing import NamedTuple

from experiments.command import failures
from experiments.command import given_objects
from experiments.command import spec
from optimizers import client_costs
from optimizers import devices as devices_lib

_UNITS = {  # Limits and what they bound: (what it is called, what it is measured in, of a cost)
  'memory_mb': ('memory', 'MB', lambda cost: cost.modelled_memory_bytes / 1e6),
  'upload_mb': ('upload', 'MB', lambda cost: cost.upload_bytes / 1e6),
  'gflops': ('operations', 'GFLOP', lambda cost: cost.flops / 1e9),
}


class Tier(NamedTuple):
  """A kind of device.

  Attributes:
    number: From 0.
    share: Fraction of the clients, in (0, 1].
    limits: On a round: peak `memory_mb`, `upload_mb` and `gflops`, those that there are.
  """

  number: int
  share: float
  limits: dict[str, float]

  def __str__(self) -> str:
    return f'tier {self.number} ({self.share:.0%} of the clients)'

  def exceeded(self, cost: client_costs.ClientCost) -> list[str]:
    """Names the limits that a cost exceeds, none if the device can bear it; raises `UsageError` if that is unknown."""
    found = []
    for name, limit in self.limits.items():
      what, unit, value = _UNITS[name]
      if name == 'upload_mb' and cost.upload_bytes is None:
        raise failures.UsageError(
          'upload_mb needs an --upload of fixed size: leave out entropy coders and rate_distortion'
        )
      if value(cost) > limit:
        found.append(f'{value(cost):.7g} {unit} of {what} where {name} allows {limit:.7g}')
    return found


def build(text: Any) -> tuple[Tier, ...]:
  """Builds the tiers that `--devices` names.

  Args:
    text: `tiers(shares=[...], ...)` with a list for each limit, a value for each tier; from a script also a list of tiers.

  Returns:
    The tiers.

  Raises:
    SpecError: For anything else.
  """
  if given_objects.is_one(text):
    return _checked(text)
  calls = spec.parse(text)
  call = calls[0]
  if len(calls) > 1 or call.name != 'tiers':
    raise spec.SpecError(f'devices {text!r}: write tiers(shares=[...], {"=[...], ".join(_UNITS)}=[...])')
  limits = dict(call.arguments)
  shares = limits.pop('shares', None)
  try:
    devices_lib.check_shares(shares if isinstance(shares, (list, tuple)) else ())
  except ValueError as error:
    raise spec.SpecError(f'devices {text!r}: {error}') from error
  for name, values in limits.items():
    _check(text, name, values, len(shares))
  return tuple(
    Tier(number, share, {name: float(values[number]) for name, values in limits.items()})
    for number, share in enumerate(shares)
  )


def _checked(tiers: Any) -> tuple[Tier, ...]:
  """Returns tiers of a script; raises `SpecError` unless they are sound, by the same rules as a text's."""
  tiers = tiers if isinstance(tiers, list) else [tiers]
  for tier in tiers:
    spec.checked(tier, Tier, 'devices, as a list,')
    spec.checked(tier.limits, dict, f'what limits tier {tier.number}')
  names = dict.fromkeys(name for tier in tiers for name in tier.limits)
  if missing := [f'tier {tier.number} has no {name}' for tier in tiers for name in names if name not in tier.limits]:
    raise spec.SpecError(f'devices: {missing[0]}, which another limits: limit all tiers by the same')
  if [tier.number for tier in tiers] != list(range(len(tiers))):
    raise spec.SpecError(f'devices: tiers are numbered from 0 on, not {[tier.number for tier in tiers]}')
  arguments = {name: [tier.limits[name] for tier in tiers] for name in names}
  return build(spec.text(spec.Call('tiers', dict(shares=[tier.share for tier in tiers]) | arguments)))


def _check(text: str, name: str, values: Any, num_tiers: int) -> None:
  if name not in _UNITS:
    raise spec.SpecError(f'devices {text!r}: {name!r} is no limit; limits are {", ".join(_UNITS)}')
  if not isinstance(values, (list, tuple)) or len(values) != num_tiers:
    raise spec.SpecError(f'devices {text!r}: {name} must be a list of {num_tiers} values, one for each tier')
  for value in values:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
      raise spec.SpecError(f'devices {text!r}: {name} holds {value!r}, which is no number above 0')
