"""Spec strings: one small language that turns flag text into calls of catalogue entries.

    'uniform(bits=8)'        one call
    'lstm'                   a call without arguments
    'clip(stddevs=2.5)|uniform(bits=8)'   a chain, left to right

Only keyword arguments and Python literals are accepted, so a spec never runs code.
"""

import ast
from collections.abc import Callable
from collections.abc import Mapping
import difflib
import inspect
import types
from typing import Any
from typing import NamedTuple

from experiments.command import failures
from experiments.command import given_objects
from experiments.command import object_names
from experiments.command import spec_help

_NOWHERE: Mapping[str, str] = types.MappingProxyType({})
_MAX_LINKS = 100
_OPEN = (
  'algorithm',
  'client_dropout',
  'codec',
  'dataset',
  'download',
  'log_to',
  'model',
  'objective',
  'partition',
  'privacy',
  'runtime',
  'stages',
  'trainable',
  'upload',
)
_MAX_QUOTED = 300  # Characters.


class SpecError(failures.OneLine):
  """A spec string that cannot be built; the message names the valid choices."""


class Call(NamedTuple):
  """One parsed element of a spec: the catalogue name and its keyword arguments."""

  name: str
  arguments: dict[str, Any]


def parse(text: str) -> list[Call]:
  """Parses a chain of calls.

  Args:
    text: For example `'hadamard|uniform(bits=8)'`.

  Returns:
    The calls, left to right; at least one.

  Raises:
    SpecError: If it is no text, as an argument of another spec may be, or not a chain of names or calls with literal
      keyword arguments.
  """
  if not isinstance(text, str):
    raise SpecError(f"{text!r} is no spec: write one in quotes, such as 'uniform(bits=8)'")
  text = text.strip()
  try:
    expression = ast.parse(text, mode='eval').body
  except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
    raise SpecError(f"cannot read {_quoted(text)}: write name or name(argument=value), chained with '|'") from error
  links = _chain(expression)
  if len(links) > _MAX_LINKS:
    raise SpecError(f'a chain has {_MAX_LINKS} links at most, not {len(links)}: shorten {_quoted(text)}')
  return [_call(node, text) for node in links]


def text(call: Call) -> str:
  """Returns the spec of a call; inverts `parse`."""
  listed = ', '.join(f'{name}={value!r}' for name, value in call.arguments.items())
  return f'{call.name}({listed})' if listed else call.name


def _chain(node: ast.expr) -> list[ast.expr]:
  """Returns the links, left to right, however many there are."""
  links, waiting = [], [node]
  while waiting:
    node = waiting.pop()
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
      waiting += [node.left, node.right]
    else:
      links.append(node)
  return links[::-1]


def _call(node: ast.expr, text: str) -> Call:
  if isinstance(node, ast.Name):
    return Call(node.id, {})
  if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
    raise SpecError(
      f'{_quoted(_source(node, text))} in {_quoted(text)} is neither a name nor a call: write name(argument=value)'
    )
  if node.args or any(keyword.arg is None for keyword in node.keywords):
    raise SpecError(
      f'{node.func.id} in {_quoted(text)} takes arguments by name only: write {node.func.id}(argument=value)'
    )
  names = [keyword.arg for keyword in node.keywords]
  if len(set(names)) < len(names):
    raise SpecError(f'{node.func.id} in {_quoted(text)} names an argument twice')
  return Call(node.func.id, {keyword.arg: _literal(keyword, text) for keyword in node.keywords})


def _literal(keyword: ast.keyword, text: str) -> Any:
  try:
    return ast.literal_eval(keyword.value)
  except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
    raise SpecError(
      f'{keyword.arg}={_source(keyword.value, text)} in {_quoted(text)} is not a plain value: '
      "numbers, 'strings', True, False, None and lists of them are"
    ) from error


def _source(node: ast.expr, text: str) -> str:
  """Returns what a part of a spec was written as, in one line."""
  return ' '.join(ast.get_source_segment(text, node).split())


def _quoted(text: str) -> str:
  return repr(text) if len(text) <= _MAX_QUOTED else f'{text[:_MAX_QUOTED]!r}...'


