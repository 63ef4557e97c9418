"""The files that say what a run is and what came of it: `config.json`, `run.flags`, `summary.json`."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import fcntl
import importlib.metadata
import json
import math
import os
import pathlib
import subprocess
from typing import Any

from data import cache
from experiments.command import command_line
from experiments.command import failures
from experiments.command import flag_table
from experiments.command import plugins
from experiments.results import same_content

_PACKAGES = ('tensorflow', 'tensorflow-federated', 'tensorflow-text', 'numpy', 'sentencepiece')
# A finished run may go on for more rounds, elsewhere, under other eyes; workers change the order of additions and so the
# last bits only.
FREE_TO_CHANGE = ('output_dir', 'rounds', 'runtime', 'log_to', 'epsilon_budget')
COMPUTATIONS = 'computations_sha256'  # The fact that names them.

_UNSAID = {'base': 'every_round', 'privacy': 'none'}  # What federated runs did before there were flags for it.
_BEFORE_CONFIG = ('worker.log', f'config.json{cache.PART}', '.')  # What a killed run may leave before its config.


@contextlib.contextmanager
def usable(output_dir: pathlib.Path) -> Iterator[None]:
  """Raises `UsageError` with a remedy if the system refuses what the block does in a folder."""
  try:
    yield
  except OSError as error:
    file = next((path for path in (output_dir, *output_dir.parents) if os.path.isfile(path)), None)
    reason = f'{file} is a file; choose a folder' if file else f'{error.strerror}; choose a folder you can write'
    raise failures.UsageError(f'cannot use --output_dir={output_dir}: {reason}') from error


def make(output_dir: pathlib.Path) -> None:
  """Makes a folder unless it is there; raises `UsageError` if it cannot."""
  with usable(output_dir):
    output_dir.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def exclusive(output_dir: pathlib.Path, refusal: str) -> Iterator[None]:
  """Makes a folder unless it is there, and keeps it from other processes inside the block, or until this one is killed.

  Args:
    output_dir: The folder.
    refusal: How to tell that another process has it.

  Raises:
    UsageError: If another process has it, or it cannot be made.
  """
  with contextlib.ExitStack() as held:
    with usable(output_dir):
      make(output_dir)
      descriptor = os.open(output_dir, os.O_RDONLY)
      held.callback(os.close, descriptor)
      try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      except BlockingIOError as error:
        raise failures.UsageError(f'{refusal}: wait for it, or choose a new --output_dir') from error
    yield


@contextlib.contextmanager
def claimed(
  output_dir: pathlib.Path,
  settings: Mapping[str, Any],
  facts: Mapping[str, Any],
  check: Callable[[], None] = lambda: None,
) -> Iterator[None]:
  """Makes `output_dir` the folder of this run, or checks that it already is, and keeps it from others inside the block.

  Writes `config.json`, which keeps the commits of code that wrote to the folder before, and `run.flags`; removes what a
  killed process left unfinished. A run that is refused inside the block, before it left anything, leaves nothing.

  Args:
    output_dir: Created if need be.
    settings: Every flag by name; the plug-ins of this process are added to them.
    facts: What else decides the result: the data-set hash, the number of parameters.
    check: Called before anything is written; raises `UsageError` if what is in the folder cannot go on as asked.

  Raises:
    UsageError: If the folder cannot be written, holds something else, or a run with other settings, or another process
      has claimed it.
  """
  settings = dict(settings) | plugins.settings()
  config = dict(
    settings=settings,
    **facts,
    binary=flag_table.called_binary(),
    packages=_versions(),
    git_commit=_git_commit(),
  )
  was_there = output_dir.exists()
  with contextlib.ExitStack() as held:
    held.enter_context(exclusive(output_dir, f'another process writes to {output_dir}'))
    with usable(output_dir):
      is_new = not (output_dir / 'config.json').exists()
      _check_same_run(output_dir, settings, facts)
      check()
      for left_over in [*output_dir.glob(f'*{cache.PART}'), *output_dir.glob('metrics.csv_temp*')]:
        left_over.unlink()
      earlier = _earlier_commits(output_dir / 'config.json', config['git_commit'])
      write_json(output_dir / 'config.json', config | {'earlier_commits': earlier})
      write_text(output_dir / 'run.flags', '\n'.join(command_line.flag_texts(settings)) + '\n')
    try:
      yield
    except failures.UsageError:
      if is_new:
        _forget(output_dir, was_there)
      raise


def _forget(output_dir: pathlib.Path, was_there: bool) -> None:
  """Removes what a refused run wrote, and the folder unless it was there, if nothing else is in it."""
  names = ('run.flags', 'worker.log', 'config.json')  # In this order: what a kill leaves of them is a run.
  if {entry.name for entry in output_dir.iterdir()} <= set(names):
    for name in names:
      (output_dir / name).unlink(missing_ok=True)
    if not was_there:
      output_dir.rmdir()


def _earlier_commits(path: pathlib.Path, commit: str | None) -> list[str]:
  """Returns what other commits than `commit` wrote the config at `path`, the first first."""
  before = json.loads(path.read_text()) if path.exists() else {}
  commits = [*before.get('earlier_commits', []), before.get('git_commit')]
  return [earlier for earlier in dict.fromkeys(commits) if earlier not in (None, commit)]


def completed(settings: Mapping[str, Any]) -> dict[str, Any]:
  """Returns the settings of a run, maybe of an earlier version, with those that it did not need to say."""
  return (_UNSAID if 'download' in settings else {}) | dict(settings)


def _check_same_run(output_dir: pathlib.Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
  path = output_dir / 'config.json'
  if not path.exists():
    if any(not entry.name.startswith(_BEFORE_CONFIG) for entry in output_dir.iterdir()):
      raise failures.UsageError(f'{output_dir} holds other files and no run: choose a new --output_dir')
    return
  try:
    before = json.loads(path.read_text())
    recorded = completed(before['settings']) | {name: before.get(name) for name in facts}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise failures.UsageError(f'{path} is not the config of a run: choose a new --output_dir') from error
  # A folder of an earlier version may lack a fact; where settings do not define the run, it is needed all the same.
  defines = set(settings) - {flag_table.PLUGIN}
  known = {name: value for name, value in facts.items() if name in before or not defines}
  for name, value in (dict.fromkeys(recorded) | completed(settings) | known).items():
    if recorded.get(name) == value or name in FREE_TO_CHANGE or (name in facts and name not in known):
      continue
    if same_content.identity(name, recorded.get(name), recorded) != same_content.identity(name, value, facts):
      raise failures.UsageError(
        f'{output_dir} holds a run with {_told_apart(name, recorded.get(name), value)}: choose a new --output_dir or '
        + (
          'the script of that run, with the same initial weights'
          if name == COMPUTATIONS
          else 'the settings of that run (its run.flags)'
        )
      )


def _told_apart(name: str, recorded: Any, value: Any) -> str:
  """Says what two values have of which one is recorded; of mappings the first part that differs."""
  if isinstance(recorded, Mapping) and isinstance(value, Mapping):
    part = next(part for part in {**recorded, **value} if recorded.get(part) != value.get(part))
    return _told_apart(f'{name}.{part}', recorded.get(part), value.get(part))
  return f'{name}={recorded!r}, not {value!r}'


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes `value` so that a reader, or a restart after a kill, sees the old file or the new one, never half.

  The file is JSON as the standard has it: a number that is not finite becomes null.
  """
  write_text(path, json_text(value))


def json_text(value: Mapping[str, Any]) -> str:
  """Returns what `write_json` writes."""
  return json.dumps(finite(value), indent=2, allow_nan=False) + '\n'


def finite(value: Any) -> Any:
  """Returns numbers, texts, lists and mappings with None in the place of every number that is infinite or NaN."""
  if isinstance(value, Mapping):
    return {name: finite(part) for name, part in value.items()}
  if isinstance(value, (list, tuple)):
    return [finite(part) for part in value]
  return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes `text` as `write_json` does, in UTF-8, and what Python could not decode, such as a path, as it was."""
  with cache.temporary(path) as unfinished:
    unfinished.write_text(text, encoding='utf-8', errors='surrogateescape')
    cache.publish(unfinished, path)


def _versions() -> dict[str, str]:
  return {name: importlib.metadata.version(name) for name in _PACKAGES}


def _git_commit() -> str | None:
  folder = pathlib.Path(__file__).parent
  try:
    found = subprocess.run(
      ['git', 'rev-parse', 'HEAD'], cwd=folder, capture_output=True, text=True, check=False, timeout=10
    )
  except (OSError, subprocess.TimeoutExpired):
    return None
  return found.stdout.strip() or None
