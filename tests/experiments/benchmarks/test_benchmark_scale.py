"""Rounds of a small generated population are measured, rendered and drawn, and slopes are those of lines by hand."""

import pathlib
import re

import pytest

from experiments.benchmarks import memory_slope
from experiments.benchmarks import scale


@pytest.fixture(scope='module')
def text(tmp_path_factory: pytest.TempPathFactory):
  return scale.prepared_population(60, tmp_path_factory.mktemp('cache'))


def test_measures_each_size_that_the_population_allows(text, worker, tmp_path: pathlib.Path, capsys, monkeypatch):
  monkeypatch.setattr(scale, 'CLIENTS_PER_ROUND', (2, 5, 61))
  simulation = scale.Simulation(text)
  assert simulation.num_parameters <= 500_000
  rows = scale.measure_sizes(simulation, worker.pid, repeats=2)
  assert [row.clients_per_round for row in rows] == [2, 5]
  for row in rows:
    assert row.workers == 1
    assert len(row.seconds) == 2
    assert 10**7 < row.worker_bytes <= row.worker_peak_bytes
  scale.print_table(rows)
  scale.print_line(rows)
  scale.plot(rows, tmp_path / 'scale.png')
  memory_slope.print_slopes(lambda: simulation.advance(2), [worker], rounds=2)
  printed = capsys.readouterr().out
  assert re.search('^1 +2 ', printed, re.MULTILINE) and re.search('^1 +5 ', printed, re.MULTILINE)
  assert 'memory of worker' in printed
  assert 'least squares' in printed
  assert (tmp_path / 'scale.png').stat().st_size > 1000


def test_measures_one_and_two_workers(text, tmp_path: pathlib.Path, monkeypatch):
  monkeypatch.setattr(scale, 'SPREAD_CLIENTS', 4)
  rows = scale.measure_workers(text, tmp_path, repeats=1)
  assert [(row.workers, row.clients_per_round) for row in rows] == [(1, 4), (2, 4)]
  assert rows[1].worker_bytes > rows[0].worker_bytes


def _row(clients: int, *seconds: float) -> scale.ScaleRow:
  return scale.ScaleRow(2, clients, seconds, main_bytes=10**9, worker_bytes=2 * 10**6, worker_peak_bytes=3 * 10**6)


def test_a_row_shows_median_spread_and_megabytes():
  assert _row(10, 4.0, 1.0, 2.0).cells() == ['2', '10', '2.00', '1.00 to 4.00', '5.0', '1000', '2', '3']


def test_line_is_that_of_the_medians():
  rows = [_row(10, 1.0, 9.0, 1.0), _row(50, 3.0), _row(100, 5.5)]  # 0.5 s + 0.05 s a client
  assert scale.line(rows) == pytest.approx((0.05, 0.5))


def test_slope_of_memory_is_that_of_the_second_half():
  assert memory_slope.per_hundred_rounds([0, 50, 7, 9, 11, 13]) == pytest.approx(200)
  assert memory_slope.per_hundred_rounds([1.0]) != memory_slope.per_hundred_rounds([1.0])  # not a number


def test_without_workers_there_is_one_slope(capsys):
  memory_slope.print_slopes(lambda: None, [], rounds=3)
  printed = capsys.readouterr().out
  assert re.fullmatch(
    r'after 3 rounds: this process \d+ MB\nmemory of this process: slope [+-]\d+\.\d\d MB per 100 rounds\n', printed
  )
