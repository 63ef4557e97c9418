"""Runs the cells of a sweep as processes, some at a time, and knows how far each of them is."""

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time
from typing import Any
from typing import NamedTuple

from data import progress
from experiments.command import failures
from experiments.command import tied_process
from experiments.results import markdown_table
from experiments.results import metrics
from experiments.results import output
from experiments.results import quality
from experiments.results import run_files

_POLL_SECONDS = 0.2
_SECONDS_TO_END = 15.0
_ERROR = re.compile(r'(error: |[\w.]*(Error|Exception|Interrupt)\b)')
_MAX_NOTE = 200
_HEADER = ('run', 'state', 'last evaluation', 'MB up', 'minutes', 'note')


class Job(NamedTuple):
  """One run to make: its name, the command that makes or continues it, and the settings that a finished one recorded."""

  name: str
  command: Sequence[str]
  settings: Mapping[str, Any]


class _Process(NamedTuple):
  job: Job
  popen: subprocess.Popen
  log_path: pathlib.Path
  log_start: int


class Runs:
  """The runs of a sweep below one folder: a folder for each, their output in `logs/`, and `status.md`."""

  def __init__(self, jobs: Sequence[Job], folder: pathlib.Path):
    self.jobs = jobs
    self.folder = folder
    self._done = {job.name for job in jobs if is_finished(folder / job.name, job.settings)}
    self._failed: dict[str, str] = {}
    self._processes: list[_Process] = []

  @property
  def done(self) -> Collection[str]:
    """The names of the runs that were finished with their settings before, or have been made."""
    return self._done

  @property
  def failed(self) -> Mapping[str, str]:
    """The last line of error of each run that failed, by name."""
    return self._failed

  def make(self, parallel: int) -> None:
    """Makes every run that is not finished, `parallel` at a time, and goes on past those that fail.

    Whatever ends this call, the processes it started end with it.

    Raises:
      UsageError: If the folder cannot be used, or another sweep is at work in it.
    """
    waiting = [job for job in self.jobs if job.name not in self._done]
    with _claimed(self.folder), progress.Progress('run', len(self.jobs), len(self.jobs) - len(waiting)) as bar:
      try:
        while waiting or self._processes:
          while waiting and len(self._processes) < parallel:
            self._processes.append(_start(waiting.pop(0), self.folder / 'logs'))
            self._write_status()
          bar.show(', '.join(process.job.name for process in self._processes))
          time.sleep(_POLL_SECONDS)
          for process in [process for process in self._processes if process.popen.poll() is not None]:
            self._end(process, bar)
      finally:
        _stop([process.popen for process in self._processes])
        self._processes.clear()
        self._write_status()

  def table(self) -> str:
    """Renders the state of every run as a Markdown table."""
    return markdown_table.render(_HEADER, (self._row(job) for job in self.jobs))

  def state(self, job: Job) -> str:
    """Returns how far a run is: `done`, `failed`, `running`, `stopped after round 7` or `not begun`."""
    if job.name in self._failed:
      return 'failed'
    if job.name in self._done:
      return 'done'
    if any(process.job.name == job.name for process in self._processes):
      return 'running'
    rows = _rows(self.folder / job.name)
    return f'stopped after round {rows[-1]["round"]}' if rows else 'not begun'

  def _end(self, process: _Process, bar: progress.Progress) -> None:
    self._processes.remove(process)
    name = process.job.name
    if process.popen.returncode:
      self._failed[name] = _last_error(process)
      bar.advance(state=f'{name} failed: {self._failed[name]}', is_news=True)
    else:
      self._done.add(name)
      bar.advance(state=f'{name} is done', is_news=True)
    self._write_status()

  def _row(self, job: Job) -> list[str]:
    rows = _rows(self.folder / job.name)
    seconds = [row['round_seconds'] for row in rows if row['round_seconds'] is not None]
    return [
      f'`{job.name}`',
      self.state(job),
      quality.last(rows) if quality.is_judged(rows) else '',
      f'{rows[-1]["upload_bytes_total"] / 1e6:.1f}' if rows else '',
      f'{sum(seconds) / 60:.1f}' if seconds else '',
      self._failed.get(job.name, ''),
    ]

  def _write_status(self) -> None:
    states = [self.state(job) for job in self.jobs]
    summary = f'{states.count("done")} of {len(states)} runs done, {states.count("failed")} failed.'
    text = f'# {self.folder.name}\n\n{summary} Minutes are those of rounds, without evaluations.\n\n{self.table()}\n'
    output.write_text(self.folder / 'status.md', text)


def is_finished(folder: pathlib.Path, settings: Mapping[str, Any]) -> bool:
  """Returns whether `folder` holds a run with these settings that has done all its rounds."""
  try:
    summary, recorded = run_files.read_summary(folder), run_files.read_config(folder)['settings']
    same = all(settings.get(name) == value for name, value in recorded.items() if name != 'output_dir')
    new = [name for name in settings if name not in recorded and settings[name] is not None]
    return same and not new and summary is not None and summary['rounds'] == recorded['rounds']
  except (ValueError, KeyError):
    return False


def _rows(folder: pathlib.Path) -> list[Mapping[str, Any]]:
  """Returns the rows of a run's metrics, the last one with its probe; none if there are no such rows."""
  try:
    rows = run_files.read_rows(folder, run_files.read_summary(folder))
  except (OSError, ValueError):
    return []
  return rows if rows and set(metrics.COLUMNS) <= set(rows[0]) else []


@contextlib.contextmanager
def _claimed(folder: pathlib.Path) -> Any:
  """Keeps `folder` for this sweep while the block runs: two would make the same runs."""
  with output.exclusive(folder, f'another sweep is at work in {folder}'):
    if (folder / 'config.json').exists():
      raise failures.UsageError(f'{folder} is the folder of one run: choose another --output_dir for a sweep')
    output.make(folder / 'logs')
    yield


def _start(job: Job, logs: pathlib.Path) -> _Process:
  """Starts a run that ends with this process, prints to its log and gets no signals from the terminal."""
  path = logs / f'{job.name}.log'
  with path.open('ab') as log:
    popen = subprocess.Popen(
      [sys.executable, '-I', '-S', tied_process.__file__, str(os.getpid()), *job.command],
      stdin=subprocess.DEVNULL,
      stdout=log,
      stderr=subprocess.STDOUT,
      start_new_session=True,
    )
    return _Process(job, popen, path, log.tell())


def _stop(processes: Sequence[subprocess.Popen]) -> None:
  """Ends processes: gently, then not."""
  for process in processes:
    process.terminate()
  deadline = time.monotonic() + _SECONDS_TO_END
  for process in processes:
    try:
      process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
      process.kill()
      process.wait()


def _last_error(process: _Process) -> str:
  with process.log_path.open('rb') as log:
    log.seek(process.log_start)
    lines = [line.strip() for line in log.read().decode(errors='replace').splitlines() if line.strip()]
  code = process.popen.returncode
  if code < 0:
    return f'ended by signal {-code}'
  errors = [line for line in lines if _ERROR.match(line)] or lines or [f'exit code {code}']
  return errors[-1][:_MAX_NOTE]
