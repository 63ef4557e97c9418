"""Trains a model centrally: Adam, warm-up and cosine decay, clipped gradients, in this process, without TFF's worker.

The order of the examples is a function of (seed, epoch), dropout one of (seed, step), so that a training that was killed
goes on from its last checkpoint to the same weights as one that was not.
"""

import collections
from collections.abc import Mapping
import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import math
import pathlib
import time
from typing import Any
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from data import progress
from experiments.central import evaluation as central_evaluation
from experiments.central import step as step_lib
from experiments.central import training_state
from experiments.command import failures
from experiments.loggers import logger
from experiments.results import columns
from experiments.results import metrics
from experiments.results import output
from experiments.results import quality
from experiments.results import records
from experiments.results import run_files
from experiments.starts import pretrained
from experiments.workers import hardware
from models import checkpoint
from models import task as task_lib

COLUMNS = columns.names(columns.STEPS)


@dataclasses.dataclass(frozen=True)
class CentralConfig:
  """How long a training goes on, at which rate, and where it writes.

  Attributes:
    output_dir: Folder of the training; one that is already in it continues.
    steps: Number of batches; 0 evaluates the initial model only.
    batch_size: Examples in a batch.
    learning_rate: Adam's, at its highest.
    warmup_steps: Steps over which the learning rate grows to that; over the rest it falls to 0 as a half cosine.
    clip_norm: Largest global norm of a gradient.
    steps_per_eval: Steps between evaluations; the first and the last model are evaluated in any case.
    steps_per_checkpoint: Steps between checkpoints.
    seed: Decides the initial weights, the order of the examples and dropout.
    settings: Whatever else defines the training, for `config.json`; a folder is continued only with equal settings.
    facts: What decides the result besides, such as the hash of a teacher; likewise.
    log_to: A logger that is told the rows of `metrics.csv`; see `loggers.catalog`.
  """

  output_dir: pathlib.Path
  steps: int = 1000
  batch_size: int = 64
  learning_rate: float = 1e-3
  warmup_steps: int = 100
  clip_norm: float = 1.0
  steps_per_eval: int = 100
  steps_per_checkpoint: int = 100
  seed: int = 0
  settings: dict[str, Any] = dataclasses.field(default_factory=dict)
  facts: dict[str, Any] = dataclasses.field(default_factory=dict)
  log_to: logger.Logger = logger.nothing

  def __post_init__(self):
    for name in ('learning_rate', 'clip_norm'):
      value = getattr(self, name)
      if not 0.0 < value < math.inf:
        raise failures.UsageError(f'--{name} must be a positive number, not {value}')


Features = Mapping[str, np.ndarray]  # int32 [n, ...] by name, as in `Task.example_spec` but for the key of the client.


class Examples(NamedTuple):
  """At least one example to train on, and one to evaluate on."""

  training: Features
  evaluation: Features

  @property
  def num_training(self) -> int:
    """Number of examples to train on."""
    return central_evaluation.num_examples(self.training)

  def content_hash(self) -> str:
    """Returns a SHA-256 in hexadecimal."""
    content = hashlib.sha256()
    for features in self:
      for values in features.values():
        content.update(values.tobytes())
    return content.hexdigest()


def train(
  task: task_lib.Task,
  examples: Examples,
  description: checkpoint.Description,
  config: CentralConfig,
  start: pretrained.WarmStart | None = None,
) -> dict[str, Any]:
  """Trains, or continues training, and leaves metrics.csv, summary.json and the model in `config.output_dir`.

  Args:
    task: What is learned.
    examples: From what.
    description: What the model is, to be saved with it.
    config: The rest.
    start: Weights to begin with instead of the initial ones; `facts` of `config` should name them.

  Returns:
    What `summary.json` says, and `steps_per_second`, None where no more than one step was left.

  Raises:
    UsageError: If the folder holds something else, or the training diverges.
  """
  facts = dict(dataset_hash=examples.content_hash(), num_parameters=task.model.num_parameters) | config.facts
  logged = logger.around(config.log_to, config.output_dir)
  with output.claimed(config.output_dir, config.settings, facts), logged as on_row:
    hardware.say('in this process', hardware.devices()[:1])
    training = _Training(task, examples, description, config, start, on_row)
    steps_per_second = training.run()
    summary = training.summary() | facts
    run_files.write_summary(summary, config.output_dir)
  return summary | dict(steps_per_second=steps_per_second)


