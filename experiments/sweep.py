"""Makes a grid of runs: specs times seeds, one folder a run.

Question: how do settings compare, each over several seeds?

    python -m experiments.sweep --sweep=experiments/sweeps/combination.toml --output_dir=runs/combination --dry_run
    python -m experiments.sweep --sweep=experiments/sweeps/combination.toml --output_dir=runs/combination
    python -m experiments.compare --runs='runs/combination/*' --output_dir=runs/combination_compared

A sweep file is TOML: `binary`, [flags] for every run, [grid] with a list of values for each flag that varies, [search] with
values of which each run takes those that are best on validation clients, and [[runs]] with a name and flags of its own;
experiments/sweeps/ has some. Names of flags, and values that are no specs, are checked before anything runs. The same
command skips what is finished and continues what was interrupted; a run that fails does not stop the others. The folder
gets a folder for each run, logs/ with what each printed, status.md, and search/ with the runs of the search and chosen.md.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import shlex
import signal
import sys
import threading
from typing import Any

from experiments.command import command_line
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import launch
from experiments.results import output
from experiments.results import terminal
from experiments.sweeping import binary_flags
from experiments.sweeping import sweep_file
from experiments.sweeping import sweep_runs
from experiments.sweeping import sweep_search

_SEARCH = 'search'  # The folder of its runs.
FLAGS = flag_table.FlagTable('sweep')
FLAGS.string('sweep', None, 'The sweep file.')
FLAGS.string('output_dir', None, 'Folder for the folders of the runs.')
FLAGS.integer('parallel', 1, 'Runs made at once; one already uses all processors, so more seldom helps.', lower_bound=1)
FLAGS.bool('dry_run', False, 'Only print the runs and their commands.')
FLAGS.multi_string(
  'set', [], 'flag=value for every run, whatever the file says; for quick trials, such as rounds=3. Repeatable.'
)


def main(given: Mapping[str, Any]) -> None:
  """Reads the sweep, makes its runs and reports."""
  if not (given['sweep'] and given['output_dir']):
    raise failures.UsageError('name the file and a folder: --sweep=experiments/sweeps/... --output_dir=runs/...')
  folder = pathlib.Path(given['output_dir'])
  sweep = sweep_file.read(pathlib.Path(given['sweep']), given['set'])
  searches = sweep_search.searches(sweep.cells)
  tried = _runs(sweep, [candidate.cell for search in searches for candidate in search.candidates], folder / _SEARCH)
  runs = _runs(sweep, [cell for cell in sweep.cells if not cell.candidates], folder)
  if given['dry_run']:
    _show(tried, runs, [cell.name for cell in sweep.cells if cell.candidates])
    return
  if threading.current_thread() is threading.main_thread():  # No other gets signals.
    signal.signal(signal.SIGTERM, _interrupt)
  failed, undecided = [], []
  if searches:
    failed += _make(tried, given['parallel'])
    choices = [sweep_search.choose(search, tried) for search in searches]
    output.write_text(folder / _SEARCH / 'chosen.md', sweep_search.table(choices) + '\n')
    terminal.show(sweep_search.table(choices))
    undecided = sweep_search.undecided(choices)
    runs = _runs(sweep, sweep_search.chosen(sweep.cells, choices), folder)
  failed += _make(runs, given['parallel'])
  print(f"the table is {folder / 'status.md'}; compare by: python -m experiments.compare --runs='{folder}/*'")
  ended = []
  if failed:
    num_runs, logs = len(tried.jobs) + len(runs.jobs), ' and '.join(dict.fromkeys(str(log.parent) for log in failed))
    ended.append(f'{len(failed)} of {num_runs} runs failed; their output is in {logs}')
  if undecided:
    ended.append(f'not run, since all that was tried for them failed or diverged: {", ".join(undecided)}')
  if ended:
    raise failures.RunEnded('; '.join(ended))


def _runs(sweep: sweep_file.Sweep, cells: Sequence[sweep_file.Cell], folder: pathlib.Path) -> sweep_runs.Runs:
  """Returns runs below a folder, their flags found to be those of the binary."""
  settings = binary_flags.settings(sweep._replace(cells=cells)) if cells else []
  return sweep_runs.Runs(
    [_job(sweep.binary, cell, folder, values) for cell, values in zip(cells, settings, strict=True)], folder
  )


def _make(runs: sweep_runs.Runs, parallel: int) -> list[pathlib.Path]:
  """Makes runs and prints their table, whatever ends this; returns the logs of those that failed."""
  try:
    runs.make(parallel)
  finally:
    terminal.show(runs.table())
  return [runs.folder / 'logs' / f'{name}.log' for name in runs.failed]


def _job(binary: str, cell: sweep_file.Cell, folder: pathlib.Path, settings: dict[str, Any]) -> sweep_runs.Job:
  named = {name: value for name, value in settings.items() if name == flag_table.PLUGIN}
  values = {**cell.flags, **named, 'output_dir': folder / cell.name}
  return sweep_runs.Job(cell.name, [sys.executable, *command_line.arguments(binary, values)], settings)


def _show(tried: sweep_runs.Runs, runs: sweep_runs.Runs, waiting: Sequence[str]) -> None:
  for part in (tried, runs):
    for job in part.jobs:
      print(f'{job.name} ({part.state(job)})\n  {shlex.join(["python", *job.command[1:]])}')
  for name in waiting:
    print(f'{name} (waits for its search)')
  searched = f', after {len(tried.jobs)} to search' if tried.jobs else ''
  print(f'{len(runs.jobs) + len(waiting)} runs{searched}; --dry_run: nothing was run or written')


def _interrupt(signal_number: int, frame: Any) -> None:
  """Ends this process as Ctrl-C does."""
  raise KeyboardInterrupt


if __name__ == '__main__':
  launch.launch(main, FLAGS)
