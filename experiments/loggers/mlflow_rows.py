"""MLflow: a run of it for each run here, by default in a folder."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import fcntl
import json
import os
import pathlib
import time
import types
from typing import Any

from experiments.loggers import logger
from experiments.loggers import tracked

_ID_TAG, _GROUP_TAG = 'leanfed_run', 'leanfed_group'
_STATUS = {tracked.Ending.FINISHED: 'FINISHED', tracked.Ending.FAILED: 'FAILED', tracked.Ending.KILLED: 'KILLED'}
_MAX_LENGTH = 5000  # Of a parameter or a tag.
_LAST = 'row'  # The metric that is written last, the number of the row: a row with it is whole.


def mlflow_rows(
  folder: str | None = None, experiment: str = 'leanfed', server: str | None = None, name: str | None = None
) -> logger.Logger:
  """Logs to MLflow, by default into a folder only, which mlflow ui of the whole package shows.

  Args:
    folder: The store, which several runs may share; None = mlruns in the --output_dir of the run.
    experiment: The experiment there.
    server: The address of a tracking server, such as "http://localhost:5000", in place of a folder; None = no server.
    name: What the run is called there; None = as the folder of the run.

  Returns:
    The logger.

  Raises:
    ValueError: For a folder together with a server, or an argument that is no text.
    UsageError: If the package is not installed.
  """
  tracked.check_texts(folder=folder, experiment=experiment, server=server, name=name)
  if folder and server:
    raise ValueError('takes a folder or a server, not both')
  os.environ.setdefault('MLFLOW_DISABLE_TELEMETRY', 'true')  # Or the package tells its makers how it is used.
  package = tracked.imported('mlflow', 'MlflowClient')

  def begin(kept: tracked.LoggedRun) -> tracked.Sink:
    store = pathlib.Path(folder) if folder else kept.folder / 'mlruns'
    client = package.MlflowClient(tracking_uri=server or store.absolute().as_uri())
    with contextlib.nullcontext() if server else _alone(store):
      return _Sink(package, client, _run_id(package, client, experiment, name or kept.name, kept))

  return lambda output_dir: tracked.logged(output_dir, 'mlflow', begin)


@contextlib.contextmanager
def _alone(store: pathlib.Path) -> Iterator[None]:
  """Keeps other runs from making the same experiment in a folder meanwhile, which would then be there twice."""
  store.mkdir(parents=True, exist_ok=True)
  descriptor = os.open(store, os.O_RDONLY)
  try:
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
  finally:
    os.close(descriptor)


def _run_id(package: types.ModuleType, client: Any, experiment: str, name: str, kept: tracked.LoggedRun) -> str:
  """Returns the id of the run in the store, made if need be, with what the run's config says now."""
  experiment_id = _experiment_id(client, experiment)
  found = client.search_runs([experiment_id], f"tags.{_ID_TAG} = '{kept.id}'", max_results=1)
  run = found[0] if found else client.create_run(experiment_id, tags={_ID_TAG: kept.id}, run_name=name)
  settings, facts = kept.config['settings'], dict(kept.config)
  del facts['settings']
  if kept.group:
    facts[_GROUP_TAG] = kept.group
  # A parameter never changes there, and settings may, such as the number of rounds: it keeps what the run began with.
  params = [package.entities.Param(key, _text(value)) for key, value in settings.items() if key not in run.data.params]
  tags = [package.entities.RunTag(key, _text(value)) for key, value in facts.items()]
  client.log_batch(run.info.run_id, params=params, tags=tags)
  client.update_run(run.info.run_id, status='RUNNING')
  return run.info.run_id


def _experiment_id(client: Any, name: str) -> str:
  found = client.get_experiment_by_name(name)
  return client.create_experiment(name) if found is None else found.experiment_id


def _text(value: Any) -> str:
  return (value if isinstance(value, str) else json.dumps(value))[:_MAX_LENGTH]


class _Sink:
  """A run of the store."""

  def __init__(self, package: types.ModuleType, client: Any, run_id: str):
    self._package = package
    self._client = client
    self._id = run_id
    self._may_be_torn = True  # A kill may have left a part of the first row that is logged now.

  def first_missing(self) -> int:
    history = self._client.get_metric_history(self._id, _LAST)
    return max((metric.step for metric in history), default=-1) + 1

  def log(self, step: int, values: Mapping[str, int | float]) -> None:
    self._log(step, self._lacking(step, values) if self._may_be_torn else values)
    self._log(step, {_LAST: step})
    self._may_be_torn = False

  def conclude(self, summary: Mapping[str, Any]) -> None:
    numbers = {f'summary/{name}': value for name, value in summary.items() if not isinstance(value, str)}
    last = self.first_missing() - 1
    self._log(last, self._lacking(last, numbers))

  def close(self, ending: tracked.Ending) -> None:
    self._client.set_terminated(self._id, _STATUS[ending])

  def _lacking(self, step: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of the values that the store does not have of a step."""
    history = self._client.get_metric_history
    return {
      name: value for name, value in values.items() if all(metric.step != step for metric in history(self._id, name))
    }

  def _log(self, step: int, values: Mapping[str, Any]) -> None:
    now = int(time.time() * 1000)
    metrics = [self._package.entities.Metric(name, float(value), now, step) for name, value in values.items()]
    self._client.log_batch(self._id, metrics=metrics)
