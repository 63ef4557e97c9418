"""How a round fills the columns of `metrics.csv`, and how they are read back.

What was not measured is None, in the file an empty cell; a number that is not finite is `nan` or `inf`.
"""

import collections
from collections.abc import Mapping
import csv
import math
import pathlib
from typing import Any

import numpy as np

from experiments.results import columns as columns_lib

COLUMNS = columns_lib.names(columns_lib.ROUNDS)
HEADER = ','.join(COLUMNS) + '\n'  # TFF's release manager keeps the order of columns that it finds.
NOT_MEASURED = ''  # In files, in the place of None.

Row = collections.OrderedDict


def training_columns(measured: Mapping[str, Any], num_parameters: int) -> dict[str, Any]:
  """Turns the measurements of a learning process' round into columns.

  Args:
    measured: `LearningProcessOutput.metrics`.
    num_parameters: Scalars of the model.

  Returns:
    Columns by name; a mean over nothing is None. `num_clients` counts all that received the model, and
    `trained_fraction` is a mean over them: a client that vanished, like one without examples, trained 0.
  """
  work, upload = measured['client_work'], measured['aggregator']
  columns = {
    'num_clients': int(work['num_clients']),
    'num_examples': int(work['num_examples']),
    'train/loss': _ratio(work['loss_sum'], work['weight_sum']),
    'download_bytes_frozen': 0,
    **{name: int(num_bytes) for name, num_bytes in measured['distributor'].items()},
    'trained_fraction': _ratio(work['trained_parameters'], int(work['num_clients']) * num_parameters),
    'dropped_updates': int(work['dropped_updates']),
    **{name: np.asarray(value).item() for name, value in upload.items()},
  }
  columns['download_bytes'] += columns.get('download_bytes_keys', 0)
  return columns


def evaluation_columns(measured: Mapping[str, Any], is_language_model: bool = True) -> dict[str, Any]:
  """Turns the summed measures of an evaluation into columns; only a language model has a perplexity."""
  loss = _ratio(measured['loss_sum'], measured['weight_sum'])
  return {
    'eval/loss': loss,
    'eval/accuracy': _ratio(measured['correct_sum'], measured['weight_sum']),
    'eval/perplexity': perplexity(loss) if is_language_model else None,
  }


def perplexity(loss: float | None) -> float | None:
  """Returns e**loss, infinite where that overflows and None without a loss."""
  if loss is None:
    return None
  return math.exp(loss) if loss < 700.0 else math.inf


def row(columns: Mapping[str, Any]) -> Row:
  """Returns all columns but `round`, the key, in order; those that are missing are None."""
  unknown = set(columns) - set(COLUMNS)
  if unknown:
    raise KeyError(f'no such column of metrics.csv: {sorted(unknown)}')
  return collections.OrderedDict((name, columns.get(name)) for name in COLUMNS[1:])


def written(columns: Mapping[str, Any]) -> Row:
  """Returns columns as files have them: `NOT_MEASURED` for None; what is no column stays."""
  return collections.OrderedDict(
    (name, NOT_MEASURED if value is None and name in COLUMNS else value) for name, value in columns.items()
  )


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """Reads a `metrics.csv`: a list of rows, each from column to int, float or None; ValueError if it is none."""
  with path.open(newline='') as file:
    rows = list(csv.DictReader(file))
  if any(None in row or None in row.values() for row in rows):
    raise ValueError(f'{path} has rows of unequal length')
  return [{name: _number(cell) for name, cell in row.items()} for row in rows]


def _number(cell: str) -> int | float | None:
  if cell == NOT_MEASURED:
    return None
  return int(cell) if cell.lstrip('-').isdigit() else float(cell)


def _ratio(numerator: Any, denominator: Any) -> float | None:
  return float(numerator) / float(denominator) if denominator else None
