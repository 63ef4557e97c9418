"""Objects that a script gives where a command line gives a spec, and what a run records of them."""

import ast
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import contextvars
import dataclasses
import hashlib
import inspect
import re
import types
from typing import Any

import numpy as np

UNKNOWN = 'unknown'  # What `run.run` calls the model of a script.
NAME = 'object'  # Of the spec that is recorded, which builds nothing.
REMEDY = (
  '{} was an object of a script: give it, as every other of its run, to experiments.suite.RunFolder(folder, {}=...)'
)
_LONGEST = 120  # Characters of what an object is called; of longer names a hash follows.
_known: contextvars.ContextVar[Mapping[str, Any]] = contextvars.ContextVar('known', default=types.MappingProxyType({}))


def is_one(value: Any) -> bool:
  """Whether a value is an object where there could be a spec, or a chain with one."""
  if isinstance(value, list):
    return any(map(is_one, value))
  return not isinstance(value, str | bool | int | float | None)


@contextlib.contextmanager
def known(by_flag: Mapping[str, Any]) -> Iterator[None]:
  """Lets what was recorded of objects, by the flag that they were given for, stand for them in the block."""
  token = _known.set({**_known.get(), **by_flag})
  try:
    yield
  finally:
    _known.reset(token)


def find(flag: str) -> Any:
  """Returns the object of a flag that is known here; None without one."""
  return _known.get().get(flag)


def recorded(value: Any) -> Any:
  """Returns what a run records of a flag's value: itself, or of an object the spec `object(name="what it is called")`."""
  if not is_one(value):
    return value
  links = value if isinstance(value, list) else [value]
  return '|'.join(recorded_as(called(link)) if is_one(link) else str(link) for link in links)


def is_recorded(value: Any) -> bool:
  """Whether what a run recorded stands for an object."""
  return isinstance(value, str) and f'{NAME}(name=' in value


def shown(recorded_value: str) -> str:
  """Returns what was recorded with the names of objects in their place."""
  return re.sub(rf"{NAME}\(name=(['\"])(.*?)\1\)", r'\2', recorded_value)


def recorded_as(name: str) -> str:
  """Returns the spec that is recorded of an object of this name."""
  return f'{NAME}(name={name!r})'


def may_be(value: Any, name: str) -> bool:
  """Whether an object may be the one that was recorded by a name; a run that did not know its model said so."""
  return name in (UNKNOWN, called(value))


def called(value: Any, depth: int = 2) -> str:
  """Returns what an object says of itself, the same in every process: what made it, and what it holds, to some depth."""
  if isinstance(value, types.FunctionType):
    *outer, name = value.__qualname__.split('.<locals>.')
    return f'{outer[-1]}({_said(inspect.getclosurevars(value).nonlocals, depth - 1)})' if outer else name
  if hasattr(
    value, 'fingerprint'
  ):  # Of a data set, whose content makes it what it is; of a partition, which has no name.
    return f'{type(value).__qualname__}({getattr(value, "name", value.fingerprint)!r})'
  said = repr(value)
  says_fields = dataclasses.is_dataclass(value) or hasattr(value, '_fields')  # As named tuples have them.
  if not says_fields or ' at 0x' in said:
    said = f'{type(value).__qualname__}({_said(getattr(value, "__dict__", {}), depth - 1)})'
  return said if len(said) <= _LONGEST else f'{said[:_LONGEST]}... {_short_hash(said.encode())}'


def _said(named: Mapping[str, Any], depth: int) -> str:
  """Returns the numbers and texts among values by name, and what others are called, but for functions."""
  found = []
  for name, value in named.items():
    if hasattr(value, '__array__'):  # Of NumPy or TensorFlow.
      said = repr(_short_hash(np.asarray(value).tobytes()))
    elif _is_literal(value):
      said = repr(value)
    elif depth and isinstance(value, list | tuple):
      said = f'[{", ".join(called(each, depth - 1) for each in value)}]'
    elif depth and not callable(value) and hasattr(value, '__dict__'):
      said = called(value, depth - 1)
    else:
      continue
    found.append(f'{name.lstrip("_")}={said}')
  return ', '.join(found)


def _is_literal(value: Any) -> bool:
  try:
    ast.literal_eval(repr(value))
  except (ValueError, SyntaxError):
    return False
  return True


def _short_hash(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()[:8]
