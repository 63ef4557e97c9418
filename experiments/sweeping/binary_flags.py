"""The flags of a binary, asked in a process of its own: two binaries that define one flag cannot share a process.

python -m experiments.sweeping.binary_flags BINARY < cells.json
"""

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import importlib
import json
import subprocess
import sys
import types
from typing import Any

from absl import flags

from experiments.command import command_line
from experiments.command import failures
from experiments.command import launch
from experiments.command import plugins
from experiments.command import spec_help
from experiments.sweeping import sweep_file

_REFUSED = 2


def settings(sweep: sweep_file.Sweep) -> list[dict[str, Any]]:
  """Returns for each run of a sweep the value of every flag of the binary but `output_dir`, defaults included.

  Plug-ins are those of the run and those of this process, with their hashes; without one there is no such value.

  Raises:
    UsageError: For a flag that the binary does not have, a value that a flag does not take, and a binary that cannot be
      imported. What specs say is not looked at.
  """
  for cell in sweep.cells:
    if asking := [name for name, value in cell.flags.items() if spec_help.is_question(value)]:
      raise failures.UsageError(
        f'{asking[0]} of run {cell.name!r} asks for help: ask at the prompt, and name a value here'
      )
  process = subprocess.run(
    [sys.executable, '-m', 'experiments.sweeping.binary_flags', sweep.binary],
    input=json.dumps([[cell.name, cell.flags] for cell in sweep.cells]),
    capture_output=True,
    text=True,
    check=False,
  )
  last = process.stderr.strip().rpartition('\n')[2]
  if process.returncode == _REFUSED:
    raise failures.UsageError(last.removeprefix('error: '))
  if process.returncode:
    raise failures.UsageError(f'{command_line.PACKAGE}.{sweep.binary} cannot be imported: {last}')
  return [_with_plugins(values) for values in json.loads(process.stdout.rpartition('\n')[2])]


def _with_plugins(values: dict[str, Any]) -> dict[str, Any]:
  named = [*plugins.settings().get(plugins.SETTING, []), *values.pop(plugins.SETTING)]
  return values | ({plugins.SETTING: list(dict.fromkeys(named))} if named else {})


def resolve(
  binary: str,
  known: Mapping[str, flags.Flag],
  cells: Sequence[tuple[str, Mapping[str, str]]],
  defaults_for: Callable[[Mapping[str, str]], Mapping[str, Any]] = lambda given: {},
) -> list[dict]:
  """Does what `settings` says.

  Args:
    binary: Its name.
    known: Its flags, by name.
    cells: Name and flags of each run.
    defaults_for: From the flags of a run to the defaults of others that depend on them.

  Returns:
    The settings of each run.

  Raises:
    UsageError: See `settings`.
  """
  return [
    {name: flag.default for name, flag in known.items()}
    | dict(defaults_for(texts))
    | {name: _value(binary, known, cell, name, text) for name, text in texts.items()}
    for cell, texts in cells
  ]


def _value(binary: str, known: Mapping[str, flags.Flag], cell: str, name: str, text: str) -> Any:
  if name not in known:
    raise failures.UsageError(
      f'{name!r} of run {cell!r} is no flag of {command_line.PACKAGE}.{binary}{sweep_file.nearest(name, known)}; '
      f'it has {", ".join(known)}'
    )
  if name == plugins.SETTING:
    return [plugins.fixed(text)]
  try:
    return known[name].parser.parse(text)
  except ValueError as error:
    raise failures.UsageError(f'{name}={text} of run {cell!r}: {error}') from error


def of(binary: str) -> tuple[types.ModuleType, dict[str, flags.Flag]]:
  """Imports a binary, of which a process has one at most; returns it and the flags that it takes, by name."""
  module = importlib.import_module(f'experiments.{binary}')
  taken = [*flags.FLAGS.get_key_flags_for_module(module), flags.FLAGS[plugins.SETTING]]
  return module, {flag.name: flag for flag in taken}


def main() -> None:
  """Imports the binary, reads cells from stdin and prints their settings as one line of JSON."""
  binary, cells = sys.argv[1], json.load(sys.stdin)
  module, taken = of(binary)
  defining = {flags.FLAGS.find_module_defining_flag(name) for name in taken}
  known = {flag.name: flag for origin in defining for flag in flags.FLAGS.get_flags_for_module(origin)}
  if 'output_dir' not in known:
    raise failures.UsageError(
      f'{command_line.PACKAGE}.{binary} has no --output_dir: a sweep needs a binary that leaves its results'
    )
  defaults_for = [module.defaults_for] if hasattr(module, 'defaults_for') else []
  rest = {name: flag for name, flag in sorted(known.items()) if name not in ('output_dir', 'version')}
  print('\n' + json.dumps(resolve(binary, rest, cells, *defaults_for), default=str), end='')


if __name__ == '__main__':
  launch.guarded(main, sys.argv[:1])
