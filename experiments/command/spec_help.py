"""What `--algorithm=help` and `--upload='help(uniform)'` print: the names that a flag takes, or one name in detail.

The answer comes from `specs.json`, which tools/reference.py writes from the catalogues, so that none of them is imported.
This module imports the standard library only: it runs before a binary does.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import difflib
import itertools
import json
import os
import pathlib
import re
import signal
import sys
import textwrap
import types
from typing import Any
from typing import NoReturn

_SPECS = pathlib.Path(__file__).with_name('specs.json')
_PACKAGE = __name__.partition('.')[0]  # Of the binaries.
_ASKED = re.compile(r"""help(?:\(\s*['"]?(\w*)['"]?\s*\))?""")
_WIDTH = 79  # Of a terminal of 80 columns.
_MEANING_INDENT = ' ' * 6

_PLUGIN = re.compile('--?plugin(=|$)')

_Catalogue = Mapping[str, Any]
_Added = Mapping[str, Mapping[str, Any]]
_NOTHING: _Added = types.MappingProxyType({})


class UnknownNameError(ValueError):
  """A name that no catalogue of a flag has; the message is one line naming near ones."""


def answer_at_once() -> None:
  """Does `answer_if_asked` before anything is imported; where there are plug-ins, the binary asks again once they are loaded."""
  if sys.argv[:1] != ['-m']:  # What Python puts there until it has found the module.
    return
  if not any(_PLUGIN.match(argument) for argument in sys.argv[1:]):
    _answer_if_asked(sys.orig_argv[-len(sys.argv)].removeprefix('-m'), {})


def answer_if_asked(added: _Added) -> None:
  """Prints help and exits, with 0 or for an unknown name 2, if the command line of the binary of this process asks for it."""
  module = sys.modules['__main__'].__spec__
  if module is not None:
    _answer_if_asked(module.name, added)


def _answer_if_asked(module: str, added: _Added) -> None:
  package, _, binary = module.rpartition('.')
  for flag, name in _questions(sys.argv[1:]):
    if package == _PACKAGE and flag in _read()['flags'].get(binary, {}):
      _end(binary, flag, name, added)


def answer(binary: str, flag: str, name: str | None = None, added: _Added = _NOTHING) -> str:
  """Returns what a flag takes, or what one name of it means.

  Args:
    binary: Such as `language_model`.
    flag: One of its flags that take specs, such as `algorithm`.
    name: A name that the flag takes; None for all of them.
    added: What plug-ins add, by catalogue and name.

  Returns:
    Lines of at most 79 characters.

  Raises:
    UnknownNameError: If the flag takes no such name.
  """
  specs = _read()
  catalogues = [
    {**specs['catalogues'][key], 'entries': specs['catalogues'][key]['entries'] | added.get(key, {})}
    for key in specs['flags'][binary][flag]
  ]
  if name is None:
    return _list(flag, catalogues)
  found = [catalogue['entries'][name] for catalogue in catalogues if name in catalogue['entries']]
  if not found:
    known = [each for catalogue in catalogues for each in catalogue['entries']]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    guess = f' (did you mean {" or ".join(near)}?)' if near else ''
    raise UnknownNameError(
      f'--{flag} takes no {name!r}{guess}; it takes {", ".join(known)}; new ones are known here after make docs'
    )
  return '\n\n'.join(_detail(name, entry) for entry in found)


def is_question(value: object) -> bool:
  """Whether the value of a flag asks for help."""
  return isinstance(value, str) and _ASKED.fullmatch(value.strip()) is not None


def flags() -> set[str]:
  """Returns the names of the flags of all binaries that take specs."""
  return {flag for catalogues_of in _read()['flags'].values() for flag in catalogues_of}


def signature(name: str, arguments: Sequence[Mapping[str, Any]]) -> str:
  """Returns a call with all arguments at their defaults, those without one as `...`, in lines of at most 79 characters."""
  shown = [
    each['name'] if each['name'] == '...' else f'{each["name"]}={each["default"] or "..."}' for each in arguments
  ]
  if not shown:
    return name
  indent = ' ' * (len(name) + 1)
  filled = textwrap.fill(', '.join(shown) + ')', _WIDTH, initial_indent=indent, subsequent_indent=indent)
  return f'{name}({filled.lstrip()}'


def _read() -> dict[str, Any]:
  return json.loads(_SPECS.read_text(encoding='utf-8'))


def _questions(arguments: Sequence[str]) -> Iterable[tuple[str, str | None]]:
  """Yields the flags whose value is `help`, and the name in its brackets, if there is one."""
  for argument, following in itertools.pairwise([*arguments, '']):
    if argument == '--':
      return
    flag, given, value = argument.partition('=')
    asked = _ASKED.fullmatch((value if given else following).strip())
    if flag.startswith('-') and asked:
      yield flag.lstrip('-'), asked[1] or None


def _end(binary: str, flag: str, name: str | None, added: _Added) -> NoReturn:
  sys.stdout.reconfigure(errors='backslashreplace')
  try:
    print(answer(binary, flag, name, added), flush=True)
  except UnknownNameError as error:
    print(f'error: {error}', file=sys.stderr)
    sys.exit(2)
  except BrokenPipeError:
    os._exit(128 + signal.SIGPIPE)  # Who was reading, such as `head`, has seen enough.
  sys.exit(0)


def _list(flag: str, catalogues: Sequence[_Catalogue]) -> str:
  width = max(len(name) for catalogue in catalogues for name in catalogue['entries']) + 4
  parts = []
  for catalogue in catalogues:
    lines = [catalogue['title'], '']
    for name, entry in catalogue['entries'].items():
      lines.append(_filled(entry['summary'], f'  {name}'.ljust(width), ' ' * width))
    parts.append('\n'.join(lines))
  example = next((name for name, entry in catalogues[0]['entries'].items() if entry['arguments']), name)
  parts.append(f"--{flag}='help({example})' tells its arguments and their defaults.")
  return '\n\n'.join(parts)


def _detail(name: str, entry: Mapping[str, Any]) -> str:
  arguments = entry['arguments']
  parts = [signature(name, arguments), *(_filled(text, '', '') for text in (entry['summary'], *entry['notes']))]
  lines = []
  for each in arguments:
    default = 'must be given' if each['default'] is None else f'default {each["default"]}'
    head = '  other arguments' if each['name'] == '...' else f'  {each["name"]}: {each["type"]}, {default}'
    lines += [head, _filled(each['meaning'], _MEANING_INDENT, _MEANING_INDENT)]
  return '\n\n'.join([*parts, *(['\n'.join(lines)] if lines else [])])


def _filled(text: str, first_indent: str, indent: str) -> str:
  return textwrap.fill(
    text, _WIDTH, initial_indent=first_indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
  )
