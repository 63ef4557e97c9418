"""Makes a grid of runs: specs times seeds, one folder a run.

Question: how do settings compare, each over several seeds?

    python -m experiments.sweep --sweep=experiments/sweeps/combination.toml --output_dir=runs/combination --dry_run
    python -m experiments.sweep --sweep=experiments/sweeps/combination.toml --output_dir=runs/combination
    python -m experiments.compare --runs='runs/combination/*' --output_dir=runs/combination_compared

A sweep file is TOML: `binary`, [flags] for every run, [grid] with a list of values for each flag that varies, and [[runs]]
with a name and flags of its own; experiments/sweeps/ has some. Every flag is checked before anything runs. The same command
skips what is finished and continues what was interrupted; a run that fails does not stop the others. The folder gets a
folder for each run, logs/ with what each printed, and status.md.
"""

import pathlib
import shlex
import signal
import sys
from typing import Any

from absl import flags

from experiments import binary_flags
from experiments import command_line
from experiments import launch
from experiments import sweep_file
from experiments import sweep_runs

_SWEEP = flags.DEFINE_string('sweep', None, 'The sweep file.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Folder for the folders of the runs.')
_PARALLEL = flags.DEFINE_integer(
  'parallel', 1, 'Runs made at once; one already uses all processors, so more seldom helps.', lower_bound=1
)
_DRY_RUN = flags.DEFINE_bool('dry_run', False, 'Only print the runs and their commands.')
_SET = flags.DEFINE_multi_string(
  'set', [], 'flag=value for every run, whatever the file says; for quick trials, such as rounds=3. Repeatable.'
)
flags.DEFINE_bool('version', False, 'Print the version and exit.')


def main() -> None:
  """Reads the sweep, makes its runs and reports."""
  if not (_SWEEP.value and _OUTPUT_DIR.value):
    raise launch.UsageError('name the file and a folder: --sweep=experiments/sweeps/... --output_dir=runs/...')
  folder = pathlib.Path(_OUTPUT_DIR.value)
  sweep = sweep_file.read(pathlib.Path(_SWEEP.value), _SET.value)
  settings = binary_flags.settings(sweep)
  jobs = [_job(sweep.binary, cell, folder, values) for cell, values in zip(sweep.cells, settings, strict=True)]
  runs = sweep_runs.Runs(jobs, folder)
  if _DRY_RUN.value:
    _show(runs)
    return
  signal.signal(signal.SIGTERM, _interrupt)
  try:
    runs.make(_PARALLEL.value)
  except KeyboardInterrupt:
    print(runs.table())
    raise
  print(runs.table())
  print(f"the table is {folder / 'status.md'}; compare by: python -m experiments.compare --runs='{folder}/*'")
  if runs.failed:
    print(f'{len(runs.failed)} of {len(jobs)} runs failed; their output is in {folder / "logs"}', file=sys.stderr)
    sys.exit(1)


def _job(binary: str, cell: sweep_file.Cell, folder: pathlib.Path, settings: dict[str, Any]) -> sweep_runs.Job:
  values = {**cell.flags, 'output_dir': folder / cell.name}
  return sweep_runs.Job(cell.name, [sys.executable, *command_line.arguments(binary, values)], settings)


def _show(runs: sweep_runs.Runs) -> None:
  for job in runs.jobs:
    print(f'{job.name} ({runs.state(job)})\n  {shlex.join(["python", *job.command[1:]])}')
  print(f'{len(runs.jobs)} runs; --dry_run: nothing was run or written')


def _interrupt(signal_number: int, frame: Any) -> None:
  """Ends this process as Ctrl-C does."""
  raise KeyboardInterrupt


if __name__ == '__main__':
  launch.launch(main)
