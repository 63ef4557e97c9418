"""The run loop in this process, whose worker, disk, checkpoints or data fail at a chosen moment."""

import contextlib
import dataclasses
import functools
import json
import math
import pathlib
import shutil
import sqlite3
from typing import Any

import pytest
import tensorflow_federated as tff

from compression import codec
from compression import update_codec
from compression.stages import uniform
from data import cache
from data import federated_text
from data import partitions
from data import population as population_lib
from data import prepare
from data.sources import text as text_lib
from experiments.command import failures
from experiments.federated import checkpoints
from experiments.federated import run
from experiments.results import metrics
from experiments.results import output
from experiments.workers import local_runtime
from models import language_task
from models import lstm
from models import task as task_lib
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches
from tests import heldout_file


@contextlib.contextmanager
def _dying_runtime(log_path: pathlib.Path, *_):
  """A worker that ends each time before its memory is first asked for."""
  with local_runtime.local_runtime(log_path) as worker:
    for name in ('rss_bytes', 'peak_rss_bytes'):
      setattr(worker, name, _after_a_death(worker, getattr(worker, name)))
    yield worker


def _after_a_death(worker: local_runtime.LocalWorker, ask):
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


@functools.cache
def _process(
  vocabulary_size: int, sequence_length: int, bits: int | None, rates: tuple[float, ...]
) -> tuple[task_lib.Task, tff.learning.templates.LearningProcess]:
  task = language_task.build(lstm.lstm(width=4, num_cells=4)(vocabulary_size), sequence_length)
  stages = [] if bits is None else [uniform.Uniform(bits=bits)]
  communication = algorithms.Communication(upload=update_codec.UpdateCodec(codec.Codec(stages)))
  return task, fed_opt.fed_avg(*rates)(task, communication, local_batches.LocalBatches(4), 0)


def _run(
  text: federated_text.FederatedText,
  config: run.Config,
  bits: int | None = None,
  rates: tuple[float, ...] = (),
  **population,
) -> dict[str, Any]:
  task, process = _process(text.vocabulary_size, text.sequence_length, bits, rates)
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

  def save_but_once(self, state, round_number):
    rounds.append(round_number)
    if rounds == [0, 1, 2]:
      raise OSError('no space left')
    save(self, state, round_number)

  monkeypatch.setattr(checkpoints.Checkpoints, 'save', save_but_once)
  config = dataclasses.replace(reference, output_dir=tmp_path / 'run')
  with pytest.raises(failures.RunEnded, match='no space left'):
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
  with pytest.raises(failures.UsageError, match='rows up to round 1, but no checkpoint is sound: put the checkpoints'):
    _run(text, config)
  assert (tmp_path / 'run' / 'metrics.csv').read_text() == before


def test_an_evaluation_of_nothing_is_refused(text, tmp_path):
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=1)
  with pytest.raises(
    failures.UsageError, match=r'^the clients that evaluate hold nothing to predict: raise --eval_clients'
  ):
    _run(text, config, judges=[])
  assert not (tmp_path / 'run' / 'summary.json').exists()


def test_clients_that_an_evaluation_skips_are_counted(text, tmp_path):
  evaluation = text.clients('train')
  assert len(evaluation.client_ids) >= 4
  with contextlib.closing(sqlite3.connect(text.database)) as connection:
    row = "SELECT min(rowid) FROM examples WHERE split_name = 'train'"
    connection.execute(f"UPDATE examples SET serialized_example_proto = x'ff00' WHERE rowid = ({row})")
    connection.commit()
  config = run.Config(tmp_path / 'run', rounds=0, clients_per_round=1)
  _run(text, config, evaluation=evaluation, judges=None)
  assert _rows(config, 'skipped_clients') == [[1]]
  heldout_file.check(tmp_path / 'run', examples=False)
  assert len(heldout_file.read(tmp_path / 'run')) == len(evaluation.client_ids) - 1


def _files(folder: pathlib.Path) -> dict[str, bytes]:
  """Returns what a reader of a run's folder sees."""
  names = ('config.json', 'run.flags', 'summary.json', 'metrics.csv', 'model.safetensors')
  return {name: (folder / name).read_bytes() for name in names if (folder / name).exists()}


def test_what_defines_a_run_is_known_whoever_calls(text, tmp_path):
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=2)
  summary = _run(text, config, bits=8)
  before = _files(config.output_dir)
  others = {
    'computations_sha256=': dict(bits=4),
    'the script of that run': dict(rates=(0.125,), bits=8),
    'clients_sha256=': dict(participants=text.client_ids('train')[1:], bits=8),
    'clients_per_round=2, not 1': dict(config=dataclasses.replace(config, clients_per_round=1), bits=8),
    'eval_clients=100, not 1': dict(config=dataclasses.replace(config, eval_clients=1), bits=8),
    'draw_seed=None, not 3': dict(config=dataclasses.replace(config, draw_seed=3), bits=8),
    "note=None, not 'x'": dict(config=dataclasses.replace(config, settings={'note': 'x'}), bits=8),
  }
  for expected, other in others.items():
    with pytest.raises(failures.UsageError, match=expected):
      _run(text, **({'config': config} | other))
    assert _files(config.output_dir) == before
  again = _run(text, config, bits=8)
  measured = ('rounds', 'num_parameters', 'eval/loss', 'eval/perplexity', 'upload_bytes_total', 'dataset_hash')
  assert {name: again[name] for name in measured} == {name: summary[name] for name in measured}
  assert _run(text, dataclasses.replace(config, rounds=2), bits=8)['rounds'] == 2


