"""What an object of a script is called: what made it and what it holds, the same in every process."""

import ast
from collections.abc import Iterable
from collections.abc import Mapping
import dataclasses
import functools
import hashlib
import inspect
import pathlib
import types
from typing import Any

import numpy as np

_LONGEST = 120  # Characters; of longer names a hash follows.
_DEPTH = 4  # Objects and containers inside each other that a name tells.
_WITHOUT_END = ('tensorflow', 'keras', 'logging')  # Packages whose objects hold one another.
_PLAIN = (str, bytes, bool, int, float, complex, type(None), pathlib.PurePath)


def called(value: Any) -> str:
  """Returns the name of an object: dataclasses and functions that differ in what they hold have different ones."""
  return _called(value, _DEPTH)


def _called(value: Any, depth: int) -> str:
  said = _said(value, depth)
  return said if len(said) <= _LONGEST else f'{said[:_LONGEST]}... {_short_hash(said.encode())}'


def _said(value: Any, depth: int) -> str:
  if isinstance(value, functools.partial):
    given = {str(position): each for position, each in enumerate(value.args)} | value.keywords
    return f'{_called(value.func, depth)}({_listed(given, depth - 1)})'
  if isinstance(value, types.MethodType):
    return f'{_called(value.__self__, depth)}.{value.__name__}'
  if isinstance(value, types.FunctionType):
    *outer, name = value.__qualname__.split('.<locals>.')
    return f'{outer[-1]}({_listed(_held(value), depth - 1)})' if outer else name
  kind = type(value).__qualname__
  for telling in (
    'name',
    'fingerprint',
  ):  # Of a data set, whose content makes it what it is; of a partition, which has no name.
    if _attribute(value, 'fingerprint') and _attribute(value, telling):
      return f'{kind}({_attribute(value, telling)!r})'
  attributes = _attributes(value)
  said = _repr(value) if _says_fields(value, attributes) else ''
  if said and ' at 0x' not in said:
    return said
  return f'{kind}({_listed(attributes, depth - 1)})'


def _held(function: types.FunctionType) -> dict[str, Any]:
  """Returns what a function inside another one takes from there, by its closure or as defaults."""
  try:
    parameters = inspect.signature(function).parameters.values()
    held = {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
    return dict(inspect.getclosurevars(function).nonlocals) | held
  except ValueError:  # A name is not bound yet.
    return {}


def _says_fields(value: Any, attributes: Mapping[str, Any]) -> bool:
  """Whether its text names all that it holds, as that of dataclasses and named tuples does, in an order that does not change."""
  if isinstance(value, tuple):
    return hasattr(value, '_fields') and not any(map(_is_unordered, value))
  if not dataclasses.is_dataclass(value) or type(value).__repr__ is object.__repr__:
    return False
  shown = {field.name for field in dataclasses.fields(value) if field.repr}
  return set(attributes) <= shown and not any(map(_is_unordered, attributes.values()))


def _is_unordered(value: Any) -> bool:
  return not isinstance(value, _PLAIN) and not _says_fields(value, _attributes(value))


def _attributes(value: Any) -> dict[str, Any]:
  """Returns what an object holds, by name; also of one with slots."""
  slots = [name for kind in type(value).__mro__ for name in _names(kind.__dict__.get('__slots__', ()))]
  held = {name: getattr(value, name) for name in slots if hasattr(value, name) and not name.startswith('__')}
  return held | dict(getattr(value, '__dict__', {}))


def _names(slots: str | Iterable[str]) -> list[str]:
  return [slots] if isinstance(slots, str) else list(slots)


def _attribute(value: Any, name: str) -> Any:
  try:
    return getattr(value, name, None)
  except Exception:  # A property of somebody else's class.
    return None


def _repr(value: Any) -> str:
  try:
    return repr(value)
  except Exception:  # Of somebody else's class.
    return ''


def _listed(named: Mapping[str, Any], depth: int) -> str:
  told = {name.lstrip('_'): _told(value, depth) for name, value in named.items()}
  return ', '.join(f'{name}={said}' for name, said in told.items() if said)


def _told(value: Any, depth: int) -> str:
  """Returns what a name says of a value that an object holds; nothing for a module, a type, TensorFlow's own, or what is too deep."""
  if isinstance(value, _PLAIN):
    return repr(value)
  if isinstance(value, types.ModuleType | type):
    return ''
  if hasattr(value, '__array__'):  # Of NumPy or TensorFlow.
    return _of_array(value, depth)
  if isinstance(value, list | tuple | set | frozenset | dict) and not hasattr(value, '_fields'):
    return _of_container(value, depth)
  if type(value).__module__.partition('.')[0] in _WITHOUT_END:
    return ''
  return _called(value, depth) if depth > 0 or _says_fields(value, _attributes(value)) else ''


def _of_container(value: Any, depth: int) -> str:
  if isinstance(value, dict):
    return f'{{{", ".join(f"{key!r}: {_inner(each, depth)}" for key, each in value.items())}}}'
  parts = [_inner(each, depth) for each in value]
  return f'[{", ".join(parts)}]' if isinstance(value, list | tuple) else f'{{{", ".join(sorted(parts))}}}'


def _inner(value: Any, depth: int) -> str:
  if depth > 0:
    return _told(value, depth - 1) or type(value).__qualname__
  return repr(value) if _is_literal(value) else type(value).__qualname__


def _of_array(value: Any, depth: int) -> str:
  try:
    array = np.asarray(value)
  except Exception:  # A tensor of a graph.
    return type(value).__qualname__
  return _inner(array.tolist(), depth) if array.dtype == object else repr(_short_hash(array.tobytes()))


def _is_literal(value: Any) -> bool:
  try:
    ast.literal_eval(_repr(value))
  except (ValueError, SyntaxError):
    return False
  return True


def _short_hash(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()[:8]
