"""Readers of the files that a run leaves: `config.json`, `summary.json` and `metrics.csv`.

What was not measured is None in memory and empty in a file; a number that is not finite is null in a JSON file.
"""

from collections.abc import Mapping
import json
import math
import pathlib
from typing import Any

from experiments.results import metrics
from experiments.results import output
from experiments.results import quality

CONFIG, _SUMMARY, _METRICS = 'config.json', 'summary.json', 'metrics.csv'


def read_config(folder: pathlib.Path) -> dict[str, Any]:
  """Reads `config.json`: `settings`, every flag by name, and facts. Raises `ValueError` if there is none, or something else."""
  config = _read(folder / CONFIG)
  if not isinstance(config.get('settings'), dict):
    raise ValueError(f'{folder / CONFIG} is not the config of a run')
  return config | {'settings': output.completed(config['settings'])}


def read_summary(folder: pathlib.Path) -> dict[str, Any] | None:
  """Reads `summary.json`; None if there is none. Raises `ValueError` if it is not what `write_summary` leaves."""
  if not (folder / _SUMMARY).exists():
    return None
  summary = _read(folder / _SUMMARY)
  if not summary:
    raise ValueError(f'{folder / _SUMMARY} is not the summary of a run')
  return {name: _number(value) if name in metrics.COLUMNS else value for name, value in summary.items()}


def read_rows(folder: pathlib.Path, summary: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
  """Reads the rows of `metrics.csv`, none if there is none.

  Args:
    folder: The run's.
    summary: What `read_summary` returned; if it has a probe, the last row gets it.

  Raises:
    ValueError: If the file holds something else.
    OSError: If it cannot be read.
  """
  path = folder / _METRICS
  return quality.probed(metrics.read(path) if path.exists() else [], summary or {})


def write_summary(summary: Mapping[str, Any], folder: pathlib.Path) -> None:
  """Writes `summary.json`; a reader, or a restart after a kill, sees the old one or the new one."""
  output.write_json(folder / _SUMMARY, metrics.written(summary))


def _read(path: pathlib.Path) -> dict[str, Any]:
  try:
    content = json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise ValueError(f'{path} cannot be read: {error}') from error
  return content if isinstance(content, dict) else {}


def _number(value: Any) -> Any:
  if value is None:
    return math.nan
  return None if value == metrics.NOT_MEASURED else value
