"""Which model, and which part of it on which device: the depth that lets devices train the most layers on average.

    for each depth A:  t_d(A) = the most of A that device d can train within its limits
    A* = argmax over A of the mean over devices of t_d(A)

Pfeiffer et al. 2024 (arXiv 2411.07826) for suffixes; the same rule serves what they are compared with. A plan is three
specs, so that a run of language by it is a run of `experiments.language_model` too.
"""

import bisect
from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools
import math

from data import progress
from experiments.command import device_specs
from experiments.command import failures
from experiments.command import spec
from experiments.limits import device_limits
from experiments.limits import methods
from experiments.limits import model_family
from experiments.results import markdown_table
from models import model as model_lib
from optimizers import client_costs

Size = float | int | None
Sizes = tuple[Size, ...]  # One for each tier.
Cost = Callable[[int, Sizes, int], client_costs.ClientCost]  # Of a round: from the depth, the sizes, and the tier.


@dataclasses.dataclass(frozen=True)
class Fit:
  """What a device trains of a model.

  Attributes:
    tier: The device.
    policy: A spec of `--trainable`; None if it is left out.
    layers: How many layers count as trained.
    cost: What a round costs it; None if it is left out.
  """

  tier: device_limits.Tier
  policy: str | None
  layers: float
  cost: client_costs.ClientCost | None


@dataclasses.dataclass(frozen=True)
class DevicePlan:
  """A model, and what each tier trains of it.

  Attributes:
    depth: Blocks of the model.
    model: Its spec.
    trainable: The spec of what is trained, but for what differs by tier.
    devices: The spec of the tiers.
    fits: One for each tier.
    considered: For each depth the mean number of trained layers, or why it was ruled out.
  """

  depth: int
  model: str
  trainable: str
  devices: str
  fits: tuple[Fit, ...]
  considered: dict[int, float | str]

  @property
  def dropped(self) -> frozenset[int]:
    """The numbers of the tiers whose clients take no part."""
    return frozenset(fit.tier.number for fit in self.fits if fit.policy is None)


def choose(
  family: model_family.ModelFamily,
  method: methods.Method,
  tiers: Sequence[device_limits.Tier],
  cost: Cost,
) -> DevicePlan:
  """Finds the plan; of depths that are equally good the smallest.

  Args:
    family: The models.
    method: What is trained of them.
    tiers: The devices.
    cost: See `costs`.

  Returns:
    The plan.

  Raises:
    UsageError: If some device cannot bear any depth, with its limit.
  """
  searches = {depth: _Search(method, depth, tiers, cost) for depth in family.depths}
  considered = {}
  with progress.Progress('model', len(searches), task='what devices can bear') as bar:
    for depth, search in searches.items():
      considered[depth] = search.ruled_out or search.mean_layers
      bar.advance()
  possible = [depth for depth in family.depths if not searches[depth].ruled_out]
  if not possible:
    remedy = '' if method.drops else ', or leave such devices out by its argument drop=True'
    raise failures.UsageError(
      f'no model is small enough: {considered[family.depths[0]]}; raise that limit, choose another --trainable{remedy}'
    )
  depth = max(possible, key=lambda each: considered[each])
  chosen = searches[depth]
  devices = _devices(method, tiers, chosen.sizes)
  return DevicePlan(depth, family.spec(depth), method.policy, devices, chosen.fits(), considered)


def costs(
  family: model_family.ModelFamily,
  method: methods.Method,
  tiers: Sequence[device_limits.Tier],
  workload: client_costs.ClientWorkload,
  build: Callable[[str], model_lib.Model],
) -> Cost:
  """Returns the costs of a method, each of which takes a second to find and so is found once.

  Args:
    family: The models.
    method: What is trained of them.
    tiers: The devices.
    workload: How.
    build: From the spec of a model to the model.

  Returns:
    The costs; they raise `UsageError` for what has none.
  """

  @functools.cache
  def cost(depth: int, sizes: Sizes, tier: int) -> client_costs.ClientCost:
    devices = device_specs.build(method.policy, _devices(method, tiers, sizes))
    try:
      return client_costs.client_cost(devices, tier, build(family.spec(depth)), workload)
    except ValueError as error:
      raise failures.UsageError(f'{method.text(sizes[tier])} has no cost to hold against limits: {error}') from error

  return cost


def table(plan: DevicePlan) -> str:
  """Renders the plan: what was considered, and what each tier trains against what it allows."""
  considered = [
    [str(depth), result if isinstance(result, str) else f'{result:.2f}' + (' (chosen)' if depth == plan.depth else '')]
    for depth, result in plan.considered.items()
  ]
  rows = []
  for fit in plan.fits:
    limits = ', '.join(f'{name}={value:g}' for name, value in fit.tier.limits.items()) or 'none'
    rows.append([str(fit.tier), limits, fit.policy or 'left out', *_numbers(fit.cost)])
  header = [
    'tier',
    'limits',
    'trains',
    'memory MB (modelled)',
    'upload MB',
    'GFLOP (modelled), client with the most examples',
  ]
  parts = [
    markdown_table.render(['blocks', 'mean number of layers that devices train'], considered),
    markdown_table.render(header, rows),
  ]
  if not plan.dropped:
    parts.append(f'In specs: --model={plan.model!r} --trainable={plan.trainable!r} --devices={plan.devices!r}')
  return '\n\n'.join(parts)


