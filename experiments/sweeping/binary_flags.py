"""The flags of a binary, asked in a process of its own: a sweep does not wait for TensorFlow, which they import.

python -m experiments.sweeping.binary_flags BINARY < cells.json
"""

from collections.abc import Mapping
from collections.abc import Sequence
import importlib
import json
import subprocess
import sys
from typing import Any

from experiments.command import command_line
from experiments.command import failures
from experiments.command import flag_table
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
  named = [*plugins.settings().get(flag_table.PLUGIN, []), *values.pop(flag_table.PLUGIN)]
  return values | ({flag_table.PLUGIN: list(dict.fromkeys(named))} if named else {})


def resolve(table: flag_table.FlagTable, cells: Sequence[tuple[str, Mapping[str, str]]]) -> list[dict[str, Any]]:
  """Does what `settings` says, for name and flags of each run."""
  return [_resolved(table, *cell) for cell in cells]


def _resolved(table: flag_table.FlagTable, cell: str, texts: Mapping[str, str]) -> dict[str, Any]:
  given = {name: plugins.fixed(text) if name == flag_table.PLUGIN else text for name, text in texts.items()}
  try:
    values = table.read(given)
  except failures.UsageError as error:
    raise failures.UsageError(f'run {cell!r}: {error}') from error
  return {name: values[name] for name in sorted(values) if name != 'output_dir'}


def main() -> None:
  """Imports the binary, reads cells from stdin and prints their settings as one line of JSON."""
  binary, cells = sys.argv[1], json.load(sys.stdin)
  table = importlib.import_module(f'{command_line.PACKAGE}.{binary}').FLAGS
  if 'output_dir' not in table.shown():
    raise failures.UsageError(
      f'{command_line.PACKAGE}.{binary} has no --output_dir: a sweep needs a binary that leaves its results'
    )
  print('\n' + json.dumps(resolve(table, cells)), end='')


if __name__ == '__main__':
  launch.guarded(main, sys.argv[:1])