def build(
  text: Any,
  catalogue: Mapping[str, Callable[..., Any]],
  what: str,
  elsewhere: Mapping[str, str] = _NOWHERE,
  kind: type | tuple[type, ...] = (),
) -> Any:
  """Builds the object of a spec that allows one call only.

  Args:
    text: The spec string; or, from a script, an object of `kind`, which is then what is returned.
    catalogue: Names to builders; a builder takes keyword arguments and raises `ValueError` for a value out of range.
    what: What the catalogue holds, for messages: `'model'`.
    elsewhere: Names that others take, to what is said of each: `'is a model of images, for ...'`.
    kind: What the builders return.

  Returns:
    What the builder returned.

  Raises:
    SpecError: For unknown names, misspelt arguments, values out of range, chains, and objects of another kind.
  """
  if given_objects.is_one(text):
    return checked(text, kind, what)
  calls = parse(text)
  if len(calls) > 1:
    raise SpecError(f"{what} {text!r}: '|' does not apply here; choose one of {_listed(catalogue)}")
  return build_call(calls[0], catalogue, what, elsewhere)


def checked(value: Any, kind: type | tuple[type, ...], what: str) -> Any:
  """Returns an object that a script gave in the place of a spec; raises `SpecError` if it is of another kind."""
  if isinstance(value, kind):
    return value
  kinds = kind if isinstance(kind, tuple) else (kind,)
  names = ''.join(f' or {each.__name__}' for each in kinds)
  way_on = ': call it' if isinstance(value, type) else ''
  raise SpecError(f"{what} takes a spec such as 'name(argument=value)'{names}, not {value!r}{way_on}")


def build_chain(
  text: str, catalogue: Mapping[str, Callable[..., Any]], what: str, elsewhere: Mapping[str, str] = _NOWHERE
) -> list[Any]:
  """Builds every call of a chain; the arguments and errors are those of `build`."""
  return [build_call(call, catalogue, what, elsewhere) for call in parse(text)]


def build_call(
  call: Call, catalogue: Mapping[str, Callable[..., Any]], what: str, elsewhere: Mapping[str, str] = _NOWHERE
) -> Any:
  """Builds the object of one parsed call; the other arguments and errors are those of `build`."""
  if call.name == given_objects.NAME and call.name not in catalogue:
    return _known_object(call, what)
  if call.name not in catalogue and call.name in elsewhere:
    raise SpecError(f'{what} {call.name!r} {elsewhere[call.name]}; choose one of {_listed(catalogue)}')
  if call.name not in catalogue:
    hint = f' (--{what}=help at the prompt says what they are)' if what in spec_help.flags() else ''
    known = f'choose one of {_listed(catalogue)}{hint}{", or add it by --plugin" if what in _OPEN else ""}'
    raise SpecError(f'unknown {what} {call.name!r}{_nearest(call.name, catalogue)}; {known}')
  builder = catalogue[call.name]
  signature = inspect.signature(builder).parameters.values()
  parameters = {each.name: each for each in signature if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)}
  takes_any = any(each.kind == each.VAR_KEYWORD for each in signature)
  for name in call.arguments:
    if name not in parameters and not takes_any:
      valid = ', '.join(parameters) or 'no arguments'
      raise SpecError(f'{what} {call.name} has no argument {name!r}{_nearest(name, parameters)}; it takes {valid}')
  missing = [
    name
    for name, parameter in parameters.items()
    if parameter.default is inspect.Parameter.empty and name not in call.arguments
  ]
  if missing:
    raise SpecError(f'{what} {call.name} needs {missing[0]}=...: {call.name}({missing[0]}=...)')
  try:
    return builder(**call.arguments)
  except (ValueError, TypeError) as error:
    raise SpecError(f'{what} {call.name}: {error}') from error


def _known_object(call: Call, what: str) -> Any:
  """Returns the object that a run of a script recorded, if it is known here."""
  called, known = str(call.arguments.get('name')), given_objects.find(what)
  if known is None:
    raise SpecError(f'{what}: {given_objects.REMEDY.format(called, what)}')
  if not given_objects.may_be(known, called):
    raise SpecError(f'{what} was {called}, and what is given is {object_names.called(known)}: give the same')
  return known


def _nearest(name: str, choices: Mapping[str, Any]) -> str:
  matches = difflib.get_close_matches(name, list(choices), n=1)
  return f' (did you mean {matches[0]!r}?)' if matches else ''


def _listed(catalogue: Mapping[str, Any]) -> str:
  return ', '.join(catalogue)
