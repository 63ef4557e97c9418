"""The run loop in this process, whose worker, disk, checkpoints or data fail at a chosen moment."""

import contextlib
import dataclasses
import pathlib
import shutil
import sqlite3
from typing import Any

import pytest

from data import cache
from data import federated_text
from data import partitions
from data import prepare
from data import text as text_lib
from experiments import checkpoints
from experiments import launch
from experiments import metrics
from experiments import population as population_lib
from experiments import run
from experiments import runtime
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import heldout_file


@contextlib.contextmanager
def _dying_runtime(log_path: pathlib.Path, *_):
  """A worker that ends each time before its memory is first asked for."""
  with runtime.local_runtime(log_path) as worker:
    for name in ('rss_bytes', 'peak_rss_bytes'):
      setattr(worker, name, _after_a_death(worker, getattr(worker, name)))
    yield worker


def _after_a_death(worker: runtime.LocalWorker, ask):
  has_died = []

  def dying():
    if not has_died:
      has_died.append(True)
      worker.kill()
      while worker.is_alive():
        pass
    return ask()

  return dying


@pytest.fixture
def text(tmp_path):
  for name in 'abcdefgh':
    (tmp_path / 'text' / name).mkdir(parents=True)
    (tmp_path / 'text' / name / 'a.txt').write_text(f'The cat {name} sat on the mat.\n' * 9)
  source = text_lib.text(path=str(tmp_path / 'text'), vocabulary=30, sequence_length=8)
  return prepare.prepare(source, partitions.natural(), tmp_path / 'cache')


def _run(text: federated_text.FederatedText, config: run.Config, **population) -> dict[str, Any]:
  task = language_task.build(lstm.lstm(width=4, num_cells=4)(text.vocabulary_size), text.sequence_length)
  process = fed_opt.fed_avg()(task, algorithms.Communication(), local_batches.LocalBatches(4), 0)
  return run.run(task, process, dataclasses.replace(population_lib.Population.of(text), **population), config)


def _rows(config: run.Config, *names: str) -> list[list[Any]]:
  return [[row[name] for name in names] for row in metrics.read(config.output_dir / 'metrics.csv')]


def test_a_worker_that_ends_between_computations_is_replaced(text, tmp_path):
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=1, start_runtime=_dying_runtime)
  summary = _run(text, config)
  assert _rows(config, 'round_retries') == [[1], [0]]
  assert metrics.read(tmp_path / 'run' / 'metrics.csv')[0]['worker_rss_bytes'] > 0
  assert summary['peak_rss_bytes']['worker'] > 0


def test_a_disk_that_fails_once_loses_no_round(text, tmp_path, monkeypatch):
  reference = run.Config(tmp_path / 'reference', rounds=3, clients_per_round=1, rounds_per_checkpoint=1)
  _run(text, reference)
  save, rounds = checkpoints.Checkpoints.save, []

  async def save_but_once(self, state, round_number):
    rounds.append(round_number)
    if rounds == [0, 1, 2]:
      raise OSError('no space left')
    await save(self, state, round_number)

  monkeypatch.setattr(checkpoints.Checkpoints, 'save', save_but_once)
  config = dataclasses.replace(reference, output_dir=tmp_path / 'run')
  with pytest.raises(launch.RunEnded, match='no space left'):
    _run(text, config)
  assert rounds == [0, 1, 2, 2]
  _run(text, config)
  columns = ('round', 'train/loss', 'eval/loss', 'upload_bytes_total')
  assert _rows(config, *columns) == _rows(reference, *columns)


def test_without_its_checkpoints_a_run_is_not_begun_again(text, tmp_path):
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=1)
  _run(text, config)
  shutil.rmtree(tmp_path / 'run' / 'checkpoints')
  before = (tmp_path / 'run' / 'metrics.csv').read_text()
  with pytest.raises(launch.UsageError, match='rows up to round 1, but no checkpoint is sound: put the checkpoints'):
    _run(text, config)
  assert (tmp_path / 'run' / 'metrics.csv').read_text() == before


def test_clients_that_an_evaluation_skips_are_counted(text, tmp_path):
  evaluation = text.clients('train')
  assert len(evaluation.client_ids) >= 4
  with contextlib.closing(sqlite3.connect(text.database)) as connection:
    row = "SELECT min(rowid) FROM examples WHERE split_name = 'train'"
    connection.execute(f"UPDATE examples SET serialized_example_proto = x'ff00' WHERE rowid = ({row})")
    connection.commit()
  config = run.Config(tmp_path / 'run', rounds=0, clients_per_round=1)
  _run(text, config, evaluation=evaluation)
  assert _rows(config, 'skipped_clients') == [[1]]
  heldout_file.check(tmp_path / 'run', examples=False)
  assert len(heldout_file.read(tmp_path / 'run')) == len(evaluation.client_ids) - 1


def test_units_are_those_of_the_last_model_however_often_a_run_is_continued(text, tmp_path, monkeypatch):
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=2)
  publish = cache.publish

  def publish_all_but_units(unfinished, final):
    if final.name == 'heldout.csv':
      raise OSError('no space left')
    publish(unfinished, final)

  population = dict(evaluation=text.clients('train'))
  with monkeypatch.context() as patched:
    patched.setattr(cache, 'publish', publish_all_but_units)
    with pytest.raises(launch.RunEnded, match='no space left'):
      _run(text, config, **population)
  assert not list((tmp_path / 'run').glob('heldout*')) and not (tmp_path / 'run' / 'summary.json').exists()
  _run(text, config, **population)
  heldout_file.check(tmp_path / 'run', examples=False)
  first = heldout_file.read(tmp_path / 'run')
  _run(text, dataclasses.replace(config, rounds=2), **population)
  heldout_file.check(tmp_path / 'run', examples=False)
  assert heldout_file.read(tmp_path / 'run') != first
