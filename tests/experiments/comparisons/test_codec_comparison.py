"""The comparison of codecs: honest counts on an update, seeds gathered, runs that differ otherwise refused."""

import re
import types

import numpy as np
import pytest

from experiments.command import codec_specs
from experiments.command import failures
from experiments.command import spec
from experiments.comparisons import client_update
from experiments.comparisons import codec_plot
from experiments.comparisons import codecs
from optimizers import fed_opt
from optimizers import local_batches
from tests import binaries
from tests import tiny_language
from tests.experiments.comparisons import test_run_comparison

_UPDATE = [np.random.default_rng(0).normal(size=[30, 40]).astype(np.float32), np.ones([40], np.float32)]


def _run(folder, perplexity, megabytes=1.0, **settings):
  test_run_comparison.write_run(folder, ((0, 400.0), (2, perplexity)), megabytes, **{'rounds': 2} | settings)


def test_measures_bits_and_distortion():
  exact, coarse = codecs.measure_update(_UPDATE, codecs.listed('identity; uniform(bits=8)'))
  assert (exact.bits_per_parameter, exact.distortion) == (32.0, 0.0)
  assert coarse.bits_per_parameter == pytest.approx(8 * (1240 + 16) / 1240)  # A byte a value, two ranges of 8.
  assert 1e-6 < coarse.distortion < 1e-3


def test_every_codec_of_the_list_is_one_and_stands_there_once():
  built = [(str(codec_specs.build(codec).codec), codec) for codec in codecs.CODECS]
  assert len(set(built)) == len(codecs.CODECS)


def test_gathers_seeds_and_shows_all_of_them(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'b', 110.0, seed=1, rounds_per_checkpoint=5)
  _run(tmp_path / 'c', 300.0, megabytes=0.5, upload='clip|sign')
  groups = codecs.read_runs([str(tmp_path)])
  assert [[run.folder.name for run in group.runs] for group in groups] == [['c'], ['a', 'b']]  # Fewest megabytes first.
  table = codecs.quality_table(groups)
  # Mean 105; standard deviation sqrt(25 + 25) = 7.07; the bar of a chain must not end a cell.
  assert '| `identity` | 2.0 | 105.0 | 7.1 | 100.0, 110.0 |' in table
  assert '| `clip\\|sign` | 1.0 | 300.0 |  | 300.0 |' in table


def test_runs_that_differ_otherwise_are_refused(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'b', 110.0, seed=1, clients_per_round=4)
  with pytest.raises(ValueError, match='differs from the other runs in clients_per_round'):
    codecs.read_runs([str(tmp_path)])


def test_a_codec_of_a_plug_in_stands_beside_those_of_the_suite(tmp_path):
  _run(tmp_path / 'a', 100.0)
  _run(tmp_path / 'b', 110.0, upload='mine', plugin=['/mine.py#sha256=12'])
  assert len(codecs.read_runs([str(tmp_path)])) == 2
  _run(tmp_path / 'c', 120.0, seed=1, upload='mine', plugin=['/mine.py#sha256=34'])
  with pytest.raises(ValueError, match='differs in algorithm or plugin from another seed of its setting'):
    codecs.read_runs([str(tmp_path)])


def test_draws_what_there_is_and_no_empty_panel(tmp_path):
  _run(tmp_path / 'a', 100.0)
  points, groups = codecs.measure_update(_UPDATE, codecs.listed('sign; identity')), codecs.read_runs([str(tmp_path)])
  widths = []
  for drawn in ((points, groups), (points, []), ([], groups)):
    codec_plot.plot(*drawn, tmp_path / 'codecs.png')
    header = (tmp_path / 'codecs.png').read_bytes()[:24]
    assert header[:4] == b'\x89PNG'
    widths.append(int.from_bytes(header[16:20], 'big'))  # The first of a PNG's numbers.
  assert widths == [18 * 110, 9 * 110, 9 * 110]  # Inches of one panel, and dots an inch.


@pytest.mark.parametrize(
  ('marks', 'front'),
  [
    ([(1, 9), (2, 5), (4, 5), (4, 1)], [0, 1, 3]),  # The same loss for more is beaten, and the same cost for more loss.
    ([(1, 5), (1, 5)], [0, 1]),  # Neither beats the other.
    ([(32, 0), (16, 0)], [1]),
  ],
)
def test_the_front_is_what_none_beats(marks, front):
  marks = [codec_plot.Mark(str(index), cost, loss, loss, loss) for index, (cost, loss) in enumerate(marks)]
  assert [int(mark.name) for mark in codec_plot.front(marks)] == front


def _compare(tmp_path, *arguments):
  return binaries.run('experiments.compare', [f'--output_dir={tmp_path}/out', '--what=codecs', *arguments])


def test_the_binary_prints_and_keeps_the_tables(tmp_path):
  _run(tmp_path / 'runs' / 'a', 100.0)
  process = _compare(tmp_path, f'--runs={tmp_path}/runs')
  assert process.returncode == 0, process.stderr
  assert re.search('^identity +2.0 +100.0', process.stdout, re.MULTILINE) and '|' not in process.stdout
  assert '| `identity` | 2.0 | 100.0 |' in (tmp_path / 'out' / 'codecs.md').read_text()


@pytest.mark.parametrize(
  ('flag', 'expected'),
  [
    (None, 'name --output_dir and at least one of --run and --runs'),
    ('--runs', 'matches no run'),
    ('--run', 'holds no finished run'),
  ],
)
def test_the_binary_refuses_in_one_line(flag, expected, tmp_path):
  process = _compare(tmp_path, *([f'{flag}={tmp_path}/nothing'] if flag else []))
  assert process.returncode == 2
  assert len(process.stderr.splitlines()) == 1, process.stderr
  assert expected in process.stderr


def test_listed_codecs_stand_for_themselves_and_all_for_those_of_the_suite():
  assert list(codecs.listed('uniform(bits=3); sign;')) == ['uniform(bits=3)', 'sign']
  assert list(codecs.listed('uniform(bits=3); all; sign')) == ['uniform(bits=3)', *codecs.CODECS]
  for text, message in ((' ; ', 'names none'), ('sign; sgin', "unknown codec 'sgin'"), ('sign(bits=1)', 'no argument')):
    with pytest.raises(spec.SpecError, match=message):
      codecs.listed(text)


@pytest.mark.parametrize(('client_lr', 'num_examples'), [(1e38, 5), (0.1, 0)])
def test_an_update_that_is_not_finite_or_zero_is_refused(client_lr, num_examples, monkeypatch):
  model = tiny_language.task().model
  run = types.SimpleNamespace(
    base=model,
    text=types.SimpleNamespace(sequence_length=tiny_language.LENGTH),
    optimizer=fed_opt.fed_avg(client_lr=client_lr).client_optimizer,
    batches=local_batches.LocalBatches(2, 1, 10),
    trained=types.SimpleNamespace(
      weights={v.name: w.numpy() for v, w in zip(model.variables, model.initial_weights(0), strict=True)}
    ),
    settings=dict(seed=0, rounds=1),
    clients=lambda number: ['any'],
    examples=lambda client: tiny_language.client(1).take(num_examples),
  )
  monkeypatch.setattr(client_update.trained_run, 'read', lambda folder: run)
  with pytest.raises(failures.UsageError, match='the update of a client of runs/x is zero or not finite'):
    client_update.of_run('runs/x')