def batch_indices(num_examples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
  """Returns which examples step `step`, from 0, trains on, int64 [batch_size]; an epoch begins where the last one ends."""
  epochs, places = np.divmod(np.arange(step * batch_size, (step + 1) * batch_size), num_examples)
  return np.concatenate(
    [_order(num_examples, seed, int(epoch))[places[epochs == epoch]] for epoch in np.unique(epochs)]
  )


@functools.lru_cache(maxsize=2)
def _order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
  return np.random.default_rng([seed, epoch]).permutation(num_examples)


class _Training:
  """The parts of a training and the steps that advance it; all that changes is the state and the rows so far."""

  def __init__(
    self,
    task: task_lib.Task,
    examples: Examples,
    description: checkpoint.Description,
    config: CentralConfig,
    start: pretrained.WarmStart | None,
    on_row: logger.OnRow,
  ):
    self._task, self._examples, self._description = task, examples, description
    self._config, self._on_row = config, on_row
    self._evaluate = central_evaluation.Evaluation(task)
    self._optimizer = step_lib.build_optimizer(config)
    self._step = step_lib.build(task, self._optimizer, config)
    self._state, self._rows = self._begin(start)

  def run(self) -> float | None:
    """Takes all steps that are left; returns how many a second it took, without the first, which builds the graph."""
    config, first = self._config, self._state.step
    seconds = 0.0
    with progress.Progress('step', config.steps, first) as bar:
      for step in range(first + 1, config.steps + 1):
        before = self._state.seconds
        measured = self._advance()
        seconds += self._state.seconds - before if step > first + 1 else 0.0
        is_last = step == config.steps
        if is_last or step % config.steps_per_eval == 0:
          self._evaluate_and_write()
        if is_last or step % config.steps_per_checkpoint == 0:
          self._save()
        state = f'loss {measured:.2f}, held-out {quality.last(self._rows)}'
        bar.advance(state=state, is_news=self._rows[-1]['step'] == step)
    return (config.steps - first - 1) / seconds if seconds else None

  def summary(self) -> dict[str, Any]:
    """Returns what came of it."""
    names = ('eval/loss', 'eval/accuracy', 'eval/perplexity')
    return {
      'steps': self._state.step,
      'num_training_examples': self._examples.num_training,
      'num_evaluation_examples': central_evaluation.num_examples(self._examples.evaluation),
      **{name: self._rows[-1][name] for name in names},
      'seconds': self._state.seconds,
    }

  def _begin(self, start: pretrained.WarmStart | None) -> tuple[training_state.State, list[dict[str, Any]]]:
    """Returns the checkpoint and the rows up to it, or the initial state and its evaluation as step 0."""
    model, seed = self._task.model, self._config.seed
    weights = tuple(map(tf.constant, start.of(model, seed))) if start else model.initial_weights(seed)
    state = training_state.State(0, weights, step_lib.initial_state(self._optimizer, model), 0.0, 0.0, 0.0)
    saved = training_state.load(self._config.output_dir, state)
    if saved is not None:
      return saved, _rows(self._config.output_dir / 'metrics.csv', saved.step)
    self._state, self._rows = state, []
    self._evaluate_and_write()
    self._save()
    return self._state, self._rows

  def _advance(self) -> float:
    """Takes a step; returns the mean loss of its batch."""
    started, state = time.monotonic(), self._state
    chosen = batch_indices(self._examples.num_training, self._config.batch_size, self._config.seed, state.step)
    batch = {name: tf.constant(values[chosen]) for name, values in self._examples.training.items()}
    weights, optimizer_state, measures = self._step(
      state.weights, state.optimizer_state, batch, tf.constant(state.step, tf.int64)
    )
    loss_sum, weight_sum = float(measures['loss_sum']), float(measures['weight_sum'])
    sums = state.loss_sum + loss_sum, state.weight_sum + weight_sum, state.seconds + time.monotonic() - started
    self._state = training_state.State(state.step + 1, weights, optimizer_state, *sums)
    if not math.isfinite(loss_sum):
      raise failures.UsageError(
        f'the loss is not finite at step {state.step + 1}: choose a new --output_dir and a lower --learning_rate'
      )
    return loss_sum / max(1.0, weight_sum)  # By chance, a small batch hides no token.

  def _evaluate_and_write(self) -> None:
    state = self._state
    row = collections.OrderedDict.fromkeys(COLUMNS)
    row.update(self._evaluate(state.weights, self._examples.evaluation), step=state.step, seconds=state.seconds)
    if row['eval/loss'] is None:
      raise failures.UsageError(
        'the held-out examples have nothing to predict: raise --eval_clients, or choose more data'
      )
    if state.weight_sum:
      row['train/loss'] = state.loss_sum / state.weight_sum
    self._rows.append(row)
    self._state = state._replace(loss_sum=0.0, weight_sum=0.0)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows(self._rows)
    with records.saving(self._config.output_dir):
      output.write_text(self._config.output_dir / 'metrics.csv', text.getvalue())
    self._on_row(dict(row))

  def _save(self) -> None:
    """Writes the model and then the checkpoint, so that after a kill in between the steps are done again."""
    folder = self._config.output_dir
    names = [variable.name for variable in self._task.model.variables]
    by_name = {name: weight.numpy() for name, weight in zip(names, self._state.weights, strict=True)}
    with records.saving(folder):
      checkpoint.save(folder, by_name, self._description, self._state.step)
      training_state.save(folder, self._state)


def _rows(path: pathlib.Path, last_step: int) -> list[dict[str, Any]]:
  """Reads the rows up to a step."""
  with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
    if rows := [row for row in metrics.read(path) if row['step'] <= last_step]:
      return rows
  raise failures.UsageError(f'{path} has no sound rows: put the file back as it was, or choose a new --output_dir')
