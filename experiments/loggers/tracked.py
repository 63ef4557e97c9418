"""A run as a tracking package keeps it: each row once, whichever process of the run wrote it, and the summary at the end.

What a package has of the run is looked up, and what it lacks is read from `metrics.csv`: rows from before the package was
chosen, or that a failure kept from it. Rounds that are done again after a kill are in it already, and are left out.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import enum
import importlib
import math
import pathlib
import secrets
import types
from typing import Any
from typing import NamedTuple
from typing import Protocol

from experiments.command import failures
from experiments.loggers import logger
from experiments.results import metrics
from experiments.results import output
from experiments.results import run_files

ID_FILE = 'log_id'
_ID_BYTES = 8
_INSTALL = '.venv/bin/pip install --no-deps -r requirements-loggers.txt'


class Ending(enum.Enum):
  """How a run ended, or this process's part of it."""

  FINISHED = 'finished'
  FAILED = 'failed'
  KILLED = 'killed'


class LoggedRun(NamedTuple):
  """The run that is kept.

  Attributes:
    folder: The run's.
    id: Its own, kept in the folder, so that it stays when the folder moves and when settings that are free change.
    name: What people call it: the folder's name.
    group: The training in stages that it belongs to, by its folder's name; None for other runs.
    config: What `config.json` says: `settings`, and facts.
  """

  folder: pathlib.Path
  id: str
  name: str
  group: str | None
  config: Mapping[str, Any]


class Sink(Protocol):
  """The run inside a package."""

  def first_missing(self) -> int:
    """Returns the first round of which it has no row."""

  def log(self, step: int, values: Mapping[str, int | float]) -> None:
    """Adds the row of a round."""

  def conclude(self, summary: Mapping[str, Any]) -> None:
    """Adds what came of the run: numbers and texts, by name."""

  def close(self, ending: Ending) -> None:
    """Ends it, or its part of this process."""


def imported(package: str, attribute: str) -> types.ModuleType:
  """Imports a package that is not among those of requirements.txt.

  Args:
    package: Its name.
    attribute: What it has, unlike a folder that happens to be called so.

  Returns:
    The package.

  Raises:
    UsageError: If it is not there.
  """
  try:
    module = importlib.import_module(package)
    getattr(module, attribute)
  except (ImportError, AttributeError) as error:
    raise failures.UsageError(f'{package} cannot be imported ({error}): {_INSTALL}') from error
  return module


def check_texts(**arguments: Any) -> None:
  """Raises `ValueError` for an argument that is neither a text nor None."""
  for name, value in arguments.items():
    if value is not None and (not isinstance(value, str) or not value):
      raise ValueError(f'{name} must be a text such as "mine", not {value!r}')


@contextlib.contextmanager
def logged(output_dir: pathlib.Path, package: str, begin: Callable[[LoggedRun], Sink]) -> Iterator[logger.OnRow]:
  """Keeps the run of a folder in a package.

  Args:
    output_dir: The folder; it is looked at when the first row comes, or else at the end.
    package: What messages call the package.
    begin: Returns the run as the package has it, made if need be.

  Yields:
    What is to be called with each row.

  Raises:
    RunEnded: If the package refuses something; the same command goes on.
  """
  rows = _Rows(output_dir, package, begin)
  try:
    yield rows.add
  except BaseException as error:
    with contextlib.suppress(failures.RunEnded):  # What ended the run is what a user should read.
      rows.close(Ending.FAILED if isinstance(error, Exception) else Ending.KILLED)
    raise
  rows.finish()


class _Rows:
  """The rows of a run on their way into a package."""

  def __init__(self, folder: pathlib.Path, package: str, begin: Callable[[LoggedRun], Sink]):
    self._folder = folder
    self._package = package
    self._begin = begin
    self._sink: Sink | None = None
    self._next = 0

  def add(self, row: Mapping[str, Any]) -> None:
    """Logs a row, and before the first one of this process those that are missing."""
    with self._blaming():
      if self._sink is None:
        self._open(_step(row))
      self._log(row)

  def finish(self) -> None:
    """Logs what is missing, and what came of the run; nothing if the folder holds no run."""
    if self._sink is None and not (self._folder / 'config.json').exists():
      return
    with self._blaming():
      if self._sink is None:
        self._open(math.inf)
      self._sink.conclude(_flat(run_files.read_summary(self._folder) or {}))
    self.close(Ending.FINISHED)

  def close(self, ending: Ending) -> None:
    """Ends the run's part of this process, if there is one."""
    sink, self._sink = self._sink, None
    if sink is not None:
      with self._blaming():
        sink.close(ending)

  def _open(self, before: float) -> None:
    """Opens the run, and logs the rows of `metrics.csv` that it lacks of rounds before `before`."""
    self._sink = self._begin(_logged_run(self._folder))
    self._next = self._sink.first_missing()
    path = self._folder / 'metrics.csv'
    for row in metrics.read(path) if path.exists() else []:
      if _step(row) < before:
        self._log(row)

  def _log(self, row: Mapping[str, Any]) -> None:
    step = _step(row)
    if step >= self._next:
      self._sink.log(step, {name: value for name, value in row.items() if value is not None})
      self._next = step + 1

  @contextlib.contextmanager
  def _blaming(self) -> Iterator[None]:
    """Raises `RunEnded` in the place of whatever comes out of the package in the block."""
    try:
      yield
    except Exception as error:
      raise failures.RunEnded(
        f'{self._package} refuses what the run logs ({type(error).__name__}: {error}); mend that, or choose another '
        '--log_to, and the same command goes on'
      ) from error


def _step(row: Mapping[str, Any]) -> int:
  """Returns the number of a row: the round's, or of a training in one place the step's."""
  return row['round'] if 'round' in row else row['step']


def _logged_run(folder: pathlib.Path) -> LoggedRun:
  config, path = run_files.read_config(folder), folder / ID_FILE
  if not path.exists():
    output.write_text(path, f'{secrets.token_hex(_ID_BYTES)}\n')
  absolute = folder.absolute()
  if 'stage' in config:
    group = absolute.parent.name
    return LoggedRun(folder, path.read_text().strip(), f'{group}/{absolute.name}', group, config)
  group = absolute.name if 'stages' in config['settings'] else None
  return LoggedRun(folder, path.read_text().strip(), absolute.name, group, config)


def _flat(values: Mapping[str, Any], prefix: str = '') -> dict[str, Any]:
  """Returns the numbers and texts in nested mappings, by names joined by `/`."""
  found = {}
  for name, value in values.items():
    if isinstance(value, Mapping):
      found |= _flat(value, f'{prefix}{name}/')
    elif isinstance(value, int | float | str):
      found[f'{prefix}{name}'] = value
  return found
