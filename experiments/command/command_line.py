"""Flags as text: the command that starts a binary with given flags, and what flag files hold."""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import shlex
from typing import Any

from absl import flags

ROOT = pathlib.Path(__file__).parents[2]  # Where `python -m experiments.language_model` finds its modules.
PACKAGE = 'experiments'  # Of the binaries.
_COMMENTS = ('#', '//')


def expanded(arguments: Sequence[str], reading: Sequence[str] = ()) -> list[str]:
  """Returns arguments with the lines of flag files in the place of `--flagfile=...`.

  Flag files are UTF-8 whatever the locale, with or without a byte order mark; blank lines and comments do not count.

  Args:
    arguments: What follows the name of a program.
    reading: The flag files that these are the lines of, each named by the one before.

  Returns:
    The arguments, in order, so that the last one of a name wins.

  Raises:
    flags.Error: If a file cannot be read, or names itself.
  """
  found, waiting = [], list(arguments)
  while waiting:
    argument = waiting.pop(0)
    name, given, path = argument.partition('=')
    if argument == '--':
      return [*found, argument, *waiting]
    if name not in ('--flagfile', '-flagfile'):
      found.append(argument)
    elif given or waiting:
      path = path.strip() if given else waiting.pop(0)
      found += expanded(_lines(path, reading), [*reading, path]) if path else []
    else:
      raise flags.Error(f'{name} names no file: write --flagfile=...')
  return found


def _lines(path: str, reading: Sequence[str]) -> list[str]:
  if path in reading:
    raise flags.Error(f'--flagfile={path} names itself: leave it out of {reading[-1]}')
  try:
    lines = pathlib.Path(path).expanduser().read_text(encoding='utf-8-sig').split('\n')
  except UnicodeDecodeError as error:
    raise flags.Error(f'--flagfile={path} is not UTF-8 at byte {error.start}: convert it') from error
  except (OSError, ValueError, RuntimeError) as error:
    raise flags.Error(f'--flagfile={path} cannot be read: {getattr(error, "strerror", None) or error}') from error
  return [line.strip() for line in lines if line.strip() and not line.startswith(_COMMENTS)]


def flag_text(value: Any) -> str:
  """Returns the text of a flag's value as absl reads it: `true` for True."""
  return str(value).lower() if isinstance(value, bool) else str(value)


def flag_texts(settings: Mapping[str, Any]) -> list[str]:
  """Returns flags as a command or a flag file gives them; those that are None are left out, a list is one for each."""
  return [
    f'--{name}={flag_text(value)}'
    for name, values in settings.items()
    for value in (values if isinstance(values, list) else [values])
    if value is not None
  ]


def arguments(binary: str, settings: Mapping[str, Any]) -> list[str]:
  """Returns what follows `python` to run `experiments.<binary>`; flags that are None are left out."""
  return ['-m', f'{PACKAGE}.{binary}', *flag_texts(settings)]


def shell(binary: str, settings: Mapping[str, Any]) -> str:
  """Returns a line for a shell that runs the binary, with whatever the shell would interpret in quotes."""
  return shlex.join(['python', *arguments(binary, settings)])
