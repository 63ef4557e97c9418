"""What MLflow is told: by a stand-in that keeps runs in memory, and by the package itself where it is installed."""

import collections
import pathlib
import sys
import types
from typing import Any

import pytest

from experiments.command import failures
from experiments.loggers import catalog
from tests.experiments.loggers import run_folder

_Metric = collections.namedtuple('_Metric', ['key', 'value', 'timestamp', 'step'])
_Pair = collections.namedtuple('_Pair', ['key', 'value'])


class _Client:
  """As much of a client of the package as is used; stores are kept by address."""

  stores: dict[str, dict[str, Any]]

  def __init__(self, tracking_uri):
    self._runs = self.stores.setdefault(tracking_uri, {})
    self._experiments = self.stores.setdefault('experiments', {})

  def get_experiment_by_name(self, name):
    return types.SimpleNamespace(experiment_id=name) if name in self._experiments else None

  def create_experiment(self, name):
    self._experiments[name] = True
    return name

  def search_runs(self, experiment_ids, text, max_results):
    (experiment,), wanted = experiment_ids, text.removeprefix("tags.leanfed_run = '").removesuffix("'")
    return [
      run for run in self._runs.values() if (run.experiment, run.data.tags['leanfed_run']) == (experiment, wanted)
    ][:max_results]

  def create_run(self, experiment_id, tags, run_name):
    info = types.SimpleNamespace(run_id=str(len(self._runs)), name=run_name)
    data = types.SimpleNamespace(params={}, tags=dict(tags), metrics=[])
    self._runs[info.run_id] = types.SimpleNamespace(experiment=experiment_id, info=info, data=data, statuses=[])
    return self._runs[info.run_id]

  def update_run(self, run_id, status):
    self._runs[run_id].statuses.append(status)

  set_terminated = update_run

  def log_batch(self, run_id, metrics=(), params=(), tags=()):
    data = self._runs[run_id].data
    assert not {param.key for param in params} & set(data.params)  # Which the package refuses if they differ.
    data.params.update(params)
    data.tags.update(tags)
    data.metrics += [(metric.key, metric.value, metric.step) for metric in metrics]

  def get_metric_history(self, run_id, key):
    return [_Metric(name, value, 0, step) for name, value, step in self._runs[run_id].data.metrics if name == key]


@pytest.fixture(name='stores')
def _stores(monkeypatch) -> dict[str, dict[str, Any]]:
  """Puts a stand-in in the place of the package; returns what it keeps, by the address of the store."""
  package = types.ModuleType('mlflow')
  package.MlflowClient = type('Client', (_Client,), {'stores': {}})
  package.entities = types.SimpleNamespace(Metric=_Metric, Param=_Pair, RunTag=_Pair)
  monkeypatch.setitem(sys.modules, 'mlflow', package)
  return package.MlflowClient.stores


def _log(folder: pathlib.Path, spec: str, *rounds: int) -> None:
  with catalog.build(spec)(folder) as on_row:
    for number in rounds:
      on_row(dict(run_folder.ROWS[number]))
    run_folder.write(folder, 3)
    run_folder.end(folder)


_ROWS = [
  ('round', 0.0, 0),
  ('eval/loss', 3.5, 0),
  ('row', 0.0, 0),
  ('round', 1.0, 1),
  ('train/loss', 3.25, 1),
  ('row', 1.0, 1),
  ('round', 2.0, 2),
  ('train/loss', 3.0, 2),
  ('eval/loss', 2.5, 2),
  ('row', 2.0, 2),
]
_SUMMARY = [('summary/rounds', 2.0, 2), ('summary/eval/loss', 2.5, 2), ('summary/peak_rss_bytes/main', 7.0, 2)]


