"""The commands that pages write: what is wrong with them, by the flags and catalogues of the binaries."""

from collections.abc import Mapping
import importlib
import itertools
import pathlib
import re
import shlex
import types

from experiments.command import builder_docs
from experiments.command import plugin_tables
from experiments.command import spec
from experiments.command import spec_help
from tools import binary_docs
from tools import spec_flags

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_COMMAND = re.compile(r'python -m experiments\.(\w+)([^`\n]*)')
_PLACEHOLDER = re.compile(r'\$\w+|\b[A-Z]{2,}\b')  # What the reader or the shell puts in.
_OF_ALL = ('help', 'version', 'flagfile')  # Flags.
_SEPARATORS = {'policies': ';'}  # Of flags that take several specs.
_Binaries = dict[str, binary_docs.Binary]


def wrong_commands(text: str, binaries: _Binaries) -> list[str]:
  """Returns what is wrong with the commands `python -m experiments.x --flag=...` of a text."""
  wrong = []
  for name, rest in _COMMAND.findall(re.sub(r'\\\n\s*', ' ', text).replace('\\|', '|')):
    if name not in binaries:
      wrong.append(f'there is no binary {name}')
      continue
    try:
      arguments = _arguments(rest)
    except ValueError as error:
      wrong.append(f'{name}{rest}: {error}')
      continue
    joined = _joined(arguments, binaries[name])
    own = _of_plugins(joined)
    for argument in joined:
      wrong += [f'{name} {argument}: {what}' for what in _wrong_with(argument, binaries[name], own)]
  return wrong


def _of_plugins(arguments: list[str]) -> dict[str, dict[str, builder_docs.Entry]]:
  """Returns what plug-ins of this tree that a command names add, by catalogue and name."""
  found = {}
  for argument in arguments:
    flag, _, path = argument.partition('=')
    if flag == '--plugin' and (_ROOT / 'examples' / pathlib.Path(path).name).is_file():
      module = importlib.import_module(f'examples.{pathlib.Path(path).stem}')
      for name, table in plugin_tables.tables().items():
        described = {
          key: builder_docs.entry(builder, lambda _: None) for key, builder in getattr(module, name, {}).items()
        }
        found[table.key] = found.get(table.key, {}) | described
  return found


def _arguments(text: str) -> list[str]:
  """Returns the words of a shell's line up to the end of its first command; raises `ValueError` for an open quotation."""
  words = shlex.shlex(re.sub(r' \d?>.*', '', text), posix=True, punctuation_chars=';&|')
  words.whitespace_split = True
  return list(itertools.takewhile(lambda word: word.strip(';&|'), words))


def _joined(arguments: list[str], binary: binary_docs.Binary) -> list[str]:
  """Returns arguments with `--name=value` for `--name value`; flags that are true or false take none."""
  waiting, joined = {f'--{flag.name}' for flag in binary.flags if flag.kind != 'bool'}, []
  for argument in arguments:
    if joined and joined[-1] in waiting:
      joined[-1] += f'={argument}'
    else:
      joined.append(argument)
  return joined


def _wrong_with(
  argument: str, binary: binary_docs.Binary, own: Mapping[str, Mapping[str, builder_docs.Entry]]
) -> list[str]:
  flag, given, value = argument.removeprefix('--').partition('=')
  flags = {each.name: each for each in binary.flags}
  if not argument.startswith('--'):
    return ['this is no flag']
  if value.startswith('experiments/') and not (_ROOT / value).exists():
    return ['there is no such file']
  if flag in _OF_ALL or _PLACEHOLDER.fullmatch(value):
    return []
  if flag not in flags:
    return ['there is no such flag']
  keys = spec_flags.FLAGS.get(binary.name, {}).get(flag)
  if keys:
    return wrong_spec(_PLACEHOLDER.sub('None', value), binary.name, flag, keys, own)
  choices = flags[flag].kind.split(', ')
  is_choice = len(choices) < 2 or value in choices
  is_number = flags[flag].kind not in ('int', 'float') or re.fullmatch(r'-?[\d.e-]+', value)
  return [] if is_choice and (is_number or not given) else [f'takes {flags[flag].kind}']


def wrong_spec(
  text: str,
  binary: str,
  flag: str,
  keys: tuple[str, ...],
  own: Mapping[str, Mapping[str, builder_docs.Entry]] = types.MappingProxyType({}),
) -> list[str]:
  if text.startswith('help'):
    return [] if spec_help.answer(binary, flag, text.removeprefix('help').strip('()') or None) else ['no help']
  entries = {
    name: entry for key in keys for name, entry in {**spec_flags.CATALOGUES[key].entries(), **own.get(key, {})}.items()
  }
  wrong = []
  separator = _SEPARATORS.get(flag)
  try:
    calls = [call for part in (text.split(separator) if separator else [text]) for call in spec.parse(part)]
  except spec.SpecError as error:
    return [str(error)]
  for call in calls:
    known = {each.name for each in entries[call.name].arguments} if call.name in entries else None
    if known is None:
      wrong.append(f'takes no {call.name}')
    elif '...' not in known and not set(call.arguments) <= known:
      wrong.append(f'{call.name} takes {", ".join(known)}')
  return wrong
