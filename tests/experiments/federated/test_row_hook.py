"""A user's own logger is told each row of a run, and neither a failure of it nor one of the run loses any."""

import contextlib
import dataclasses
import functools
import pathlib
import threading
from typing import Any

import pytest

from data import partitions
from data import population as population_lib
from data import prepare
from data.sources import text as text_lib
from experiments.command import failures
from experiments.federated import run
from experiments.results import metrics
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches

_REPEATABLE = ('round', 'train/loss', 'eval/loss', 'upload_bytes_total')


@pytest.fixture(name='text', scope='module')
def _text(tmp_path_factory):
  folder = tmp_path_factory.mktemp('text')
  for name in 'abcdefgh':
    (folder / name).mkdir()
    (folder / name / 'a.txt').write_text(f'The cat {name} sat on the mat.\n' * 9)
  source = text_lib.text(path=str(folder), vocabulary=30, sequence_length=8)
  return prepare.prepare(source, partitions.natural(), tmp_path_factory.mktemp('cache'))


@functools.cache
def _process(vocabulary_size: int, sequence_length: int) -> tuple[Any, Any]:
  task = language_task.build(lstm.lstm(width=4, num_cells=4)(vocabulary_size), sequence_length)
  return task, fed_opt.fed_avg()(task, algorithms.Communication(), local_batches.LocalBatches(4), 0)


def _run(text, config: run.Config, on_row=None) -> dict[str, Any]:
  task, process = _process(text.vocabulary_size, text.sequence_length)
  return run.run(task, process, population_lib.Population.of(text), config, on_row=on_row)


def _config(folder: pathlib.Path, **arguments) -> run.Config:
  return run.Config(folder, **dict(rounds=4, clients_per_round=2, rounds_per_eval=2) | arguments)


def _repeatable(config: run.Config) -> list[list[Any]]:
  return [[row[name] for name in _REPEATABLE] for row in metrics.read(config.output_dir / 'metrics.csv')]


@pytest.fixture(name='reference', scope='module')
def _reference(text, tmp_path_factory):
  config = _config(tmp_path_factory.mktemp('reference') / 'run')
  _run(text, config)
  return _repeatable(config)


def test_the_hook_is_told_each_row_that_is_in_the_file_as_plain_values(text, tmp_path):
  config, told = _config(tmp_path / 'run'), []

  def on_row(row):
    assert metrics.read(config.output_dir / 'metrics.csv')[-1] == row
    assert threading.current_thread() is threading.main_thread()
    told.append(row)

  _run(text, config, on_row)
  assert [row['round'] for row in told] == [0, 1, 2, 3, 4]
  assert told == metrics.read(config.output_dir / 'metrics.csv')
  assert all(list(row) == list(metrics.COLUMNS) and type(row) is dict for row in told)
  assert {type(value) for row in told for value in row.values()} == {int, float, type(None)}
  assert told[0]['train/loss'] is None and told[0]['eval/loss'] > 0 and told[1]['eval/loss'] is None


def test_what_the_hook_does_to_a_row_leaves_the_run_alone(text, reference, tmp_path):
  config = _config(tmp_path / 'run')
  _run(text, config, lambda row: row.clear())
  assert _repeatable(config) == reference


@pytest.mark.parametrize('fails_at', [0, 3])
def test_an_error_of_the_hook_is_raised_once_the_round_is_saved(fails_at, text, reference, tmp_path):
  config, told = _config(tmp_path / 'run', rounds_per_checkpoint=100), []

  def on_row(row):
    told.append(row['round'])
    if row['round'] == fails_at:
      raise KeyError('of the logger')

  with pytest.raises(KeyError, match='of the logger'):
    _run(text, config, on_row)
  assert told == list(range(fails_at + 1))
  _run(text, config, lambda row: told.append(row['round']))
  assert told == [0, 1, 2, 3, 4]
  assert _repeatable(config) == reference


def test_rounds_after_the_last_checkpoint_are_told_again_and_earlier_ones_are_not(text, reference, tmp_path):
  config, told = _config(tmp_path / 'run', rounds_per_checkpoint=1), []
  _run(text, config)
  for number in (3, 4):
    (config.output_dir / 'checkpoints' / f'round_{number}.safetensors').unlink()
  _run(text, config, lambda row: told.append(row['round']))
  assert told == [3, 4]
  assert _repeatable(config) == reference


def test_a_logger_is_a_block_around_the_run_and_its_summary(text, tmp_path):
  events = []

  @contextlib.contextmanager
  def log_to(output_dir):
    events.append((output_dir / 'config.json').exists())
    yield lambda row: events.append(row['round'])
    events.append((output_dir / 'summary.json').exists())

  config = _config(tmp_path / 'run', rounds=1, log_to=log_to)
  _run(text, config, lambda row: events.append(f'own {row["round"]}'))
  assert events == [True, 0, 'own 0', 1, 'own 1', True]
  _run(text, dataclasses.replace(config, log_to=_refusing))  # Who is told may change; no row is left to tell.


def test_a_logger_that_gives_up_ends_the_run_with_its_round_saved(text, tmp_path):
  config = _config(tmp_path / 'run', log_to=_refusing)
  with pytest.raises(failures.RunEnded, match=r'^refused$'):
    _run(text, config)
  assert (config.output_dir / 'checkpoints' / 'round_0.safetensors').exists()


@contextlib.contextmanager
def _refusing(output_dir):
  del output_dir

  def on_row(row):
    raise failures.RunEnded('refused')

  yield on_row
