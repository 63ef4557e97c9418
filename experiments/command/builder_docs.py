"""What a builder of a catalogue says of itself: the arguments of its signature, and what its docstring tells of each.

An argument that reads "See `name`." means what it means for what has that name: another builder, or the class of its
module, or of a module that its module imports, that keeps it. Where a docstring says nothing of an argument but names a
builder that does, it means the same too. One that "must be given", although Python has None for it, has no default.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import dataclasses
import inspect
import re
import sys
import types
from typing import Any
from typing import NamedTuple

_SECTIONS = ('Args:', 'Attributes:', 'Returns:', 'Raises:', 'Yields:')
_SAID_OF_ARGUMENTS = ('Args:', 'Attributes:')
_ERRORS = re.compile(r'(^|(?<=[.;]) ?)raises `?\w+Error`? .*$', re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(r'See `([\w.]+)`')
_REQUIRED = '; must be given'
_NAMED = re.compile(r'`([\w.]+)`')


@dataclasses.dataclass(frozen=True)
class Argument:
  """An argument of a builder.

  Attributes:
    name: Its name; `...` for whatever others there are.
    type: As Python writes it, such as `int | None`.
    default: As a spec writes it; None if the argument must be given.
    meaning: What it is for.
  """

  name: str
  type: str
  default: str | None
  meaning: str


@dataclasses.dataclass(frozen=True)
class Entry:
  """A name of a catalogue.

  Attributes:
    summary: The first paragraph of the docstring.
    notes: Its other paragraphs.
    arguments: Those that a spec may give.
  """

  summary: str
  notes: tuple[str, ...]
  arguments: tuple[Argument, ...]


class _Doc(NamedTuple):
  """A docstring in parts: its paragraphs, and what it says of each argument."""

  paragraphs: list[str]
  arguments: Mapping[str, str]


def entry(builder: Callable[..., Any], describe: Callable[[Any], tuple[str, str] | None]) -> Entry:
  """Reads a builder.

  Args:
    builder: A function or a class.
    describe: From a default to type and text, for those that Python does not write as a spec does; else None.

  Returns:
    What it says of itself.
  """
  doc = _doc(builder)
  signature = inspect.signature(builder).parameters.values()
  parameters = [each for each in signature if each.kind != inspect.Parameter.VAR_POSITIONAL]  # A spec gives names.
  arguments = tuple(_argument(parameter, builder, describe) for parameter in parameters)
  summary, *notes = doc.paragraphs or ['']
  return Entry(summary, tuple(notes), arguments)


def _argument(
  parameter: inspect.Parameter, builder: Callable[..., Any], describe: Callable[[Any], tuple[str, str] | None]
) -> Argument:
  default, meaning = parameter.default, _meaning(builder, parameter.name)
  if parameter.kind is inspect.Parameter.VAR_KEYWORD:
    return Argument('...', '', None, meaning)
  is_annotated = parameter.annotation is not inspect.Parameter.empty
  written = inspect.formatannotation(parameter.annotation).replace('collections.abc.', '') if is_annotated else ''
  if default is inspect.Parameter.empty:
    return Argument(parameter.name, written, None, meaning)
  if default is None and _REQUIRED in meaning:
    return Argument(parameter.name, written.removesuffix(' | None'), None, meaning.replace(_REQUIRED, ''))
  kind, text = describe(default) or (written, _literal(default))
  by_size = _by_size(builder, parameter.name) if default is None else ''
  return Argument(parameter.name, kind, text, ' '.join(filter(None, (meaning, by_size))))


def _literal(value: Any) -> str:
  return f'"{value}"' if isinstance(value, str) else repr(value)


def _by_size(builder: Callable[..., Any], name: str) -> str:
  """Returns the values that an argument has by default in each of the sizes of the builder's module, if there are any."""
  module = vars(sys.modules[builder.__module__])
  sizes = module.get(f'{builder.__name__.upper()}_SIZES', module.get('SIZES', {}))
  values = [f'{size} {dimensions[name]}' for size, dimensions in sizes.items() if name in dimensions]
  return f'By default that of the size: {", ".join(values)}.' if values else ''


def _meaning(builder: Callable[..., Any], name: str, asked: tuple[Any, ...] = ()) -> str:
  """Returns what is said of an argument, where it is said; empty if it is not."""
  if builder in asked:
    return ''
  said = _doc(builder).arguments.get(name, '')
  if said and not _REFERENCE.match(said):
    return said
  named = _REFERENCE.match(said)
  places = [named[1]] if named else _NAMED.findall(inspect.getdoc(builder) or '')
  found = (_meaning(other, name, (*asked, builder)) for place in places for other in _resolve(builder, place))
  meaning = next(filter(None, found), '')
  more = said[named.end() :].lstrip(';. ') if named else ''
  return ' '.join(filter(None, (meaning, more[:1].upper() + more[1:])))


def _resolve(builder: Callable[..., Any], place: str) -> Iterator[Any]:
  """Yields the function or class that a docstring of a builder calls by a name, if there is one."""
  scope = vars(sys.modules[builder.__module__])
  owner, _, name = place.rpartition('.')
  modules = [value for value in scope.values() if isinstance(value, types.ModuleType)]
  scopes = [vars(scope[owner])] if owner in scope else [scope, *map(vars, modules)]
  for each in scopes:
    if inspect.isfunction(each.get(name)) or inspect.isclass(each.get(name)):
      yield each[name]
      return


def _doc(builder: Callable[..., Any]) -> _Doc:
  """Reads the docstring of a builder, with the arguments of a class where its initializer has them."""
  doc = _split(inspect.getdoc(builder) or '')
  if inspect.isclass(builder) and '__init__' in vars(builder):
    arguments = _split(inspect.getdoc(builder.__init__) or '').arguments
    return _Doc(doc.paragraphs, {**doc.arguments, **arguments})
  return doc


def _split(text: str) -> _Doc:
  section, parts = '', {'': []}
  for line in text.splitlines():
    if line in _SECTIONS:
      section = line
      parts.setdefault(section, [])
    elif line and not line.startswith(' ') and section:
      section = ''  # A paragraph after the arguments.
      parts[''] += ['', line]
    else:
      parts[section].append(line)
  paragraphs = [' '.join(part.split()) for part in '\n'.join(parts['']).split('\n\n')]
  kept = [_ERRORS.sub('', paragraph).strip().rstrip(';') for paragraph in paragraphs]
  arguments: dict[str, str] = {}
  for name in _SAID_OF_ARGUMENTS:
    arguments |= _arguments(parts.get(name, []))
  return _Doc([_ended(paragraph) for paragraph in kept if paragraph], arguments)


def _ended(paragraph: str) -> str:
  return paragraph if paragraph.endswith(('.', ':', '?')) else f'{paragraph}.'


def _arguments(lines: list[str]) -> dict[str, str]:
  """Returns what indented lines say of each argument, by name."""
  said: dict[str, str] = {}
  name = ''
  for line in lines:
    if begun := re.fullmatch(r'  (\w+): (.*)', line):
      name, said[begun[1]] = begun[1], begun[2]
    elif line.startswith('    ') and name:
      said[name] += f' {line.strip()}'
  return said
