"""The run loop: rounds, evaluations, checkpoints and everything a run leaves in its folder.

Usable from a script of one's own; see the README.
"""

import asyncio
from collections.abc import Sequence
import dataclasses
import pathlib
import resource
import time
from typing import Any

import numpy as np
import tensorflow_federated as tff

from experiments import launch
from experiments import metrics
from experiments import output
from experiments import pretrained
from experiments import progress as progress_lib
from experiments import runtime
from models import checkpoint as checkpoint_lib
from models import task as task_lib
from optimizers import evaluation

_CHECKPOINTS_KEPT = 3


@dataclasses.dataclass(frozen=True)
class Config:
  """How long a run goes on, on whom, and where it writes.

  Attributes:
    output_dir: Folder of the run; a run that is already in it continues.
    rounds: Number of rounds; 0 evaluates the initial model only.
    clients_per_round: Clients drawn, without replacement, in each round.
    rounds_per_eval: Rounds between evaluations; the first and the last model are evaluated in any case.
    rounds_per_checkpoint: Rounds between checkpoints.
    eval_clients: Held-out clients that every evaluation uses; 0 for all.
    seed: Decides which clients are drawn.
    settings: Whatever else defines the run, for `config.json`; a folder is continued only with equal settings.
  """

  output_dir: pathlib.Path
  rounds: int = 100
  clients_per_round: int = 20
  rounds_per_eval: int = 10
  rounds_per_checkpoint: int = 10
  eval_clients: int = 100
  seed: int = 0
  settings: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Population:
  """The clients of a run.

  Attributes:
    train: Clients that train.
    evaluation: Clients that only evaluate.
    dataset_hash: Names the content of both.
  """

  train: tff.simulation.datasets.ClientData
  evaluation: tff.simulation.datasets.ClientData
  dataset_hash: str

  def evaluation_ids(self, config: Config) -> list[str]:
    """Returns the ids that every evaluation of the run uses."""
    return evaluation_ids(self.evaluation.client_ids, config.eval_clients, config.seed)


def evaluation_ids(client_ids: Sequence[str], eval_clients: int, seed: int) -> list[str]:
  """Returns `eval_clients` of the ids (all of them for 0), sorted; the same ones whenever the seed is the same."""
  ids = sorted(client_ids)
  if not eval_clients or eval_clients >= len(ids):
    return ids
  return sorted(tff.simulation.build_uniform_sampling_fn(ids, random_seed=seed)(0, eval_clients))


def run(
  task: task_lib.Task,
  process: tff.learning.templates.LearningProcess,
  population: Population,
  config: Config,
  start: pretrained.Start | None = None,
  description: checkpoint_lib.Description | None = None,
) -> dict[str, Any]:
  """Trains, or continues training, and leaves in `config.output_dir` what DESIGN of the suite promises.

  Args:
    task: What is trained and how it is evaluated.
    process: The learning process; its `next` takes one sequence of examples for each client.
    population: The clients.
    config: The rest.
    start: Weights to begin with instead of the initial ones.
    description: What the model is, so that the folder itself can be a later run's start.

  Returns:
    The content of `summary.json`.

  Raises:
    UsageError: If the folder holds something else, or a round wants more clients than there are.
  """
  num_clients = len(population.train.client_ids)
  if config.clients_per_round > num_clients:
    raise launch.UsageError(
      f'clients_per_round={config.clients_per_round}, but the data set has {num_clients} training clients: lower it'
    )
  facts = dict(
    dataset_hash=population.dataset_hash,
    num_parameters=task.model.num_parameters,
    pretrained_sha256=start.loaded.content_hash if start else None,
  )
  output.claim(config.output_dir, config.settings, facts)
  with runtime.local_runtime(config.output_dir / 'worker.log') as worker:
    return asyncio.run(_Run(task, process, population, config, worker, start, description).until_done())


