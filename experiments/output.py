"""The files that say what a run is and what came of it: `config.json`, `run.flags`, `summary.json`."""

from collections.abc import Mapping
from collections.abc import Sequence
import importlib.metadata
import json
import os
import pathlib
import subprocess
from typing import Any

import numpy as np
from safetensors import numpy as safetensors_numpy

from experiments import launch

_PACKAGES = ('tensorflow', 'tensorflow-federated', 'tensorflow-text', 'numpy', 'sentencepiece')
_FREE_TO_CHANGE = ('output_dir', 'rounds')  # A finished run may go on for more rounds; a folder may be moved.


def claim(output_dir: pathlib.Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
  """Makes `output_dir` the folder of this run, or checks that it already is.

  Writes `config.json` and `run.flags`.

  Args:
    output_dir: Created if need be.
    settings: Every flag by name.
    facts: What else decides the result: the data-set hash, the number of parameters.

  Raises:
    UsageError: If the folder cannot be written, holds something else, or a run with other settings.
  """
  config = dict(settings=dict(settings), **facts, packages=_versions(), git_commit=_git_commit())
  try:
    output_dir.mkdir(parents=True, exist_ok=True)
    _check_same_run(output_dir, settings, facts)
    write_json(output_dir / 'config.json', config)
    lines = [f'--{name}={_flag_text(value)}' for name, value in settings.items() if value is not None]
    write_text(output_dir / 'run.flags', '\n'.join(lines) + '\n')
  except OSError as error:
    raise launch.UsageError(
      f'cannot use --output_dir={output_dir}: {error.strerror}; choose a folder you can write'
    ) from error


def _check_same_run(output_dir: pathlib.Path, settings: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
  path = output_dir / 'config.json'
  if not path.exists():
    if any(not entry.name.startswith(('worker.log', '.')) for entry in output_dir.iterdir()):
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


def write_weights(path: pathlib.Path, names: Sequence[str], weights: Sequence[np.ndarray]) -> None:
  """Writes the weights of a model by name as safetensors, whole or not at all."""
  _write_bytes(path, safetensors_numpy.save(dict(zip(names, map(np.asarray, weights), strict=True))))


def write_text(path: pathlib.Path, text: str) -> None:
  """Writes `text` as `write_json` does."""
  _write_bytes(path, text.encode())


def _write_bytes(path: pathlib.Path, content: bytes) -> None:
  unfinished = path.with_name(path.name + '.unfinished')
  with unfinished.open('wb') as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
  unfinished.replace(path)


def _flag_text(value: Any) -> str:
  return str(value).lower() if isinstance(value, bool) else str(value)


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
