"""The CSV file of a comparison: written whole or not at all, and never over anything but an earlier one."""

import csv
import io
import os
import pathlib

from experiments.command import failures
from experiments.comparisons import observations
from experiments.results import output


def check(path: pathlib.Path) -> None:
  """Raises `UsageError` if a CSV cannot be written to `path`, or something else is there."""
  if path.is_dir():
    raise failures.UsageError(f'--csv={path} is a folder: name a file in it, such as {path / "comparison.csv"}')
  above = next(parent for parent in path.parents if os.path.lexists(parent))
  if not above.is_dir():
    raise failures.UsageError(f'--csv={path} cannot be written: {above} is no folder; choose another path')
  if os.path.lexists(path) and not _is_earlier(path):
    raise failures.UsageError(f'--csv={path} is there and no CSV of a comparison: delete it, or choose another path')


def write(path: pathlib.Path, observed: observations.Observations) -> None:
  """Writes a table; what does not apply to a row is empty.

  Raises:
    UsageError: As `check`, or if the system refuses.
  """
  check(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(path, _text(observed))
  except OSError as error:
    raise failures.UsageError(f'--csv={path} cannot be written: {error.strerror}; choose another path') from error


def _text(observed: observations.Observations) -> str:
  lines = io.StringIO()
  rows = csv.DictWriter(lines, observed.columns, extrasaction='ignore', lineterminator='\n')
  rows.writeheader()
  rows.writerows(observed.rows)
  return lines.getvalue()


def _is_earlier(path: pathlib.Path) -> bool:
  try:
    if not path.is_file():
      return False
    with path.open(newline='', encoding='utf-8') as file:
      return observations.is_header(next(csv.reader(file), []))
  except (OSError, ValueError, csv.Error):
    return False
