"""The files that say what a run is and what came of it: `config.json`, `run.flags`, `summary.json`."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import fcntl
import importlib.metadata
import json
import os
import pathlib
import subprocess
import sys
from typing import Any

from data import cache
from experiments import command_line
from experiments import launch

_PACKAGES = ('tensorflow', 'tensorflow-federated', 'tensorflow-text', 'numpy', 'sentencepiece')
# A finished run may go on for more rounds, elsewhere; workers change the order of additions and so the last bits only.
_FREE_TO_CHANGE = ('output_dir', 'rounds', 'runtime')

_BEFORE_CONFIG = ('worker.log', f'config.json{cache.PART}', '.')  # What a killed run may leave before its config.


@contextlib.contextmanager
def usable(output_dir: pathlib.Path) -> Iterator[None]:
  """Raises `UsageError` with a remedy if the system refuses what the block does in a folder."""
  try:
    yield
  except OSError as error:
    raise launch.UsageError(
      f'cannot use --output_dir={output_dir}: {error.strerror}; choose a folder you can write'
    ) from error


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
        raise launch.UsageError(f'{refusal}: wait for it, or choose a new --output_dir') from error
    yield


@contextlib.contextmanager
def claimed(output_dir: pathlib.Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[None]:
  """Makes `output_dir` the folder of this run, or checks that it already is, and keeps it from others inside the block.

  Writes `config.json` and `run.flags`; removes what a killed process left unfinished.

  Args:
    output_dir: Created if need be.
    settings: Every flag by name.
    facts: What else decides the result: the data-set hash, the number of parameters.

  Raises:
    UsageError: If the folder cannot be written, holds something else, or a run with other settings, or another process
      has claimed it.
  """
  config = dict(
    settings=dict(settings),
    **facts,
    binary=pathlib.Path(sys.argv[0]).stem,
    packages=_versions(),
    git_commit=_git_commit(),
  )
  with contextlib.ExitStack() as held:
    held.enter_context(exclusive(output_dir, f'another process writes to {output_dir}'))
    with usable(output_dir):
      _check_same_run(output_dir, settings, facts)
      for left_over in [*output_dir.glob(f'*{cache.PART}'), *output_dir.glob('metrics.csv_temp*')]:
        left_over.unlink()
      write_json(output_dir / 'config.json', config)
      write_text(output_dir / 'run.flags', '\n'.join(command_line.flag_texts(settings)) + '\n')
    yield


def _check_same_run(output_dir: pathlib.Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
  path = output_dir / 'config.json'
  if not path.exists():
    if any(not entry.name.startswith(_BEFORE_CONFIG) for entry in output_dir.iterdir()):
      raise launch.UsageError(f'{output_dir} holds other files and no run: choose a new --output_dir')
    return
  try:
    before = json.loads(path.read_text())
    recorded = before['settings'] | {name: before.get(name) for name in facts}
  except (ValueError, KeyError, TypeError) as error:
    raise launch.UsageError(f'{path} is not the config of a run: choose a new --output_dir') from error
  for name, value in (dict(settings) | dict(facts)).items():
    if name not in _FREE_TO_CHANGE and recorded.get(name) != value:
      raise launch.UsageError(
        f'{output_dir} holds a run with {name}={recorded.get(name)!r}, not {value!r}: '
        'choose a new --output_dir or the settings of that run (its run.flags)'
      )


def write_json(path: pathlib.Path, value: Mapping[str, Any]) -> None:
  """Writes `value` so that a reader, or a restart after a kill, sees the old file or the new one, never half."""
  write_text(path, json.dumps(value, indent=2) + '\n')


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes `text` as `write_json` does."""
  with cache.temporary(path) as unfinished:
    unfinished.write_text(text, encoding='utf-8')
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
