"""Lists of specs: in one text, separated by `;`, where a word may stand for several; or from a script, with objects among them."""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import types
from typing import Any

from experiments.command import given_objects
from experiments.command import spec

_NO_WORDS: Mapping[str, Sequence[str]] = types.MappingProxyType({})


def read(
  listed: str | Sequence[Any],
  flag: str,
  build: Callable[[Any], Any],
  words: Mapping[str, Sequence[str]] = _NO_WORDS,
) -> dict[str, Any]:
  """Returns each spec of a list once, in order, or the object that a script gave in its place, by what it is called.

  Args:
    listed: The list; from a script a sequence of specs and of what they would build.
    flag: The flag that it is an argument of.
    build: Raises `SpecError` for what cannot be built.
    words: The specs that each word stands for.

  Raises:
    SpecError: If there is none, one cannot be built, or two objects are called alike.
  """
  parts = listed.split(';') if isinstance(listed, str) else listed
  parts = [part.strip() if isinstance(part, str) else part for part in parts]
  found = [
    each for part in parts if part != '' for each in (words.get(part, [part]) if isinstance(part, str) else [part])
  ]
  if not found:
    raise spec.SpecError(
      f"--{flag} names none: write some, separated by ';'{''.join(f', or {word}' for word in words)}"
    )
  named: dict[str, Any] = {}
  for each in found:
    build(each)
    name = given_objects.shown(given_objects.recorded(each))
    if name in named and _differ(named[name], each):
      raise spec.SpecError(f'{flag} has two entries called {name}: let them say what they differ in, as dataclasses do')
    named[name] = each
  return named


def _differ(one: Any, other: Any) -> bool:
  """Whether two entries of one name are not the same; dataclasses are compared by what they hold."""
  if one is other or not (given_objects.is_one(one) or given_objects.is_one(other)):
    return False
  return not (dataclasses.is_dataclass(one) and type(one) is type(other) and one == other)
