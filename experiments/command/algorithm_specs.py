"""From the text of `--algorithm` to an algorithm; its schedules are specs within the spec.

fed_adam(server_lr=0.03, server_schedule="cosine(rounds=1000, warmup=10)")
"""

from collections.abc import Callable
import functools
from typing import Any

from experiments.command import spec
from optimizers import algorithms
from optimizers import catalog
from optimizers import schedules

_SCHEDULES = ('client_schedule', 'server_schedule')


def build(text: Any) -> algorithms.Algorithm:
  """Builds the algorithm that `text` names.

  Args:
    text: For example `fed_avg(client_lr=1)`; from a script also an algorithm.

  Returns:
    The algorithm.

  Raises:
    SpecError: For whatever cannot be built.
  """
  builders = {name: _with_schedules(builder) for name, builder in catalog.ALGORITHMS.items()}
  return spec.build(text, builders, 'algorithm', kind=algorithms.Algorithm)


def describe(default: Any) -> tuple[str, str] | None:
  """Returns type and text of the default of an argument that is a spec itself; None for others."""
  return ('str', '"constant"') if default is schedules.CONSTANT else None


def _with_schedules(builder: Callable[..., algorithms.Algorithm]) -> Callable[..., algorithms.Algorithm]:
  """Lets a builder's schedules be given as text."""

  @functools.wraps(builder)
  def build_with_schedules(**arguments: Any) -> algorithms.Algorithm:
    for name in _SCHEDULES:
      if isinstance(arguments.get(name), str):
        arguments[name] = spec.build(arguments[name], catalog.SCHEDULES, name)
    return builder(**arguments)

  return build_with_schedules
