"""Which model, and which part of it on which device: the depth that lets devices train the most layers on average.

    for each depth A:  t_d(A) = the most of A that device d can train within its limits
    A* = argmax over A of the mean over devices of t_d(A)

Pfeiffer et al. 2024 (arXiv 2411.07826) for suffixes; the same rule serves what they are compared with. A plan is three
specs, so that a run by it is a run of `experiments.language_model` too.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import functools

from data import progress
from experiments import constrained_methods
from experiments import device_limits
from experiments import launch
from experiments import markdown_table
from experiments import model_family
from experiments import spec
from optimizers import catalog
from optimizers import client_costs

Size = float | int | None


@dataclasses.dataclass(frozen=True)
class Fit:
  """What a device trains of a model.

  Attributes:
    tier: The device.
    policy: A spec of `--trainable`; None if it is left out.
    size: The value that was fitted.
    layers: How many layers count as trained.
    cost: Of a round; None if it is left out.
  """

  tier: device_limits.Tier
  policy: str | None
  size: Size
  layers: float
  cost: client_costs.ClientCost | None


@dataclasses.dataclass(frozen=True)
class Plan:
  """A model, and what each tier trains of it.

  Attributes:
    depth: Of the model.
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


Cost = Callable[[int, Size], client_costs.ClientCost]  # Of a round, from the depth and the size of what is trained.


def choose(
  family: model_family.Family,
  method: constrained_methods.Method,
  tiers: Sequence[device_limits.Tier],
  cost: Cost,
) -> Plan:
  """Finds the plan; of depths that are equally good the smallest.

  Args:
    family: The models.
    method: What is trained of them.
    tiers: The devices.
    cost: Grows with the size; see `costs`.

  Returns:
    The plan.

  Raises:
    UsageError: If some device cannot bear any depth, with its limit.
  """
  fitted, considered = {}, {}
  with progress.bar('what devices can bear', len(family.depths), 'model') as report:
    for depth in family.depths:
      search = _Search(method, depth, functools.partial(cost, depth))
      fits = search.fits(tiers)
      ruled_out = search.ruled_out(fits)
      considered[depth] = ruled_out or sum(fit.tier.share * fit.layers for fit in fits)
      if not ruled_out:
        fitted[depth] = fits
      report(1)
  if not fitted:
    raise launch.UsageError(
      f'no model is small enough: {considered[family.depths[0]]}; raise that limit, choose another --trainable, or '
      'leave such devices out by its argument drop=True'
    )
  depth = max(fitted, key=lambda each: considered[each])
  trainable, devices = _specs(method, fitted[depth])
  return Plan(depth, family.spec(depth), trainable, devices, fitted[depth], considered)


def costs(
  family: model_family.Family,
  method: constrained_methods.Method,
  setting: client_costs.Setting,
  vocabulary_size: int,
) -> Cost:
  """Returns the costs of a method, each of which takes a second to find and so is found once.

  Args:
    family: The models.
    method: What is trained of them.
    setting: How.
    vocabulary_size: Of the models.

  Returns:
    The costs; they raise `UsageError` for what has none.
  """

  @functools.cache
  def cost(depth: int, size: Size) -> client_costs.ClientCost:
    policy = spec.build_call(method.call(size), catalog.POLICIES, 'trainable')
    try:
      return client_costs.client_cost(policy, family.build(depth, vocabulary_size), setting)
    except ValueError as error:
      raise launch.UsageError(f'{_text(method.call(size))} has no cost to hold against limits: {error}') from error

  return cost


def table(plan: Plan) -> str:
  """Renders the plan: what was considered, and what each tier trains against what it allows."""
  considered = [
    [str(depth), result if isinstance(result, str) else f'{result:.2f}' + (' (chosen)' if depth == plan.depth else '')]
    for depth, result in plan.considered.items()
  ]
  rows = []
  for fit in plan.fits:
    cost = fit.cost
    cells = (
      [f'{cost.modelled_memory_bytes / 1e6:.2f}', _upload(cost), f'{cost.flops / 1e9:.1f}'] if cost else ['', '', '']
    )
    limits = ', '.join(f'{name}={value:g}' for name, value in fit.tier.limits.items()) or 'none'
    rows.append([str(fit.tier), limits, fit.policy or 'left out', *cells])
  header = ['tier', 'limits', 'trains', 'memory MB (modelled)', 'upload MB', 'GFLOP a round']
  return '\n\n'.join(
    [
      markdown_table.render(['blocks', 'mean number of layers that devices train'], considered),
      markdown_table.render(header, rows),
    ]
  )


def _upload(cost: client_costs.ClientCost) -> str:
  return 'varies' if cost.upload_bytes is None else f'{cost.upload_bytes / 1e6:.3f}'


class _Search:
  """Fits a method to devices, on a model of one depth."""

  def __init__(self, method: constrained_methods.Method, depth: int, cost: Callable[[Size], client_costs.ClientCost]):
    self._method, self._depth, self._cost = method, depth, cost
    self._sizes = list(method.sizes(depth))

  def fits(self, tiers: Sequence[device_limits.Tier]) -> tuple[Fit, ...]:
    """Returns the largest that each device can bear; of methods that treat all alike, that of the weakest."""
    numbers = [self._num_borne(tier) for tier in tiers]
    if self._method.alike and any(numbers):
      least = min(number for number in numbers if number)
      numbers = [number and least for number in numbers]
    return tuple(self._fit(tier, number) for tier, number in zip(tiers, numbers, strict=True))

  def ruled_out(self, fits: Sequence[Fit]) -> str:
    """Says why devices cannot train this depth; nothing if they can."""
    out = [fit.tier for fit in fits if fit.tier.exceeded(self._smallest)]
    if not out or (self._method.drops and len(out) < len(fits)):
      return ''
    needs = ' and '.join(out[0].exceeded(self._smallest))
    return (
      f'{out[0]} cannot bear {_text(self._method.call(self._sizes[0]))} of {self._depth} blocks, which takes {needs}'
    )

  @property
  def _smallest(self) -> client_costs.ClientCost:
    return self._cost(self._sizes[0])

  def _num_borne(self, tier: device_limits.Tier) -> int:
    """Returns how many of the sizes a device can bear: costs grow with the size."""
    low, high = 0, len(self._sizes)
    while low < high:
      middle = (low + high) // 2
      if tier.exceeded(self._cost(self._sizes[middle])):
        high = middle
      else:
        low = middle + 1
    return low

  def _fit(self, tier: device_limits.Tier, number: int) -> Fit:
    if not number:
      return Fit(tier, None, None, 0.0, None)
    size = self._sizes[number - 1]
    return Fit(tier, _text(self._method.call(size)), size, self._method.layers(self._depth, size), self._cost(size))


def _specs(method: constrained_methods.Method, fits: Sequence[Fit]) -> tuple[str, str]:
  """Returns the specs of `--trainable` and `--devices`; who is left out would train the least of what others do."""
  arguments = dict(shares=[fit.tier.share for fit in fits])
  if method.argument:
    least = min(fit.size for fit in fits if fit.policy)
    arguments[method.argument] = [fit.size if fit.policy else least for fit in fits]
  return method.policy, _text(spec.Call('tiers', arguments))


def _text(call: spec.Call) -> str:
  listed = ', '.join(f'{name}={value!r}' for name, value in call.arguments.items())
  return f'{call.name}({listed})' if listed else call.name
