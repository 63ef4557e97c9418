"""The suite's packages are found beside this one, also by a script that has modules of their names beside it.

This module imports the standard library only: it comes before all others.
"""

from collections.abc import Sequence
import importlib.abc
import importlib.machinery
import pathlib
import sys
import types

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_NAMES = ('compression', 'data', 'experiments', 'models', 'optimizers')


class _Finder(importlib.abc.MetaPathFinder):
  """Finds the suite's packages."""

  @classmethod
  def find_spec(
    cls, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
  ) -> importlib.machinery.ModuleSpec | None:
    """Returns where a package of the suite is; None for what is none."""
    del path, target
    return importlib.machinery.PathFinder.find_spec(name, [str(_ROOT)]) if name in _NAMES else None


def come_first() -> None:
  """Lets imports from here on find the suite's packages; raises `ImportError` if others of their names were imported."""
  for name in _NAMES:
    module = sys.modules.get(name)
    if module is not None and str(_ROOT / name) not in map(_resolved, getattr(module, '__path__', [])):
      where = getattr(module, '__file__', None) or 'elsewhere'
      raise ImportError(f'{name!r} was imported from {where} before the suite: import experiments first')
  sys.meta_path.insert(0, _Finder)


def _resolved(path: str) -> str:
  return str(pathlib.Path(path).resolve())
