"""Objects that a script gives where a command line gives a spec, and what a run records of them."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import contextvars
import re
import types
from typing import Any

from experiments.command import object_names

UNKNOWN = 'unknown'  # What `run.run` calls the model of a script.
NAME = 'object'  # Of the spec that is recorded, which builds nothing.
REMEDY = (
  '{} was an object of a script: give it, as every other of its run, to experiments.suite.RunFolder(folder, {}=...)'
)
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
  return '|'.join(recorded_as(object_names.called(link)) if is_one(link) else str(link) for link in links)


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
  return name in (UNKNOWN, object_names.called(value))
