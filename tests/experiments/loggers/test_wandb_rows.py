"""What Weights & Biases is told: by a stand-in that takes it down, and by the package itself where it is installed."""

import json
import pathlib
import sys
import types
from typing import Any

import pytest

from experiments.command import failures
from experiments.loggers import catalog
from tests.experiments.loggers import run_folder


@pytest.fixture(name='calls')
def _calls(monkeypatch) -> list[Any]:
  """Puts a stand-in in the place of the package; it has the rows before `starting_step` already."""
  calls = []
  package = types.ModuleType('wandb')

  def take(name):
    return lambda *args, **kwargs: calls.append((name, *args, kwargs))

  def init(**arguments):
    calls.append(('init', arguments))
    return types.SimpleNamespace(
      starting_step=package.starting_step,
      config=types.SimpleNamespace(update=take('config')),
      log=take('log'),
      summary=types.SimpleNamespace(update=take('summary')),
      finish=take('finish'),
    )

  package.init, package.starting_step, package.Settings = init, 0, dict
  monkeypatch.setitem(sys.modules, 'wandb', package)
  return calls


def _log(folder: pathlib.Path, spec: str, *rounds: int) -> None:
  with catalog.build(spec)(folder) as on_row:
    for number in rounds:
      on_row(dict(run_folder.ROWS[number]))
    run_folder.write(folder, 3)
    run_folder.end(folder)


def test_what_the_package_is_told(calls, tmp_path):
  folder = run_folder.begin(tmp_path / 'mine')
  _log(folder, 'wandb', 0, 1, 2)
  assert calls == [
    (
      'init',
      dict(
        project='leanfed',
        mode='offline',
        entity=None,
        dir=str(folder),
        id=(folder / 'log_id').read_text().strip(),
        name='mine',
        group=None,
        resume=None,
        settings=dict(console='off', silent=True, disable_git=True, disable_code=True),
      ),
    ),
    ('config', {'settings': run_folder.SETTINGS, 'dataset_hash': 'abc'}, {'allow_val_change': True}),
    ('log', {'round': 0, 'eval/loss': 3.5}, {'step': 0}),
    ('log', {'round': 1, 'train/loss': 3.25}, {'step': 1}),
    ('log', {'round': 2, 'train/loss': 3.0, 'eval/loss': 2.5}, {'step': 2}),
    ('summary', {'rounds': 2, 'eval/loss': 2.5, 'peak_rss_bytes/main': 7, 'dataset_hash': 'abc'}, {}),
    ('finish', {'exit_code': 0}),
  ]


def test_online_a_run_goes_on_after_its_last_row(calls, tmp_path):
  sys.modules['wandb'].starting_step = 2
  _log(run_folder.begin(tmp_path / 'mine'), 'wandb(mode="online", project="p", entity="e", name="n")', 1, 2)
  arguments = calls[0][1]
  assert {name: arguments[name] for name in ('mode', 'project', 'entity', 'name', 'resume')} == dict(
    mode='online', project='p', entity='e', name='n', resume='allow'
  )
  assert [call[2] for call in calls if call[0] == 'log'] == [{'step': 2}]


def test_offline_each_process_leaves_all_rounds(calls, tmp_path):
  _log(run_folder.begin(tmp_path / 'mine', rows=2), f'wandb(folder={str(tmp_path / "logs" / "here")!r})', 2)
  assert calls[0][1]['dir'] == str(tmp_path / 'logs' / 'here') and (tmp_path / 'logs' / 'here').is_dir()
  assert [call[2]['step'] for call in calls if call[0] == 'log'] == [0, 1, 2]


def test_a_run_that_ends_early_has_failed(calls, tmp_path):
  folder = run_folder.begin(tmp_path / 'mine')
  with pytest.raises(failures.RunEnded), catalog.build('wandb')(folder) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise failures.RunEnded('x')
  assert calls[-1] == ('finish', {'exit_code': 1})


def test_the_package_itself_writes_files_that_hold_the_run(tmp_path, monkeypatch):
  pytest.importorskip('wandb')
  monkeypatch.setenv('WANDB_API_KEY', '')
  folder = run_folder.begin(tmp_path / "it's mine")
  with pytest.raises(failures.RunEnded), catalog.build('wandb')(folder) as on_row:
    on_row(dict(run_folder.ROWS[0]))
    raise failures.RunEnded('killed')
  first = _read_newest(folder)
  run_folder.write(folder, 1)
  _log(folder, 'wandb', 1, 2)
  second = _read_newest(folder)
  assert first['rows'] == [{'round': 0, 'eval/loss': 3.5}] and first['exit_code'] == 1
  assert second['rows'] == [
    {'round': 0, 'eval/loss': 3.5},
    {'round': 1, 'train/loss': 3.25},
    {'round': 2, 'train/loss': 3.0, 'eval/loss': 2.5},
  ]
  assert first['id'] == second['id'] == (folder / 'log_id').read_text().strip()
  assert second['config']['settings'] == run_folder.SETTINGS and second['config']['dataset_hash'] == 'abc'
  assert second['summary']['peak_rss_bytes/main'] == 7 and second['summary']['eval/loss'] == 2.5
  assert second['exit_code'] == 0


def _read_newest(folder: pathlib.Path) -> dict[str, Any]:
  """Reads what the package wrote of the last process."""
  from wandb.proto import wandb_internal_pb2
  from wandb.sdk.internal import datastore

  store = datastore.DataStore()
  sys.modules['wandb'].teardown()  # Its own process writes the files, a little later.
  path = max(folder.glob('wandb/offline-run-*/*.wandb'), key=lambda path: path.stat().st_mtime)
  store.open_for_scan(str(path))
  found = dict(rows=[], config={}, summary={})
  while (data := store.scan_data()) is not None:
    record = wandb_internal_pb2.Record()
    record.ParseFromString(data)
    kind = record.WhichOneof('record_type')
    if kind == 'run':
      found['id'] = record.run.run_id
      found['config'] |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
    elif kind == 'config':
      found['config'] |= {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.config.update}
    elif kind == 'history':
      row = {'/'.join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
      found['rows'].append({name: value for name, value in row.items() if not name.startswith('_')})
    elif kind == 'summary':
      found['summary'] |= {
        '/'.join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.summary.update
      }
    elif kind == 'exit':
      found['exit_code'] = record.exit.exit_code
  return found
