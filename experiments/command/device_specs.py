"""From the texts of `--trainable` and `--devices` to who trains what.

    --trainable='random(fraction=0.4)'
    --trainable='suffix(blocks=1)' --devices='tiers(shares=[0.5, 0.5], blocks=[1, 3])'

    --trainable='lora(rank=8)' --devices='rounds(shares=[0.5, 0.5], rank=[2, 8])'

An argument of `tiers`, other than its shares, is an argument of the policy with a value for each tier; with `rounds` all
clients of a round are of one tier, drawn by the server.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from experiments.command import given_objects
from experiments.command import object_names
from experiments.command import spec
from models import model as model_lib
from optimizers import catalog
from optimizers import devices as devices_lib
from optimizers import trainable as trainable_lib

_DEVICES = ('alike', 'tiers', 'rounds')


def build(
  trainable: Any, devices: Any = 'alike', policies: Mapping[str, Callable[..., Any]] = catalog.POLICIES
) -> devices_lib.Devices:
  """Builds the tiers of a run.

  Args:
    trainable: A policy, for example `random(fraction=0.4)`; from a script also the policy itself.
    devices: `alike`, `tiers(shares=[...], ...)` or `rounds(shares=[...], ...)`; from a script also the devices themselves.
    policies: Those that there are, by name.

  Returns:
    The devices.

  Raises:
    SpecError: For whatever cannot be built.
  """
  if given_objects.is_one(devices):
    if trainable != 'all':
      raise spec.SpecError(f'trainable={trainable!r} does not apply: the devices that are given say what they train')
    return spec.checked(devices, devices_lib.Devices, 'devices')
  call = _single(devices, 'devices')
  if given_objects.is_one(trainable):
    return _alike(spec.checked(trainable, trainable_lib.Policy, 'trainable'), call)
  policy = _single(trainable, 'trainable')
  if call.name not in _DEVICES:
    raise spec.SpecError(f'unknown devices {call.name!r}; choose one of {", ".join(_DEVICES)}')
  if call.name == 'alike':
    return _alike(spec.build_call(policy, policies, 'trainable'), call)
  arguments = dict(call.arguments)
  shares = arguments.pop('shares', None)
  _check_lists(devices, shares, arguments)
  tiers = [
    spec.Call(policy.name, policy.arguments | {name: values[index] for name, values in arguments.items()})
    for index in range(len(shares))
  ]
  built = tuple(spec.build_call(tier, policies, 'trainable') for tier in tiers)
  return _or_refused(lambda: devices_lib.Devices(built, tuple(shares), call.name == 'rounds'), devices)


def adapt(devices: devices_lib.Devices, model: model_lib.Model, seed: int, text: str) -> model_lib.Model:
  """Returns the model that `devices` train, once they are found to fit it.

  Args:
    devices: Made by `build`.
    model: The model as `--model` names it.
    seed: The run's.
    text: The spec, for messages.

  Returns:
    The adapted model.

  Raises:
    SpecError: If a policy does not fit the model, or would train nothing.
  """

  def fit() -> model_lib.Model:
    adapted = devices.adapt(model)
    devices.ever(adapted, seed)
    devices.rebuilt(adapted, seed)
    devices.layouts(adapted)
    return adapted

  return _or_refused(fit, text)


def _alike(policy: trainable_lib.Policy, call: spec.Call) -> devices_lib.Devices:
  if call.name != 'alike':
    raise spec.SpecError(f'devices {spec.text(call)!r} gives tiers arguments of a named policy: give Devices instead')
  return devices_lib.Devices((policy,), (1.0,))


def _single(text: str, what: str) -> spec.Call:
  calls = spec.parse(text)
  if len(calls) > 1:
    raise spec.SpecError(f"{what} {text!r}: '|' does not apply here")
  return calls[0]


def _check_lists(text: str, shares: Any, arguments: dict[str, Any]) -> None:
  if not isinstance(shares, (list, tuple)) or not shares:
    raise spec.SpecError(f'devices {text!r} needs shares=[...]: the fraction of clients, or of rounds, in each tier')
  for name, values in arguments.items():
    if not isinstance(values, (list, tuple)) or len(values) != len(shares):
      raise spec.SpecError(f'devices {text!r}: {name} must be a list of {len(shares)} values, one for each tier')


def _or_refused(make: Callable[[], Any], text: str) -> Any:
  try:
    return make()
  except ValueError as error:
    told = object_names.called(text) if given_objects.is_one(text) else repr(text)
    raise spec.SpecError(f'{told}: {error}') from error
