"""Weights & Biases: a run of it for each run here, by default in files that nothing sends anywhere."""

from collections.abc import Mapping
import functools
import os
import pathlib
import types
from typing import Any

from experiments.loggers import logger
from experiments.loggers import tracked

_MODES = ('offline', 'online')
_EXIT_CODES = {tracked.Ending.FINISHED: 0, tracked.Ending.FAILED: 1, tracked.Ending.KILLED: 255}


def wandb_rows(
  project: str = 'leanfed',
  mode: str = 'offline',
  folder: str | None = None,
  entity: str | None = None,
  name: str | None = None,
) -> logger.Logger:
  """Logs to Weights & Biases, by default into files only, which wandb sync may send later.

  Args:
    project: The project there.
    mode: "offline" writes files; "online" sends all to the server to which wandb login has logged in.
    folder: Where its folder wandb is made; None = in the --output_dir of the run.
    entity: The user or team there; None = the one that is logged in.
    name: What the run is called there; None = as the folder of the run.

  Returns:
    The logger.

  Raises:
    ValueError: For an unknown mode, or an argument that is no text.
    UsageError: If the package is not installed.
  """
  tracked.check_texts(project=project, folder=folder, entity=entity, name=name)
  if mode not in _MODES:
    raise ValueError(f'mode must be one of {", ".join(_MODES)}, not {mode!r}')
  os.environ.setdefault('WANDB_ERROR_REPORTING', 'false')  # Or the package reports its own errors to its makers.
  package = tracked.imported('wandb', 'init')
  begin = functools.partial(
    _begin,
    package,
    dict(project=project, mode=mode, entity=entity),
    None if folder is None else pathlib.Path(folder),
    name,
  )
  return lambda output_dir: tracked.logged(output_dir, 'wandb', begin)


def _begin(
  package: types.ModuleType,
  arguments: Mapping[str, Any],
  folder: pathlib.Path | None,
  name: str | None,
  kept: tracked.LoggedRun,
) -> tracked.Sink:
  folder = folder or kept.folder
  folder.mkdir(parents=True, exist_ok=True)
  is_offline = arguments['mode'] == 'offline'
  run = package.init(
    **arguments,
    dir=str(folder),
    id=kept.id,
    name=name or kept.name,
    group=kept.group,
    resume=None if is_offline else 'allow',
    # The run's output, code and repository stay here.
    settings=package.Settings(console='off', silent=is_offline, disable_git=True, disable_code=True),
  )
  run.config.update(dict(kept.config), allow_val_change=True)
  return _Sink(run)


class _Sink:
  """A run of the package. Offline each process leaves a folder of its own, in which all rounds are."""

  def __init__(self, run: Any):
    self._run = run

  def first_missing(self) -> int:
    return self._run.starting_step

  def log(self, step: int, values: Mapping[str, int | float]) -> None:
    self._run.log(dict(values), step=step)

  def conclude(self, summary: Mapping[str, Any]) -> None:
    self._run.summary.update(dict(summary))

  def close(self, ending: tracked.Ending) -> None:
    self._run.finish(exit_code=_EXIT_CODES[ending])
