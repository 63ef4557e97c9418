"""The run loop: rounds, evaluations and checkpoints, whatever happens to the worker; for scripts, see docs/guides/scripts.md."""

import contextlib
import dataclasses
import functools
import pathlib
import resource
import time
from typing import Any

import numpy as np
import tensorflow_federated as tff

from compression.privacy import plans
from data import errors
from data import population as population_lib
from data import progress
from experiments.command import failures
from experiments.federated import attempts
from experiments.federated import checkpoints
from experiments.federated import participation
from experiments.federated import run_identity
from experiments.federated import supervision
from experiments.loggers import logger
from experiments.results import heldout_scores
from experiments.results import heldout_units
from experiments.results import metrics
from experiments.results import output
from experiments.results import records
from experiments.results import run_files
from experiments.starts import pretrained
from experiments.workers import local_runtime
from experiments.workers import runtimes
from models import checkpoint as checkpoint_lib
from models import task as task_lib
from optimizers import evaluation


@dataclasses.dataclass(frozen=True)
class Config:
  """How long a run goes on, on whom, and where it writes.

  Attributes:
    output_dir: Folder of the run; a run that is already in it continues.
    rounds: Number of rounds; 0 evaluates the initial model only.
    clients_per_round: Clients drawn, without replacement, in each round; 0 for all of them.
    rounds_per_eval: Rounds between evaluations; the first and the last model are evaluated in any case.
    rounds_per_checkpoint: Rounds between checkpoints.
    eval_clients: Clients that every evaluation uses, of those that only evaluate; 0 for all.
    seed: Decides which clients are drawn.
    draw_seed: Decides it in its place, if it is not None.
    privacy: What makes rounds private, whose epsilon is recorded, and how it draws clients; None if nothing does.
    settings: Whatever else defines the run, for `config.json`; a folder is continued only with equal settings.
    settings_are_complete: Whether they, with `facts`, leave nothing out, as all flags of a binary do. If not, the run is
      known by what its computations compute, its clients and this configuration besides.
    facts: What follows from them and decides the result besides; likewise.
    start_runtime: Where the run computes; None for this machine, see `runtimes.start_here`.
    log_to: A logger that is told the rows of `metrics.csv`; see `loggers.catalog`.
  """

  output_dir: pathlib.Path
  rounds: int = 100
  clients_per_round: int = 20
  rounds_per_eval: int = 10
  rounds_per_checkpoint: int = 10
  eval_clients: int = 100
  seed: int = 0
  draw_seed: int | None = None
  privacy: plans.PrivacyPlan | None = None
  settings: dict[str, Any] = dataclasses.field(default_factory=dict)
  settings_are_complete: bool = False
  facts: dict[str, Any] = dataclasses.field(default_factory=dict)
  start_runtime: runtimes.StartRuntime | None = None
  log_to: logger.Logger = logger.nothing


def run(
  task: task_lib.Task,
  process: tff.learning.templates.LearningProcess,
  population: population_lib.Population,
  config: Config,
  start: pretrained.WarmStart | None = None,
  description: checkpoint_lib.Description | None = None,
  on_row: logger.OnRow | None = None,
) -> dict[str, Any]:
  """Trains, or continues training, and leaves in `config.output_dir` the files that `docs/design.md` lists.

  Args:
    task: What is trained and how it is evaluated.
    process: The learning process; its `next` takes one sequence of examples for each client.
    population: The clients.
    config: The rest.
    start: Weights to begin with instead of the initial ones.
    description: What the model is, so that the folder itself can be a later run's start.
    on_row: Called with each row of `metrics.csv`, once it is written; see `logger.OnRow`.

  Returns:
    What `summary.json` says, where a number that is not finite stays one.

  Raises:
    UsageError: If the folder holds something else, a round wants more clients than there are, or the workers cannot
      run this process or do not have this data.
    RunEnded: If the worker is lost again and again, too many clients' data cannot be read, or the disk is full.
    Stopped: If SIGTERM or SIGINT came. As after `RunEnded`, what was reached is saved.
    Exception: What `on_row` raises, as it is; likewise.
  """
  config = dataclasses.replace(config, clients_per_round=population.clients_per_round(config.clients_per_round))
  run_identity.check_privacy(process, config)
  facts = run_identity.facts(task, population, config, start) | config.facts
  if not config.settings_are_complete:
    facts |= run_identity.undeclared(task, process, population, config)
    config = dataclasses.replace(config, settings=run_identity.settings(config))
    description = description or run_identity.description(task, population)
  start_runtime = config.start_runtime or runtimes.start_here(process.next)
  block = start_runtime(config.output_dir / 'worker.log', task.model.num_parameters, config.clients_per_round)
  check = functools.partial(records.check_rounds, config.output_dir, config.rounds)
  logged = logger.around(config.log_to, config.output_dir)
  with output.claimed(config.output_dir, config.settings, facts, check), contextlib.ExitStack() as ended:
    tell = logger.telling(ended.enter_context(logged), on_row)
    population.say_who_also_trains(config.eval_clients)
    with supervision.starting():
      worker = ended.enter_context(block)
      if population.database:
        worker.check_data(population.database, population.dataset_hash)
    supervisor = supervision.Supervisor(worker)
    with supervisor.handling_signals():
      parts = _Run(task, process, population, config, worker, supervisor, start, description, tell)
      return parts.until_done()


