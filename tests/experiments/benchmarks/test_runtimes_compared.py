"""Runs of both runtimes alternate, and each figure has a line with the ratio of the medians."""

import subprocess

import pytest

from experiments.benchmarks import measured_run
from experiments.benchmarks import runtimes_compared
from experiments.benchmarks import start
from models import transformer


@pytest.fixture(autouse=True)
def small_text(text, environment, monkeypatch) -> str:
  """The text that takes the place of both data sets."""
  monkeypatch.setenv('LEANFED_CACHE', environment['LEANFED_CACHE'])
  small = f'text(path={str(text)!r}, vocabulary=60)'
  monkeypatch.setattr(runtimes_compared, '_DATASET', small)
  monkeypatch.setattr(runtimes_compared, '_LARGE_DATASET', small)
  return small


def test_each_figure_is_a_median_of_runs_that_alternate(capsys, monkeypatch):
  asked = []

  def measure(flags: list[str]) -> measured_run.MeasuredRun:
    asked.append(next(flag.partition('=')[2] for flag in flags if flag.startswith('--runtime')))
    first = 50.0 if len(asked) <= 2 else 1.0  # What has just been built is slow once, and not counted.
    times = 1.0 if asked[-1] == 'in_process' else 2.0
    return measured_run.MeasuredRun(
      {0: 1.0, 1: 4.0 * first * times, 2: 6.0 * times}, [9.0, 8.0, times, 3 * times], int(1e9 * times)
    )

  monkeypatch.setattr(measured_run, 'measure', measure)
  monkeypatch.setattr(subprocess, 'run', lambda *_, **__: None)
  runtimes_compared.print_comparison(2)
  assert asked == ['in_process', 'worker'] * 5  # 1 + 2 small ones, 2 large ones
  assert capsys.readouterr().out.splitlines() == [
    'tiny Transformer, from the command to the end of round 1: in_process 4.00 s, worker 8.00 s; in_process to worker: 0.50',
    'large Transformer, from the command to the end of round 2: in_process 6.00 s, worker 12.00 s; in_process to worker: 0.50',
    'large Transformer, median round after round 2: in_process 2.00 s, worker 4.00 s; in_process to worker: 0.50',
    'large Transformer, peak memory of all processes: in_process 1.00 GB, worker 2.00 GB; in_process to worker: 0.50',
  ]


def test_parts_of_starting_in_process(small_text, capsys, monkeypatch):
  monkeypatch.setitem(transformer.SIZES, 'tiny', dict(width=8, mlp_width=8, num_layers=1, num_heads=2))
  monkeypatch.setattr(start, '_CLIENTS', 2)
  monkeypatch.setattr(start, '_EVAL_CLIENTS', 2)
  start.print_parts(small_text)
  line = capsys.readouterr().out
  parts = [part.split(' ')[:-2] for part in line.partition(': ')[2].split(', ')]
  assert [' '.join(words) for words in parts] == [
    'imports', 'open data', 'trace', 'split and load', 'initialize', 'first evaluation', 'first round', 'second round',
  ]  # fmt: skip
