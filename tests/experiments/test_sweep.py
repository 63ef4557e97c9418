"""Sweeps: runs are made, skipped, survived and ended, and the state is kept; the binary refuses in one line."""

import gc
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from experiments.command import failures
from experiments.results import metrics
from experiments.sweeping import sweep_runs
from tests import binaries

_ROOT = pathlib.Path(__file__).parents[2]


def _job(name, script, **settings):
  return sweep_runs.Job(name, [sys.executable, '-c', script], settings)


def _finish(folder, rounds, perplexity, **settings):
  """Leaves what a finished run does; returns the script that would fail if it ran."""
  folder.mkdir(parents=True)
  settings = {'rounds': rounds, 'output_dir': str(folder)} | settings
  (folder / 'config.json').write_text(json.dumps({'settings': settings}))
  (folder / 'summary.json').write_text(json.dumps({'rounds': rounds}))
  row = {
    'round': rounds,
    'eval/loss': 1.0,
    'eval/perplexity': perplexity,
    'upload_bytes_total': 2_500_000,
    'round_seconds': 90.0,
  }
  lines = [','.join(metrics.COLUMNS), ','.join(str(row.get(name, '')) for name in metrics.COLUMNS)]
  (folder / 'metrics.csv').write_text('\n'.join(lines) + '\n')
  return 'raise SystemExit("ran again")'


def test_makes_runs_past_a_failure_and_keeps_the_state(tmp_path, capfd):
  script = _finish(tmp_path / 'old', 3, 120.04, seed=1)
  failing = 'import sys; print("ValueError: no such thing | at all", file=sys.stderr); print("bye"); sys.exit(3)'
  jobs = [_job('bad', failing), _job('old', script, rounds=3, seed=1), _job('new', 'print("fine")')]
  runs = sweep_runs.Runs(jobs, tmp_path)
  assert [runs.state(job) for job in jobs] == ['not begun', 'done', 'not begun']
  runs.make(1)
  assert [runs.state(job) for job in jobs] == ['failed', 'done', 'done']
  assert runs.failed == {'bad': 'ValueError: no such thing | at all'}
  status = (tmp_path / 'status.md').read_text()
  assert '2 of 3 runs done, 1 failed.' in status
  assert '| `bad` | failed |  |  |  | ValueError: no such thing \\| at all |' in status
  assert '| `old` | done | perplexity 120.0 | 2.5 | 1.5 |  |' in status
  assert (tmp_path / 'logs' / 'new.log').read_text() == 'fine\n'
  assert not (tmp_path / 'logs' / 'old.log').exists()
  assert 'run 3/3, new is done' in capfd.readouterr().err


def test_a_probe_counts_as_the_last_evaluation(tmp_path):
  _finish(tmp_path / 'run', 3, 120.0)
  (tmp_path / 'run' / 'summary.json').write_text(json.dumps({'rounds': 3, 'probe/accuracy': 0.8125}))
  runs = sweep_runs.Runs([_job('run', '', rounds=3)], tmp_path)
  assert '| `run` | done | probe accuracy 0.812 | 2.5 | 1.5 |  |' in runs.table()


@pytest.mark.parametrize(
  ('settings', 'finished'),
  [
    ({'rounds': 3, 'seed': 1, 'pretrained': None}, True),
    ({'rounds': 4, 'seed': 1}, False),
    ({'rounds': 3, 'seed': 2}, False),
    ({'rounds': 3}, False),
    ({'rounds': 3, 'seed': 1, 'upload': 'sign'}, False),
  ],
)
def test_a_run_is_finished_only_with_its_rounds_and_settings(settings, finished, tmp_path):
  _finish(tmp_path / 'run', 3, 1.0, seed=1)
  assert sweep_runs.is_finished(tmp_path / 'run', settings) == finished


def test_a_run_that_was_stopped_is_continued(tmp_path):
  _finish(tmp_path / 'run', 3, 1.0, seed=1)
  (tmp_path / 'run' / 'summary.json').unlink()
  job = _job('run', 'print("went on")', rounds=3, seed=1)
  runs = sweep_runs.Runs([job], tmp_path)
  assert runs.state(job) == 'stopped after round 3'
  runs.make(1)
  assert (tmp_path / 'logs' / 'run.log').read_text() == 'went on\n'


def test_parallel_runs_are_there_at_once(tmp_path):
  script = """
import pathlib, sys, time
me, other = pathlib.Path({me!r}), pathlib.Path({other!r})
me.touch()
deadline = time.monotonic() + 60
while not other.exists():
  time.sleep(0.01)
  if time.monotonic() > deadline: sys.exit('alone')
"""
  one, two = str(tmp_path / 'one'), str(tmp_path / 'two')
  jobs = [_job('a', script.format(me=one, other=two)), _job('b', script.format(me=two, other=one))]
  runs = sweep_runs.Runs(jobs, tmp_path / 'runs')
  runs.make(2)
  assert runs.failed == {}


