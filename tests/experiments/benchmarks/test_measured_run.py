"""A run is watched from outside: each round's end has its time, and a run that fails is no measurement."""

import sys

import pytest

from experiments.benchmarks import measured_run


def test_says_when_rounds_ended_and_what_all_processes_held(text, environment, monkeypatch):
  monkeypatch.setenv('LEANFED_CACHE', environment['LEANFED_CACHE'])
  dataset = f'--dataset=text(path={str(text)!r}, vocabulary=60)'
  flags = [dataset, '--model=lstm(width=8, num_cells=8)', '--rounds=2', '--clients_per_round=3', '--eval_clients=2']
  found = measured_run.measure([*flags, '--runtime=worker'])
  assert list(found.seconds_to) == [0, 1, 2]
  assert 1.0 < found.seconds_to[0] <= found.seconds_to[1] <= found.seconds_to[2]
  assert len(found.round_seconds) == 2 and sum(found.round_seconds) < found.seconds_to[2]
  assert found.peak_bytes > 300_000_000  # TensorFlow alone, once imported, and a worker.


def test_a_run_that_fails_is_told(tmp_path, monkeypatch):
  python = tmp_path / 'python'
  python.write_text('#!/bin/sh\necho the disk is full >&2\nexit 1\n')
  python.chmod(0o755)
  monkeypatch.setattr(sys, 'executable', str(python))
  with pytest.raises(RuntimeError, match=r'--rounds=1 has failed:\nthe disk is full'):
    measured_run.measure(['--rounds=1'])
