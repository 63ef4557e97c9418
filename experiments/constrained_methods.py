"""What can be trained under limits: families of policies that grow with one number, which is fitted to each device."""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses

from experiments import spec

_RANKS = (1, 2, 4, 8, 16, 32, 64)
_FRACTIONS = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)


@dataclasses.dataclass(frozen=True)
class Method:
  """A way to train a model of some depth on devices that differ.

  Attributes:
    policy: A spec of `--trainable` that lacks the argument that is fitted.
    argument: Its name; None if there is nothing to fit.
    sizes: From the depth of the model to the values it may take, ascending: more of it costs more.
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

  def call(self, size: float | int | None) -> spec.Call:
    """Returns the policy of a size."""
    call = spec.parse(self.policy)[0]
    return call if self.argument is None else call._replace(arguments=call.arguments | {self.argument: size})


def _whole_depth(depth: int, size: float | int | None) -> float:
  del size
  return depth


def _suffix() -> Method:
  return Method('suffix', 'blocks', lambda depth: range(1, depth + 1), lambda depth, blocks: blocks)


def _lora(alike: bool) -> Method:
  return Method('lora', 'rank', lambda depth: _RANKS, _whole_depth, alike=alike)


def _adapter() -> Method:
  return Method('adapter', 'width', lambda depth: _RANKS, _whole_depth, alike=True)


def _width(rolling: bool) -> Method:
  policy = f'width(rolling={rolling})'
  return Method(policy, 'fraction', lambda depth: _FRACTIONS, lambda depth, fraction: depth * fraction)


def _whole(drops: bool) -> Method:
  return Method('all', None, lambda depth: (None,), _whole_depth, drops=drops)


METHODS = {
  'caff': _suffix,  # Pfeiffer et al. 2024 (arXiv 2411.07826): each device the longest suffix that it can bear
  'lora': lambda: _lora(alike=True),
  'hetero_lora': lambda: _lora(alike=False),
  'adapter': _adapter,
  'heterofl': lambda: _width(rolling=False),
  'fedrolex': lambda: _width(rolling=True),
  'small': lambda: _whole(drops=False),
  'drop': lambda: _whole(drops=True),
}
