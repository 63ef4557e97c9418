"""The parts of a round are measured on a small workload; each line has its figures."""

import pathlib
import re

from experiments.benchmarks import keras_workloads
from experiments.benchmarks import parts
from models import transformer


def test_prints_each_part(worker, tmp_path: pathlib.Path, capsys, monkeypatch):
  monkeypatch.setattr(keras_workloads, 'WORKLOADS', {'W1': keras_workloads.w1})
  monkeypatch.setattr(parts, '_STEPS', (1, 2))
  monkeypatch.setattr(parts, '_OVERLAP_STEPS', 2)
  monkeypatch.setattr(parts, '_LARGE_VOCABULARY', 11)
  monkeypatch.setitem(transformer.SIZES, 'large', dict(width=8, mlp_width=8, num_layers=1, num_heads=2))
  parts.print_parts(tmp_path, worker, repeats=1)
  printed = capsys.readouterr().out
  for line in (
    r'a process that imports an experiment takes \d+\.\d s',
    r'W1: traced in \d+\.\d s, first round of one step in \d+\.\d s',
    r'W1: 10 clients, 1, 2 steps each: \d+\.\d\d, \d+\.\d\d s a round; least squares: -?\d+\.\d\d s and -?\d+ ms',
    r'W1: a round of 2 steps keeps \d\.\d\d processors busy',
    r'W1: an evaluation of 2 steps keeps \d\.\d\d processors busy',
    r'W1: a round, then an evaluation \d+\.\d\d s, both at once \d+\.\d\d s',
    r'reading a client of 2 steps: \d+\.\d ms, from parsed arrays \d+\.\d ms',
    r'a state of 0\.\d+ MB: \d+\.\d\d s to the worker, \d+\.\d\d s back',
  ):
    assert re.search(line, printed), (line, printed)
