"""PyTorch's rounds are asked for in either precision; a Python without PyTorch is refused in one line."""

import pathlib

import pytest

from experiments.benchmarks import torch_contender
from experiments.command import failures


def _python(folder: pathlib.Path, script: str) -> str:
  """Returns a program that stands for a Python, whatever it is asked to run."""
  path = folder / 'python'
  path.write_text(f'#!/bin/sh\n{script}\n')
  path.chmod(0o755)
  return str(path)


def test_the_script_is_told_workload_processes_and_precision(tmp_path):
  log = tmp_path / 'log'
  python = _python(tmp_path, f'echo "$2 $4 $5" >> {log}; read line; echo done')
  for precision in ({}, {'precision': 'bfloat16'}):
    with torch_contender.running(python, 'W1', tmp_path / 'tokens.npy', 2, **precision) as advance:
      advance()
  assert log.read_text() == 'W1 2 float32\nW1 2 bfloat16\n'


def test_a_python_without_pytorch_is_refused(tmp_path):
  with pytest.raises(failures.UsageError, match='has no PyTorch: name a Python with torch'):
    torch_contender.require(_python(tmp_path, 'exit 1'))
  with pytest.raises(failures.UsageError, match="cannot run '/no/such/python': name a Python with torch"):
    torch_contender.require('/no/such/python')
  torch_contender.require(_python(tmp_path, 'exit 0'))