def test_settings_alone_define_the_run_of_a_binary(text, tmp_path):
  config = run.Config(
    tmp_path / 'run', rounds=1, clients_per_round=1, settings=dict(upload='x'), settings_are_complete=True
  )
  _run(text, config, bits=8)
  assert 'computations_sha256' not in json.loads((tmp_path / 'run' / 'config.json').read_text())
  _run(text, config, bits=4)  # As a later version may build it.


@pytest.mark.parametrize('finished', [True, False])
def test_a_run_is_not_shortened(finished, text, tmp_path):
  config = run.Config(tmp_path / 'run', rounds=3, clients_per_round=1)
  _run(text, config)
  if not finished:
    (tmp_path / 'run' / 'summary.json').unlink()
  before = _files(config.output_dir)
  for rounds in (2, 0):
    with pytest.raises(failures.UsageError, match=f'has done 3 rounds, more than rounds={rounds}: ask for 3 at least'):
      _run(text, dataclasses.replace(config, rounds=rounds))
    assert _files(config.output_dir) == before
  assert _run(text, config)['rounds'] == 3


@pytest.mark.parametrize(('rounds_per_eval', 'since'), [(1, 1), (3, 2)])
def test_a_run_that_diverges_says_since_when(rounds_per_eval, since, text, tmp_path, capsys):
  """The first step of the server ends in overflow, after which every update is dropped."""
  config = run.Config(tmp_path / 'run', rounds=3, clients_per_round=2, rounds_per_eval=rounds_per_eval)
  summary = _run(text, config, rates=(3.0, 1e38))
  assert summary['diverged_round'] == since
  assert f'diverged: since round {since} no evaluation has a finite perplexity' in capsys.readouterr().err
  assert not math.isfinite(summary['eval/loss']) and summary['eval/perplexity'] == math.inf

  def refuse(constant):
    raise AssertionError(constant)

  written = (tmp_path / 'run' / 'summary.json').read_text()
  assert json.loads(written, parse_constant=refuse) == output.finite(summary)
  loss, perplexity = _rows(config, 'eval/loss', 'eval/perplexity')[-1]
  assert not math.isfinite(loss) and perplexity == math.inf


def test_a_run_whose_loss_is_finite_and_its_perplexity_is_not_has_diverged(text, tmp_path, capsys):
  config = run.Config(tmp_path / 'run', rounds=4, clients_per_round=2, rounds_per_eval=2)
  summary = _run(text, config, rates=(1e6,))
  trained, loss = _rows(config, 'train/loss', 'eval/loss')[3][0], summary['eval/loss']
  assert math.isfinite(trained) and math.isfinite(loss) and summary['eval/perplexity'] == math.inf
  assert summary['diverged_round'] == 2
  assert 'diverged: since round 2 no evaluation has a finite perplexity' in capsys.readouterr().err


def test_a_run_that_does_not_diverge_says_nothing(text, tmp_path, capsys):
  summary = _run(text, run.Config(tmp_path / 'run', rounds=1, clients_per_round=2))
  assert summary['diverged_round'] is None
  assert 'diverged' not in capsys.readouterr().err


@pytest.mark.parametrize(('asked', 'way_on'), [(1, 'begins again'), (3, 'goes on after round 1')])
def test_a_stop_promises_what_was_saved(asked, way_on, text, tmp_path):
  """The worker's memory is asked for once a row; the first row is that of the initial model."""

  @contextlib.contextmanager
  def stopped(log_path, *_):
    with local_runtime.local_runtime(log_path) as worker:
      times, ask = [], worker.rss_bytes

      def stopping():
        times.append(1)
        if len(times) == asked:
          raise failures.Stopped(15)
        return ask()

      worker.rss_bytes = stopping
      yield worker

  config = run.Config(tmp_path / 'run', rounds=3, clients_per_round=1, start_runtime=stopped)
  with pytest.raises(failures.Stopped) as stop:
    _run(text, config)
  assert stop.value.way_on == way_on


def test_units_are_those_of_the_last_model_however_often_a_run_is_continued(text, tmp_path, monkeypatch):
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=2)
  publish = cache.publish

  def publish_all_but_units(unfinished, final):
    if final.name == 'heldout.csv':
      raise OSError('no space left')
    publish(unfinished, final)

  population = dict(evaluation=text.clients('train'), judges=None)
  with monkeypatch.context() as patched:
    patched.setattr(cache, 'publish', publish_all_but_units)
    with pytest.raises(failures.RunEnded, match='no space left'):
      _run(text, config, **population)
  assert not list((tmp_path / 'run').glob('heldout*')) and not (tmp_path / 'run' / 'summary.json').exists()
  _run(text, config, **population)
  heldout_file.check(tmp_path / 'run', examples=False)
  first = heldout_file.read(tmp_path / 'run')
  _run(text, dataclasses.replace(config, rounds=2), **population)
  heldout_file.check(tmp_path / 'run', examples=False)
  assert heldout_file.read(tmp_path / 'run') != first
