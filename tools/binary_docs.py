"""What the binaries say of themselves: their flags, each with its default and its help.

Binaries are asked in several processes, since their imports take long. This module imports little: such a process imports
it before it does the binary.
"""

import concurrent.futures
import dataclasses
import importlib
import inspect
import multiprocessing
import pathlib
import re
from typing import Any

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_PROCESSES = 2
_NO_BINARIES = ('__init__', 'suite')
# What takes most of the time of an import, so that each process begins with it.
_PRELOADED = ['tensorflow', 'tensorflow_federated', 'tensorflow_text', 'matplotlib.pyplot']
_ADDED_BY_ABSL = re.compile(r'^<[^>]*>: |;\s+repeat this option.*$', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Flag:
  """A flag of a binary.

  Attributes:
    name: Its name.
    kind: What its values are: `string`, `int` and so on; of an enumeration its values.
    default: As a command gives it; None without one.
    help: What `--help` says of it.
  """

  name: str
  kind: str
  default: str | None
  help: str


@dataclasses.dataclass(frozen=True)
class Binary:
  """A binary.

  Attributes:
    name: Such as `language_model`.
    docstring: What it says of itself, commands included.
    flags: By name, ascending, without those that all have.
  """

  name: str
  docstring: str
  flags: tuple[Flag, ...]


def read() -> list[Binary]:
  """Returns all binaries, ascending."""
  names = sorted(path.stem for path in (_ROOT / 'experiments').glob('*.py') if path.stem not in _NO_BINARIES)
  forks = multiprocessing.get_context('forkserver')
  forks.set_forkserver_preload(_PRELOADED)
  with concurrent.futures.ProcessPoolExecutor(_PROCESSES, forks, max_tasks_per_child=1) as pool:
    return list(pool.map(_of, names))


def _of(name: str) -> Binary:
  module = importlib.import_module(f'experiments.{name}')
  known = module.FLAGS.shown()
  flags = tuple(_flag(known[flag]) for flag in sorted(known) if flag != 'version')
  return Binary(name, inspect.getdoc(module), flags)


def _flag(flag: Any) -> Flag:
  values = getattr(flag.parser, 'enum_values', None)
  default = None if flag.default is None else str(flag.default_as_str).strip("'")
  return Flag(
    flag.name, ', '.join(values or [flag.flag_type()]), default, ' '.join(_ADDED_BY_ABSL.sub('', flag.help).split())
  )
