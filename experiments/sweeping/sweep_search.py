"""Chooses what a sweep searches, such as learning rates: for each run the values that are best on validation clients.

Runs that differ in the seed only share a search, which is made with the first of their seeds; those with the chosen
values are then judged by held-out clients, which no choice has seen.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import json
import math
import pathlib
from typing import NamedTuple

from experiments.command import failures
from experiments.comparisons import runs
from experiments.results import markdown_table
from experiments.sweeping import sweep_file
from experiments.sweeping import sweep_runs

_MAX_NAME = 255 - len('.log')  # Characters; what file systems take.


class Candidate(NamedTuple):
  """One run of a search: its cell, and the values that it tries, by flag."""

  cell: sweep_file.Cell
  values: Mapping[str, str]


class Search(NamedTuple):
  """A search: the runs that it is for, by name, and its own."""

  names: Sequence[str]
  candidates: Sequence[Candidate]


def searches(cells: Sequence[sweep_file.Cell]) -> list[Search]:
  """Returns the searches that the runs of a sweep need; none if nothing is searched."""
  alike: dict[str, list[sweep_file.Cell]] = {}
  for cell in cells:
    if cell.candidates:
      flags = {name: text for name, text in cell.flags.items() if name != 'seed'}
      alike.setdefault(json.dumps([flags, dict(cell.candidates)]), []).append(cell)
  tried = [_tried(found[0]) for found in alike.values()]
  unnamed = [_cell(found[0], values) for found, each in zip(alike.values(), tried, strict=True) for values in each]
  named = iter(sweep_file.named(unnamed, _MAX_NAME))
  return [
    Search([cell.name for cell in found], [Candidate(next(named), values) for values in each])
    for found, each in zip(alike.values(), tried, strict=True)
  ]


def _tried(cell: sweep_file.Cell) -> list[dict[str, str]]:
  return [dict(zip(cell.candidates, values, strict=True)) for values in itertools.product(*cell.candidates.values())]


def _cell(cell: sweep_file.Cell, values: Mapping[str, str]) -> tuple[tuple[str, ...], sweep_file.Cell]:
  """Returns a run that tries some values, its name not yet unique, after what tells it from others as written."""
  written = (cell.name, *(f'{name}={value}' for name, value in values.items()))
  flags = {**cell.flags, **values, 'eval_split': 'validation'}
  return written, sweep_file.Cell(sweep_file.file_name(written), flags)


class Choice(NamedTuple):
  """The outcome of a search.

  Attributes:
    search: What was searched.
    found: The quality of each candidate, NaN without one.
    failures: Why a candidate failed now, by the name of its run.
    best: The index of the best candidate; None if there is none.
  """

  search: Search
  found: Sequence[float]
  failures: Mapping[str, str]
  best: int | None

  @property
  def is_at_an_end(self) -> bool:
    """Whether the best value of a flag is the first or last of its list, so that one beyond may be better."""
    if self.best is None:
      return False
    tried = [candidate.values for candidate in self.search.candidates]
    lists = {name: list(dict.fromkeys(values[name] for values in tried)) for name in tried[0]}
    return any(len(values) > 1 and tried[self.best][name] in (values[0], values[-1]) for name, values in lists.items())


def choose(search: Search, made: sweep_runs.Runs) -> Choice:
  """Reads the runs of a search once they are made; those that diverged are never best.

  What lies in the folder of a run that failed is of other settings, or of an earlier sweep: it is no result.
  """
  names = [candidate.cell.name for candidate in search.candidates]
  runs = [_read(made.folder / name) if name in made.done else None for name in names]
  finite = [(index, run) for index, run in enumerate(runs) if run and not run.diverged]
  best = None
  for index, run in finite:
    if best is None or not run.quality.is_as_good(runs[best].last.quality, run.last.quality):
      best = index
  failures = {name: made.failed[name] for name in names if name in made.failed}
  return Choice(search, [run.last.quality if run else math.nan for run in runs], failures, best)


def _read(folder: pathlib.Path) -> runs.Run | None:
  try:
    run = runs.read(folder)
  except failures.UsageError:
    return None
  return run if run and run.finished else None


def chosen(cells: Sequence[sweep_file.Cell], choices: Sequence[Choice]) -> list[sweep_file.Cell]:
  """Returns the runs with the chosen values; those whose search found none are left out."""
  values = {name: choice for choice in choices for name in choice.search.names}
  found = []
  for cell in cells:
    if not cell.candidates:
      found.append(cell)
    elif values[cell.name].best is not None:
      best = values[cell.name].search.candidates[values[cell.name].best].values
      found.append(sweep_file.Cell(cell.name, {**cell.flags, **best}))
  return found


def undecided(choices: Sequence[Choice]) -> list[str]:
  """Returns the names of the runs whose search found nothing that is finished and finite."""
  return [name for choice in choices if choice.best is None for name in choice.search.names]


def table(choices: Sequence[Choice]) -> str:
  """Renders what was tried as a Markdown table, the chosen value of each search in bold."""
  rows = []
  for choice in choices:
    for index, (candidate, found) in enumerate(zip(choice.search.candidates, choice.found, strict=True)):
      is_best = index == choice.best
      value = f'{found:.4g}' if math.isfinite(found) else 'none'
      failure = choice.failures.get(candidate.cell.name)
      rows.append([
        f'`{choice.search.names[0]}`',
        ', '.join(f'`{name}={value}`' for name, value in candidate.values.items()),
        f'**{value}**' if is_best else value,
        f'failed: {failure}' if failure is not None
        else 'chosen, at an end of its list' if is_best and choice.is_at_an_end else 'chosen' if is_best else '',
      ])  # fmt: skip
  return markdown_table.render(['searched for', 'tried', 'on validation clients', ''], rows)
