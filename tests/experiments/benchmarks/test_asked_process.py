"""Rounds are asked for one by one, and the process that does them ends with the block."""

import pathlib
import sys

import pytest

from experiments.benchmarks import asked_process

_ROOT = pathlib.Path(__file__).parents[3]


def test_each_round_waits_for_its_answer_and_the_end_of_input_ends_the_process(tmp_path):
  log = tmp_path / 'log'
  script = f'while read line; do echo round >> {log}; echo done; done; echo end >> {log}'
  with asked_process.running(['sh', '-c', script]) as advance:
    advance()
    assert log.read_text() == 'round\n'
    advance()
  assert log.read_text() == 'round\nround\nend\n'


def test_a_process_that_ends_early_is_no_round():
  running = asked_process.running(['sh', '-c', 'read line; exit 1'])
  with running as advance, pytest.raises(RuntimeError, match='ended before its round did'):
    advance()


def test_a_process_of_python_serves_rounds(tmp_path):
  log = tmp_path / 'log'
  script = f'from experiments.benchmarks import asked_process; file = open({str(log)!r}, "a", buffering=1); '
  script += 'asked_process.serve(lambda: file.write("round\\n"))'
  with asked_process.running([sys.executable, '-c', script], _ROOT) as advance:
    advance()
    advance()
    assert log.read_text() == 'round\nround\n'