class _Run:
  """The parts of a run and the steps that advance it; all that changes is the state and the records."""

  def __init__(
    self,
    task: task_lib.Task,
    process: tff.learning.templates.LearningProcess,
    population: population_lib.Population,
    config: Config,
    worker: local_runtime.Runtime,
    supervisor: supervision.Supervisor,
    start: pretrained.WarmStart | None,
    description: checkpoint_lib.Description | None,
    tell: logger.OnRow,
  ):
    self._config = config
    self._population = population
    self._worker = worker
    self._attempts = attempts.Attempts(supervisor, population.find_unreadable)
    self._pretrained = start
    self._description = description
    self._on_row = tell
    self._num_parameters = task.model.num_parameters
    self._is_language_model = task.is_language_model
    self._names = [variable.name for variable in task.model.variables]
    self._process = tff.simulation.compose_dataset_computation_with_learning_process(
      population.train.dataset_computation, process
    )
    self._evaluate = tff.simulation.compose_dataset_computation_with_computation(
      population.evaluation.dataset_computation, evaluation.build_evaluation(task)
    )
    for computation in (self._process.next, self._evaluate):
      worker.check(computation)
    self._score = heldout_scores.of(task, population)
    self._evaluation_ids = population.evaluation_ids(config.eval_clients)
    seed = config.seed if config.draw_seed is None else config.draw_seed
    self._draw = participation.draw(population, config.clients_per_round, seed, config.privacy)
    self._checkpoints = checkpoints.Checkpoints(config.output_dir / 'checkpoints')
    self._records = records.Records(config.output_dir)
    self._saved_round = -1
    self._seconds_before = 0.0  # Of the rounds that were done when this process began.

  def until_done(self) -> dict[str, Any]:
    """Runs all rounds that are left; returns the summary, which it also writes."""
    try:
      return self._finish()
    except failures.Stopped as stop:
      if (saved_round := self._checkpoints.newest_round()) is not None:
        stop.way_on = f'goes on after round {saved_round}'
      raise

  def _finish(self) -> dict[str, Any]:
    started = time.monotonic()
    state = self._start()
    rounds = range(self._records.round_number + 1, self._config.rounds + 1)
    try:
      with progress.Progress('round', self._config.rounds, self._records.round_number) as bar:
        for round_number in rounds:
          state = self._advance(round_number, state)
          self._tell(state)
          if self._is_due(round_number, self._config.rounds_per_checkpoint):
            self._save(state)
          bar.advance(state=self._records.told(), is_news=self._records.rows[-1]['eval/loss'] is not None)
    except (failures.Stopped, failures.RunEnded, errors.DataError):
      self._save(state)
      raise
    summary = self._summary(time.monotonic() - started)
    self._write_heldout(state)
    run_files.write_summary(summary, self._config.output_dir)
    records.warn(summary)
    return summary

  def _start(self) -> Any:
    """Returns the newest checkpoint, or the initial state, whose evaluation becomes round 0."""
    state = self._attempts.of_worker(self._initial_state)
    checkpoint = self._checkpoints.load_latest(state)
    if checkpoint is not None:
      state, self._saved_round = checkpoint
      self._records.resume(self._saved_round)
      self._seconds_before = sum(row['round_seconds'] for row in self._records.rows[1:])
      return state
    initial = self._evaluation_columns(state)
    if initial['eval/loss'] is None:
      raise failures.UsageError(
        'the clients that evaluate hold nothing to predict: raise --eval_clients, or give them data'
      )
    self._records.begin()
    self._record(0, initial)
    self._tell(state)
    self._save(state)
    return state

  def _initial_state(self) -> Any:
    state = self._process.initialize()
    return self._pretrained.begin(self._process, state, self._names) if self._pretrained else state

  def _advance(self, round_number: int, state: Any) -> Any:
    """Runs one round, records its row and returns the state after it."""
    config = self._config
    started = time.monotonic()
    trained = self._attempts.on_clients(lambda ids: self._process.next(state, ids), self._draw(round_number))
    columns = metrics.training_columns(trained.metrics, self._num_parameters)
    columns['round_seconds'] = time.monotonic() - started
    columns['epsilon'] = config.privacy and config.privacy.epsilon_after(round_number)
    if self._is_due(round_number, config.rounds_per_eval):
      columns |= self._evaluation_columns(trained.state)
    self._record(round_number, columns)
    return trained.state

  def _is_due(self, round_number: int, interval: int) -> bool:
    return round_number == self._config.rounds or round_number % interval == 0

  def _evaluation_columns(self, state: Any) -> dict[str, Any]:
    weights = state.global_model_weights.trainable
    measured = self._attempts.on_clients(lambda ids: self._evaluate(weights, ids), self._evaluation_ids)
    return metrics.evaluation_columns(measured, self._is_language_model)

  def _record(self, round_number: int, columns: dict[str, Any]) -> None:
    columns |= {'worker_rss_bytes': self._attempts.of_worker(self._worker.rss_bytes)} | self._attempts.columns()
    with records.saving(self._config.output_dir):
      self._records.add(round_number, columns)

  def _tell(self, state: Any) -> None:
    """Hands the last row to the loggers, before its checkpoint is written, so that a kill hides no row from them."""
    try:
      self._on_row(self._records.rows[-1])
    except BaseException:
      self._save(state)
      raise

  def _save(self, state: Any) -> None:
    """Writes the model and then the checkpoint, so that after a kill in between the round is done again."""
    round_number = self._records.round_number
    if round_number == self._saved_round:
      return
    weights, folder = state.global_model_weights.trainable, self._config.output_dir
    by_name = {name: np.asarray(weight) for name, weight in zip(self._names, weights, strict=True)}
    with records.saving(folder):
      if self._description:
        checkpoint_lib.save(folder, by_name, self._description, round_number)
      else:
        checkpoint_lib.save_arrays(folder / checkpoint_lib.MODEL_FILE, by_name, {})
      self._checkpoints.save(state, round_number)
    self._saved_round = round_number

  def _write_heldout(self, state: Any) -> None:
    """Writes how the last model did on each unit of the held-out clients that the last evaluation used, if it has units."""
    if self._score is None:
      return
    weights = state.global_model_weights.trainable
    units = self._attempts.on_clients(lambda ids: self._score(weights, ids), self._evaluation_ids)
    with records.saving(self._config.output_dir):
      heldout_units.write(units, self._config.output_dir)

  def _summary(self, seconds: float) -> dict[str, Any]:
    return {
      'rounds': self._records.round_number,
      'num_parameters': self._num_parameters,
      'num_clients_total': len(self._population.training_ids),
      **self._records.summary(),
      'seconds': seconds + self._seconds_before,
      'peak_rss_bytes': {
        'main': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        'worker': self._attempts.of_worker(self._worker.peak_rss_bytes),
      },
      'dataset_hash': self._population.dataset_hash,
      'privacy': self._config.privacy and self._config.privacy.told(self._records.round_number),
    }
