"""All contenders take turns on a small workload, and memory is measured in both runtimes; each ratio has its line."""

import contextlib
import pathlib
import re

import pytest
import tensorflow as tf
import tensorflow_federated as tff

from experiments.benchmarks import keras_contender
from experiments.benchmarks import keras_workloads
from experiments.benchmarks import lean_workloads
from experiments.benchmarks import rounds
from experiments.benchmarks import training
from experiments.workers import hardware
from experiments.workers import in_process
from models import layers
from models import weight as weight_lib


def _small() -> tf.keras.Model:
  tokens = tf.keras.Input([keras_workloads.SEQUENCE_LENGTH], dtype=tf.int32)
  embedding = tf.keras.layers.Embedding(keras_workloads.VOCABULARY_SIZE, 4)
  return tf.keras.Model(tokens, tf.keras.layers.Dense(keras_workloads.VOCABULARY_SIZE)(embedding(tokens)))


def _lean(weights: lean_workloads.Weights, tokens: tf.Tensor) -> tf.Tensor:
  """The same in the suite's layers."""
  table, kernel, bias = weights
  return layers.dense(weight_lib.of(table).rows(tokens), kernel, bias)


@pytest.fixture(autouse=True)
def small(monkeypatch):
  """Has one workload, which is small."""
  monkeypatch.setattr(keras_workloads, 'WORKLOADS', {'W1': _small})
  monkeypatch.setitem(lean_workloads._RUNS, 'W1', _lean)
  monkeypatch.setattr(training, '_EXAMPLES', 2)


def test_each_contender_has_its_line_and_each_ratio_too(worker, tmp_path: pathlib.Path, capsys, monkeypatch):
  torch_python = tmp_path / 'python'
  torch_python.write_text('#!/bin/sh\nwhile read line; do echo done; done\n')
  torch_python.chmod(0o755)
  monkeypatch.setattr(keras_contender, 'running', lambda *_: contextlib.nullcontext(lambda: None))
  training.compare_speed(tmp_path, worker, 1, ['tff', 'keras', 'torch'], str(torch_python))
  printed = capsys.readouterr().out
  seconds = {
    name.strip(): float(value) for name, value in re.findall(r'^  (.{33}) +(\d+\.\d\d) s a', printed, re.MULTILINE)
  }
  assert list(seconds) == [
    'plain PyTorch', 'plain PyTorch, bfloat16', 'plain Keras loop', 'stock TFF', 'leanfed, in the worker',
    "leanfed, Keras' layers", 'leanfed', 'leanfed, 8 bits up, 40 % trained', 'leanfed, bfloat16',
  ]  # fmt: skip
  for other in ('the worker', 'stock TFF', 'plain Keras loop', 'plain PyTorch', 'plain PyTorch, both in bfloat16'):
    assert re.search(rf'^W1 ratio to {other}: \d+\.\d\d \(above 1 is faster\)$', printed, re.MULTILINE), printed


def test_ratios_are_those_of_the_figures(capsys):
  seconds = {
    rounds.PLAIN_TORCH: 1.0, rounds.TORCH_BFLOAT16: 0.5, rounds.IN_WORKER: 3.0, rounds.SUITE: 2.0, rounds.EFFICIENT: 1.5,
    rounds.BFLOAT16: 0.8,
  }  # fmt: skip
  training._print_speed('W1', seconds, 1, 0.2)
  ratios = re.findall(r'^W1 (.*): (\d\.\d\d)', capsys.readouterr().out, re.MULTILINE)
  assert ratios == [
    ('ratio to the worker', '1.50'),  # 3 / 2
    ('ratio to plain PyTorch', '0.50'),  # 1 / 2
    ('ratio to plain PyTorch, both in bfloat16', '0.62'),  # 0.5 / 0.8 = 0.625
    ('round with 8 bits up and 40 % trained to plain round', '0.75'),  # 1.5 / 2
  ]


def test_memory_has_two_slopes_in_the_worker_and_one_in_process(worker, tmp_path: pathlib.Path, capsys, monkeypatch):
  computed_by = []

  def suite_round(*_) -> rounds.Round:
    return lambda: computed_by.append(type(tff.framework.get_context_stack().current))

  monkeypatch.setattr(rounds, 'suite_round', suite_round)
  training.measure_memory(tmp_path, worker, 2)
  printed = capsys.readouterr().out
  in_worker, here = printed.split('2 rounds in process\n')
  assert re.findall(r'memory of (.*): slope', in_worker) == ['this process', 'worker']
  assert re.findall(r'memory of (.*): slope', here) == ['this process']
  assert [each is in_process.InProcess for each in computed_by] == [False, False, True, True]


def test_a_round_is_computed_where_it_was_built():
  seen = []

  def note() -> None:
    seen.append(tff.framework.get_context_stack().current)

  def build() -> rounds.Round:
    note()
    return note

  with in_process.in_process(1) as here:
    elsewhere = in_process.InProcess(1, hardware.devices())
    advance = rounds.under(elsewhere, build)
    note()
    advance()
    note()
    elsewhere.close()
  assert seen == [elsewhere, here, elsewhere, here]