def _numbers(cost: client_costs.ClientCost | None) -> list[str]:
  if cost is None:
    return ['', '', '']
  upload = 'varies' if cost.upload_bytes is None else f'{cost.upload_bytes / 1e6:.3f}'
  return [f'{cost.modelled_memory_bytes / 1e6:.2f}', upload, f'{cost.flops / 1e9:.1f}']


def _devices(method: methods.Method, tiers: Sequence[device_limits.Tier], sizes: Sizes) -> str:
  """Returns the spec of `--devices`."""
  arguments = dict(shares=[tier.share for tier in tiers])
  if method.argument:
    arguments[method.argument] = list(sizes)
  return spec.text(spec.Call('tiers', arguments))


def _sizes(method: methods.Method, depth: int) -> list[Size]:
  """Returns the sizes of a method; raises `UsageError` if there are none."""
  sizes = method.sizes(depth) if callable(method.sizes) else None
  if not isinstance(sizes, Sequence) or not sizes:
    raise failures.UsageError(f'the method {method.policy} has no list of sizes for {depth} blocks: let it give one')
  return list(sizes)


class _Search:
  """Fits a method to devices, on a model of one depth."""

  def __init__(
    self,
    method: methods.Method,
    depth: int,
    tiers: Sequence[device_limits.Tier],
    cost: Cost,
  ):
    self._method, self._depth, self._tiers = method, depth, tiers
    self._cost = functools.partial(cost, depth)
    self._sizes = _sizes(method, depth)

  @functools.cached_property
  def _borne(self) -> tuple[int, ...]:
    """How many of the sizes each device can bear; of methods that treat all alike, as many as the weakest one."""
    found = [self._num_borne(tier) for tier in self._tiers]
    least = min((number for number in found if number), default=0)
    return tuple(number and least for number in found) if self._method.alike else tuple(found)

  @functools.cached_property
  def ruled_out(self) -> str:
    """Why devices cannot train this depth; nothing if they can."""
    out = [tier for tier, number in zip(self._tiers, self._borne, strict=True) if not number]
    is_possible = len(out) < len(self._tiers) if self._method.drops else not out
    return '' if is_possible else self._refusal(out)

  @property
  def mean_layers(self) -> float:
    """How many layers devices train on average; those left out none."""
    return sum(tier.share * self._layers(number) for tier, number in zip(self._tiers, self._borne, strict=True))

  @property
  def sizes(self) -> Sizes:
    """The size of each tier; that of tiers left out, whose clients take no part, is the least of the others'."""
    least = min(number for number in self._borne if number)
    return tuple(self._sizes[(number or least) - 1] for number in self._borne)

  def fits(self) -> tuple[Fit, ...]:
    """Returns what each device trains, at the cost that it has beside the others; raises `UsageError` if that is too much."""
    found = []
    for tier, number, size in zip(self._tiers, self._borne, self.sizes, strict=True):
      cost = self._cost(self.sizes, tier.number) if number else None
      exceeded = tier.exceeded(cost) if cost else []
      if exceeded:
        raise failures.UsageError(
          f'{self._method.text(size)} takes {tier} {" and ".join(exceeded)} beside the other tiers: raise that limit'
        )
      found.append(Fit(tier, self._method.text(size) if number else None, self._layers(number), cost))
    return tuple(found)

  def _layers(self, number: int) -> float:
    if not number:
      return 0.0
    layers = self._method.layers(self._depth, size := self._sizes[number - 1])
    if not isinstance(layers, int | float) or not math.isfinite(layers):
      raise failures.UsageError(f'{self._method.text(size)} counts as {layers!r} layers: let its method give a number')
    return layers

  def _alone(self, size: Size) -> client_costs.ClientCost:
    """Returns the cost of a size if all tiers have it."""
    return self._cost((size,) * len(self._tiers), 0)

  def _num_borne(self, tier: device_limits.Tier) -> int:
    """Returns how many sizes, from the smallest on, a device can bear: what costs more is larger, so half of them decide."""
    return bisect.bisect_left(self._sizes, True, key=lambda size: bool(tier.exceeded(self._alone(size))))

  def _refusal(self, out: Sequence[device_limits.Tier]) -> str:
    cost = self._alone(self._sizes[0])
    needs = ' and '.join(f'{tier}: {", ".join(tier.exceeded(cost))}' for tier in out)
    return f'{self._method.text(self._sizes[0])} of {self._depth} blocks is too much for {needs}'
