"""Finds the folders of runs that a user names."""

from collections.abc import Sequence
import glob
import pathlib

from experiments.command import failures

_OF_RUN = ('metrics.csv', 'summary.json')


def find(patterns: Sequence[str]) -> list[pathlib.Path]:
  """Returns the folders of runs that the patterns match, each once; a pattern may also name the folder above runs.

  Raises:
    UsageError: If a pattern matches no run.
  """
  found: dict[pathlib.Path, pathlib.Path] = {}
  for pattern in patterns:
    matches = _matches(pattern)
    runs = _of_runs(matches) or _of_runs([path for match in matches for path in sorted(match.glob('*'))])
    if not runs:
      raise failures.UsageError(f"--runs={pattern} matches no run: name their folders, for example --runs='runs/x/*'")
    for path in runs:
      found.setdefault(path.resolve(), path)
  return list(found.values())


def without_config(patterns: Sequence[str]) -> list[pathlib.Path]:
  """Returns the folders that `find` passes over although they hold a file of a run: what says which run it is, is gone."""
  found: dict[pathlib.Path, pathlib.Path] = {}
  for pattern in patterns:
    matches = _matches(pattern)
    paths = matches if _of_runs(matches) else [path for match in matches for path in [match, *sorted(match.glob('*'))]]
    for path in paths:
      if not _is_run(path) and any((path / name).is_file() for name in _OF_RUN):
        found.setdefault(path.resolve(), path)
  return list(found.values())


def _matches(pattern: str) -> list[pathlib.Path]:
  """Returns what a pattern matches, sorted; as much of it as is there by that very name stands for itself."""
  path = pathlib.Path(pattern)
  if path.exists():
    return [path]
  above = next(parent for parent in path.parents if parent.exists())
  rest = path.relative_to(above)
  return [pathlib.Path(found) for found in sorted(glob.glob(str(pathlib.Path(glob.escape(str(above))) / rest)))]


def _of_runs(paths: Sequence[pathlib.Path]) -> list[pathlib.Path]:
  """Returns those of some paths that are runs; a part of a run, such as a stage, stands for the run."""
  return [path.parent if _is_run(path.parent) else path for path in paths if _is_run(path)]


def _is_run(path: pathlib.Path) -> bool:
  return (path / 'config.json').is_file()
