"""The catalogue behind `--log_to`: who is told the rows of a run."""

from collections.abc import Callable
from typing import Any

from experiments.command import plugin_tables
from experiments.command import spec
from experiments.loggers import logger
from experiments.loggers import mlflow_rows
from experiments.loggers import wandb_rows

NONE = 'none'


def none() -> logger.Logger:
  """Logs to nobody: the run leaves its files only, TensorBoard's among them."""
  return logger.nothing


LOGGERS: dict[str, Callable[..., logger.Logger]] = {
  NONE: none,
  'wandb': wandb_rows.wandb_rows,
  'mlflow': mlflow_rows.mlflow_rows,
}
plugin_tables.add('LOGGERS', plugin_tables.Table(LOGGERS, 'loggers', 'loggers', Callable))


def build(text: Any) -> logger.Logger:
  """Builds the logger that a spec such as `mlflow(folder="runs/mlflow")` names; raises `SpecError` for a bad spec."""
  return spec.build(text, LOGGERS, 'log_to', kind=Callable)
