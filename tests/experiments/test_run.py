"""The run loop in this process, on a worker that ends where no computation runs."""

import contextlib
import pathlib

from data import partitions
from data import prepare
from data import text as text_lib
from experiments import metrics
from experiments import run
from experiments import runtime
from models import language_task
from models import lstm
from optimizers import algorithms
from optimizers import fed_opt
from optimizers import local_batches


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


def test_a_worker_that_ends_between_computations_is_replaced(tmp_path):
  for name in 'abc':
    (tmp_path / 'text' / name).mkdir(parents=True)
    (tmp_path / 'text' / name / 'a.txt').write_text(f'The cat {name} sat on the mat.\n' * 9)
  text = prepare.prepare(
    text_lib.text(path=str(tmp_path / 'text'), vocabulary=30, sequence_length=8),
    partitions.natural(),
    tmp_path / 'cache',
  )
  task = language_task.build(lstm.lstm(width=4, num_cells=4)(text.vocabulary_size), text.sequence_length)
  process = fed_opt.fed_avg()(task, algorithms.Communication(), local_batches.LocalBatches(4), 0)
  config = run.Config(tmp_path / 'run', rounds=1, clients_per_round=1, start_runtime=_dying_runtime)
  summary = run.run(task, process, run.Population.of(text), config)
  rows = metrics.read(tmp_path / 'run' / 'metrics.csv')
  assert [row['round_retries'] for row in rows] == [1, 0]
  assert rows[0]['worker_rss_bytes'] > 0 and summary['peak_rss_bytes']['worker'] > 0
