"""PyTorch's rounds are asked for one by one and end with their context; a Python without PyTorch is refused in one line."""

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


def test_each_round_waits_for_its_answer_and_the_end_of_input_ends_the_process(tmp_path):
  log = tmp_path / 'log'
  python = _python(
    tmp_path, f'echo "$2 $4" > {log}; while read line; do echo round >> {log}; echo done; done; echo end >> {log}'
  )
  with torch_contender.running(python, 'W1', tmp_path / 'tokens.npy', 2) as advance:
    advance()
    assert log.read_text() == 'W1 2\nround\n'
    advance()
  assert log.read_text() == 'W1 2\nround\nround\nend\n'


def test_a_process_that_ends_early_is_no_round(tmp_path):
  python = _python(tmp_path, 'read line; exit 1')
  running = torch_contender.running(python, 'W1', tmp_path / 'tokens.npy', 2)
  with running as advance, pytest.raises(RuntimeError, match='ended before its round did'):
    advance()


def test_a_python_without_pytorch_is_refused(tmp_path):
  with pytest.raises(failures.UsageError, match='has no PyTorch: name a Python with torch'):
    torch_contender.require(_python(tmp_path, 'exit 1'))
  with pytest.raises(failures.UsageError, match="cannot run '/no/such/python': name a Python with torch"):
    torch_contender.require('/no/such/python')
  torch_contender.require(_python(tmp_path, 'exit 0'))