class _Run:
  """The parts of a run and the steps that advance it; all that changes is the state and the rows so far."""

  def __init__(
    self,
    task: task_lib.Task,
    process: tff.learning.templates.LearningProcess,
    population: Population,
    config: Config,
    worker: runtime.LocalWorker,
    start: pretrained.Start | None,
    description: checkpoint_lib.Description | None,
  ):
    self._config = config
    self._worker = worker
    self._pretrained = start
    self._description = description
    self._num_clients_total = len(population.train.client_ids)
    self._num_parameters = task.model.num_parameters
    self._names = [variable.name for variable in task.model.variables]
    self._dataset_hash = population.dataset_hash
    self._process = tff.simulation.compose_dataset_computation_with_learning_process(
      population.train.dataset_computation, process
    )
    self._evaluate = tff.simulation.compose_dataset_computation_with_computation(
      population.evaluation.dataset_computation, evaluation.build_evaluation(task)
    )
    self._evaluation_ids = population.evaluation_ids(config)
    self._draw = tff.simulation.build_uniform_sampling_fn(sorted(population.train.client_ids), random_seed=config.seed)
    self._checkpoints = tff.program.FileProgramStateManager(
      str(config.output_dir / 'checkpoints'), prefix='round_', keep_total=_CHECKPOINTS_KEPT, keep_first=False
    )
    self._releases = tff.program.GroupingReleaseManager(
      [
        tff.program.CSVFileReleaseManager(
          str(config.output_dir / 'metrics.csv'), tff.program.CSVSaveMode.WRITE, key_fieldname='round'
        ),
        tff.program.TensorBoardReleaseManager(str(config.output_dir)),
      ]
    )

  async def until_done(self) -> dict[str, Any]:
    """Runs all rounds that are left; returns the summary, which it also writes."""
    started = time.monotonic()
    state, rows = await self._start()
    first_round = rows[-1]['round']
    progress = progress_lib.Progress('round', first_round, self._config.rounds)
    try:
      for round_number in range(first_round + 1, self._config.rounds + 1):
        state = await self._advance(round_number, state, rows)
        evaluated = rows[-1]['eval/perplexity'] != metrics.NOT_MEASURED
        progress.show(round_number, progress_lib.of_rounds(rows), evaluated)
    finally:
      progress.close()
    summary = self._summary(rows, time.monotonic() - started)
    output.write_json(self._config.output_dir / 'summary.json', summary)
    return summary

  async def _start(self) -> tuple[Any, list[dict[str, Any]]]:
    """Returns the newest checkpoint and the rows up to it, or the initial state and its evaluation as round 0."""
    state = self._process.initialize()
    checkpoint, round_number = await self._checkpoints.load_latest(state)
    if checkpoint is not None:
      rows = metrics.read(self._config.output_dir / 'metrics.csv')
      return checkpoint, [row for row in rows if row['round'] <= round_number]
    if self._pretrained:
      initial = self._process.get_model_weights(state)
      weights = self._pretrained.replace(self._names, initial.trainable)
      start = tff.learning.models.ModelWeights(weights, initial.non_trainable)
      state = self._process.set_model_weights(state, start)
    rows: list[dict[str, Any]] = []
    metrics.start(self._config.output_dir / 'metrics.csv')
    await self._release(0, self._evaluation_columns(state), rows)
    await self._save(state, 0)
    return state, rows

  async def _advance(self, round_number: int, state: Any, rows: list[dict[str, Any]]) -> Any:
    """Runs one round, releases its row and returns the state after it."""
    config, last = self._config, round_number == self._config.rounds
    started = time.monotonic()
    result = self._process.next(state, self._draw(round_number, config.clients_per_round))
    columns = metrics.training_columns(result.metrics, self._num_parameters)
    columns['round_seconds'] = time.monotonic() - started
    if last or round_number % config.rounds_per_eval == 0:
      columns |= self._evaluation_columns(result.state)
    await self._release(round_number, columns, rows)
    if last or round_number % config.rounds_per_checkpoint == 0:
      await self._save(result.state, round_number)
    return result.state

  async def _save(self, state: Any, round_number: int) -> None:
    """Writes the model and then the checkpoint, so that after a kill in between the round is done again."""
    weights, folder = state.global_model_weights.trainable, self._config.output_dir
    by_name = {name: np.asarray(weight) for name, weight in zip(self._names, weights, strict=True)}
    if self._description:
      checkpoint_lib.save(folder, by_name, self._description, round_number)
    else:
      checkpoint_lib.save_arrays(folder / checkpoint_lib.MODEL_FILE, by_name, {})
    await self._checkpoints.save(state, round_number)

  def _evaluation_columns(self, state: Any) -> dict[str, Any]:
    measured = self._evaluate(state.global_model_weights.trainable, self._evaluation_ids)
    return metrics.evaluation_columns(measured)

  async def _release(self, round_number: int, columns: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    for direction in ('upload', 'download'):
      before = rows[-1][f'{direction}_bytes_total'] if rows else 0
      columns[f'{direction}_bytes_total'] = before + columns.get(f'{direction}_bytes', 0)
    columns['worker_rss_bytes'] = self._worker.rss_bytes()
    row = metrics.row(columns)
    await self._releases.release(row, round_number)
    rows.append({'round': round_number, **row})

  def _summary(self, rows: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    evaluated = next(row for row in reversed(rows) if row['eval/loss'] != metrics.NOT_MEASURED)
    return {
      'rounds': rows[-1]['round'],
      'num_parameters': self._num_parameters,
      'num_clients_total': self._num_clients_total,
      **{name: evaluated[name] for name in ('eval/loss', 'eval/accuracy', 'eval/perplexity')},
      **{name: rows[-1][name] for name in ('upload_bytes_total', 'download_bytes_total')},
      'dropped_updates': sum(row['dropped_updates'] for row in rows[1:]),
      'seconds': seconds,
      'peak_rss_bytes': {
        'main': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        'worker': self._worker.peak_rss_bytes(),
      },
      'dataset_hash': self._dataset_hash,
    }