def test_an_interrupt_ends_the_runs_and_leaves_the_state(tmp_path):
  pid_file = tmp_path / 'pid'
  script = f'import os, pathlib, time; pathlib.Path({str(pid_file)!r}).write_text(str(os.getpid())); time.sleep(60)'
  jobs = [_job('long', script), _job('next', '')]
  runs = sweep_runs.Runs(jobs, tmp_path / 'runs')

  def interrupt(*_):
    if pid_file.exists() and pid_file.read_text():
      signal.setitimer(signal.ITIMER_REAL, 0)
      raise KeyboardInterrupt

  gc.disable()  # Hypothesis has the collector call it, and an interrupt that came in there would be lost.
  before = signal.signal(signal.SIGALRM, interrupt)
  signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)
  try:
    with pytest.raises(KeyboardInterrupt):
      runs.make(1)
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    gc.enable()
  assert not pathlib.Path('/proc', pid_file.read_text()).exists()
  assert '0 of 2 runs done' in (tmp_path / 'runs' / 'status.md').read_text()
  assert [runs.state(job) for job in jobs] == ['not begun', 'not begun']


def test_refuses_a_folder_that_another_sweep_or_a_run_has(tmp_path):
  slow = _job('slow', 'import time; time.sleep(60)')
  script = (
    'import pathlib, sys; from experiments.sweeping import sweep_runs; '
    f'sweep_runs.Runs([sweep_runs.Job("slow", {list(slow.command)!r}, {{}})], pathlib.Path(sys.argv[1])).make(1)'
  )
  with subprocess.Popen([sys.executable, '-c', script, str(tmp_path)], cwd=_ROOT) as other:
    deadline = time.monotonic() + 30
    while not (tmp_path / 'status.md').exists() and time.monotonic() < deadline:
      time.sleep(0.05)
    try:
      with pytest.raises(failures.UsageError, match='another sweep is at work'):
        sweep_runs.Runs([_job('x', '')], tmp_path).make(1)
    finally:
      other.kill()
  (tmp_path / 'config.json').write_text('{}')
  with pytest.raises(failures.UsageError, match='is the folder of one run'):
    sweep_runs.Runs([_job('x', '')], tmp_path).make(1)


def _sweep(tmp_path, text, *arguments):
  if text is not None:
    (tmp_path / 'sweep.toml').write_text(text)
  flags = [f'--sweep={tmp_path}/sweep.toml', f'--output_dir={tmp_path}/out']
  process = binaries.run('experiments.sweep', [*flags, *arguments])
  return process.returncode, process.stdout, process.stderr


# Through a binary that imports in no time.
@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('[gird]\nseed = [0]', "unknown key 'gird'"),
    (None, 'name a TOML file'),
    (
      'binary = "compare"\n[flags]\nwhta = "runs"',
      "run 'run': experiments.compare has no flag 'whta' (did you mean",
    ),
    ('binary = "compare"\n[flags]\nwhat = "all"', "run 'run': what='all' is not what --what takes"),
    ('[flags]\nupload = "help(uniform)"', "upload of run 'run' asks for help: ask at the prompt"),
    ('binary = "worker"', 'experiments.worker has no --output_dir'),
  ],
)
def test_the_binary_refuses_in_one_line_and_makes_nothing(text, expected, tmp_path):
  code, _, errors = _sweep(tmp_path, text)
  assert code == 2
  assert expected in errors
  assert len(errors.splitlines()) == 1
  assert not (tmp_path / 'out').exists()


def test_a_dry_run_shows_commands_and_makes_nothing(tmp_path):
  text = 'binary = "compare"\n[grid]\nwhat = ["runs", "codecs"]\nruns = ["a b"]'
  code, output, errors = _sweep(tmp_path, text, '--dry_run', '--set=run=x|y')
  assert code == 0, errors
  command = "python -m experiments.compare --what=runs '--runs=a b' '--run=x|y'"
  assert f'what=runs (not begun)\n  {command} --output_dir={tmp_path}/out/what=runs\n' in output
  assert '2 runs; --dry_run' in output
  assert not (tmp_path / 'out').exists()


def test_a_failed_run_is_told_at_the_end(tmp_path):
  text = f'binary = "compare"\n[grid]\nwhat = ["runs", "policies"]\n[flags]\nruns = "{tmp_path}/nothing"'
  code, output, errors = _sweep(tmp_path, text)
  assert code == 1
  status = (tmp_path / 'out' / 'status.md').read_text()
  assert f'| `what=policies` | failed |  |  |  | error: --runs={tmp_path}/nothing matches no run' in status
  assert re.search('^what=policies +failed +error: ', output, re.MULTILINE)
  assert '2 of 2 runs failed; their output is in' in errors


def test_a_reader_who_has_seen_enough_is_no_error():
  script = 'from experiments.command import launch; launch.guarded(lambda: print("many\\n" * 100_000), ["test"])'
  with subprocess.Popen(
    [sys.executable, '-c', script], cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  ) as process:
    assert process.stdout.readline() == 'many\n'
    process.stdout.close()
    assert process.stderr.read() == ''
  assert process.returncode == 128 + signal.SIGPIPE