def test_what_the_package_is_told(stores, tmp_path):
  folder = run_folder.begin(tmp_path / 'mine')
  _log(folder, 'mlflow', 0, 1, 2)
  (run,) = stores[(folder / 'mlruns').as_uri()].values()
  assert run.experiment == 'leanfed' and run.info.name == 'mine'
  assert run.data.params == {'rounds': '2', 'dataset': "text(path='my text')", 'pretrained': 'null'}
  assert run.data.tags == {'leanfed_run': (folder / 'log_id').read_text().strip(), 'dataset_hash': 'abc'}
  assert run.data.metrics == _ROWS + _SUMMARY
  assert run.statuses == ['RUNNING', 'FINISHED']


def test_a_run_goes_on_after_its_last_whole_row(stores, tmp_path):
  folder = run_folder.begin(tmp_path / 'mine')
  spec = f'mlflow(folder={str(tmp_path / "store")!r}, experiment="e", name="n")'
  with pytest.raises(failures.RunEnded), catalog.build(spec)(folder) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise failures.RunEnded('x')
  _log(folder, spec, 0, 1, 2)
  (run,) = stores[(tmp_path / 'store').as_uri()].values()
  assert run.experiment == 'e' and run.info.name == 'n'
  assert run.data.metrics == _ROWS + _SUMMARY
  assert run.statuses == ['RUNNING', 'FAILED', 'RUNNING', 'FINISHED']


def test_what_a_kill_left_of_a_row_is_made_whole(stores, tmp_path):
  folder = run_folder.begin(tmp_path / 'mine')
  with pytest.raises(failures.RunEnded), catalog.build('mlflow')(folder) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise failures.RunEnded('x')
  (run,) = stores[(folder / 'mlruns').as_uri()].values()
  run.data.metrics.append(('round', 1.0, 1))
  _log(folder, 'mlflow', 1, 2)
  _log(folder, 'mlflow')
  assert run.data.metrics == _ROWS + _SUMMARY


def test_a_server_is_asked_at_its_address_and_stages_are_tagged(stores, tmp_path):
  for number in (1, 2):
    folder = run_folder.begin(tmp_path / 'mine' / f'stage_0{number}', stage=number)
    _log(folder, 'mlflow(server="http://localhost:5000")', 0, 1, 2)
  runs = stores['http://localhost:5000'].values()
  assert [run.info.name for run in runs] == ['mine/stage_01', 'mine/stage_02']
  assert [(run.data.tags['leanfed_group'], run.data.tags['stage']) for run in runs] == [('mine', '1'), ('mine', '2')]


@pytest.mark.parametrize('name', ['mlruns', "a 'store' of 100 %"])
def test_the_package_itself_keeps_the_run_in_a_folder(name, tmp_path):
  package = pytest.importorskip('mlflow')
  folder, store = run_folder.begin(tmp_path / 'mine'), tmp_path / name
  spec = f'mlflow(folder={str(store)!r})'
  with pytest.raises(failures.RunEnded), catalog.build(spec)(folder) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise failures.RunEnded('killed')
  run_folder.write(folder, 1)
  _log(folder, spec, 0, 1, 2)
  client = package.MlflowClient(tracking_uri=store.as_uri())
  (run,) = client.search_runs([client.get_experiment_by_name('leanfed').experiment_id])
  assert run.info.status == 'FINISHED' and run.info.run_name == 'mine'
  assert run.data.params == {'rounds': '2', 'dataset': "text(path='my text')", 'pretrained': 'null'}
  assert run.data.tags['dataset_hash'] == 'abc'
  logged = {
    key: [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]
    for key in ('round', 'train/loss', 'eval/loss', 'summary/eval/loss', 'summary/peak_rss_bytes/main')
  }
  assert logged == {
    'round': [(0, 0.0), (1, 1.0), (2, 2.0)],
    'train/loss': [(1, 3.25), (2, 3.0)],
    'eval/loss': [(0, 3.5), (2, 2.5)],
    'summary/eval/loss': [(2, 2.5)],
    'summary/peak_rss_bytes/main': [(2, 7.0)],
  }
