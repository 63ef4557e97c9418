"""--log_to of the binaries, with the package itself where it is installed."""

import signal

import pytest

from experiments.results import metrics
from tests import language_model_runs as runs


@pytest.mark.parametrize('text_of_flag', ['wandb(mode="sideways")', 'mlfow'])
def test_a_bad_logger_is_one_line_before_anything_is_written(text_of_flag, text, environment, tmp_path):
  process = runs.finish(runs.command(text, tmp_path / 'run', log_to=text_of_flag), environment)
  assert process.returncode == 2 and len(process.stderr.splitlines()) == 1
  assert 'log_to' in process.stderr and not (tmp_path / 'run').exists()


def test_a_run_that_was_killed_is_one_run_there_with_each_row_once(text, environment, tmp_path):
  package = pytest.importorskip('mlflow')
  output_dir, store = tmp_path / 'run', tmp_path / 'store'
  changes = dict(rounds=12, rounds_per_checkpoint=5, log_to=f'mlflow(folder={str(store)!r})')
  command = runs.command(text, output_dir, **changes)
  with runs.running(command, environment) as process:
    assert runs.wait_for(lambda: runs.num_rounds(output_dir) >= 7, process), process.stderr.read()
    process.send_signal(signal.SIGKILL)
  resumed = runs.finish(command, environment)
  assert resumed.returncode == 0, resumed.stderr
  client = package.MlflowClient(tracking_uri=store.as_uri())
  (run,) = client.search_runs([client.get_experiment_by_name('leanfed').experiment_id])
  assert run.info.status == 'FINISHED' and run.info.run_name == 'run'
  assert run.data.params['rounds'] == '12' and run.data.params['upload'] == 'uniform(bits=8)'
  rows = metrics.read(output_dir / 'metrics.csv')
  for name in set(metrics.COLUMNS) - set(runs.NOT_REPEATABLE):
    logged = [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]
    assert logged == [(row['round'], row[name]) for row in rows if row[name] is not None], name
