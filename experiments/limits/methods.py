"""What can be trained under limits: families of policies that grow with one number, which is fitted to each device."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
from typing import Any

from data import arguments
from experiments.command import plugin_tables
from experiments.command import spec

_RANKS = (1, 2, 4, 8, 16, 32, 64)
_FRACTIONS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)


@dataclasses.dataclass(frozen=True)
class Method:
  """A way to train a model of some depth on devices that differ.

  Attributes:
    policy: A spec of `--trainable` that lacks the argument that is fitted; a policy of one's own has a name by a plug-in.
    argument: Its name; None if there is nothing to fit.
    sizes: From the depth of the model to the values it may take, ascending.
    layers: From the depth and the value to how many layers count as trained.
    alike: Whether all devices take what the weakest one can bear.
    drops: Whether a device that cannot bear it is left out, instead of ruling the depth out.
  """

  policy: str
  argument: str | None
  sizes: Callable[[int], Sequence[float | int | None]]
  layers: Callable[[int, float | int | None], float]
  alike: bool = False
  drops: bool = False

  def text(self, size: float | int | None) -> str:
    """Returns the policy of a size, as an argument of `--trainable`."""
    call = spec.parse(self.policy)[0]
    arguments = {} if self.argument is None else {self.argument: size}
    return spec.text(call._replace(arguments=call.arguments | arguments))


def caff(drop: bool = False) -> Method:
  """Each device trains the longest suffix that it can bear: Pfeiffer et al. 2024 (arXiv 2411.07826).

  Args:
    drop: Whether devices that cannot bear the smallest are left out, instead of ruling the depth out.
  """
  return _method('suffix', 'blocks', lambda depth: range(1, depth + 1), lambda depth, blocks: blocks, drop)


def lora(drop: bool = False) -> Method:
  """All train adapters of the rank that the weakest can bear: Hu et al. 2021 (arXiv 2106.09685).

  Args:
    drop: See `caff`.
  """
  return _method('lora', 'rank', lambda depth: _RANKS, _whole_depth, drop, alike=True)


def hetero_lora(drop: bool = False) -> Method:
  """Each device trains adapters of the highest rank that it can bear: Cho et al. 2024 (arXiv 2401.06432).

  Args:
    drop: See `caff`.
  """
  return _method('lora', 'rank', lambda depth: _RANKS, _whole_depth, drop)


def adapter(drop: bool = False) -> Method:
  """All train bottlenecks of the width that the weakest can bear: Houlsby et al. 2019 (arXiv 1902.00751).

  Args:
    drop: See `caff`.
  """
  return _method('adapter', 'width', lambda depth: _RANKS, _whole_depth, drop, alike=True)


def heterofl(drop: bool = False) -> Method:
  """Each device trains the first units of all layers, as many as it can bear: Diao et al. 2020 (arXiv 2010.01264).

  Args:
    drop: See `caff`.
  """
  return _method('width(rolling=False)', 'fraction', lambda depth: _FRACTIONS, _share_of_depth, drop)


def fedrolex(drop: bool = False) -> Method:
  """As `heterofl`, with units that move on each round: Alam et al. 2022 (arXiv 2212.01548).

  Args:
    drop: See `caff`.
  """
  return _method('width(rolling=True)', 'fraction', lambda depth: _FRACTIONS, _share_of_depth, drop)


def full(drop: bool = False) -> Method:
  """All train everything: of the deepest model that the weakest can bear, or that most can, without the others.

  Args:
    drop: See `caff`.
  """
  return _method('all', None, lambda depth: (None,), _whole_depth, drop)


METHODS = {
  'caff': caff,
  'lora': lora,
  'hetero_lora': hetero_lora,
  'adapter': adapter,
  'heterofl': heterofl,
  'fedrolex': fedrolex,
  'full': full,
}


plugin_tables.add('METHODS', plugin_tables.Table(METHODS, 'methods', 'methods', Method))


def build(text: Any) -> Method:
  """Builds the method that `--trainable` names where it is fitted to limits, or takes a script's; raises `SpecError`."""
  return spec.build(text, METHODS, 'trainable', kind=Method)


def _whole_depth(depth: int, size: float | int | None) -> float:
  del size
  return depth


def _share_of_depth(depth: int, fraction: float) -> float:
  return depth * fraction


def _method(
  policy: str,
  argument: str | None,
  sizes: Callable[[int], Sequence[float | int | None]],
  layers: Callable[[int, Any], float],
  drop: bool,
  alike: bool = False,
) -> Method:
  arguments.check_bool(drop=drop)
  return Method(policy, argument, sizes, layers, alike=alike, drops=drop)
