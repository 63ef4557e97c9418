"""The profile of a step names what a step consists of, and counts all of its time."""

import collections
import re
from unittest import mock

import numpy as np

from experiments.benchmarks import step_profile
from models import language_task
from models import transformer


def test_a_step_of_a_tiny_transformer():
  model = transformer.transformer(width=8, mlp_width=16, num_layers=1, num_heads=2)(11)
  task = language_task.build(model, 5)
  batch = collections.OrderedDict(
    tokens=np.random.default_rng(0).integers(1, 11, [4, 6], np.int32), client_key=np.zeros([4], np.int64)
  )
  lines = step_profile.table(task, batch, 0.1).splitlines()
  rows = {cells[0]: cells for cells in (re.split(r'\s*\|\s*', line.strip('| ')) for line in lines)}
  # Each of 4 kernels of attention, 2 of the MLP and the output: once forward, once for its input, once for its gradient.
  assert int(rows['matrix products'][3]) >= 3 * 7
  # Scores and mixture, with two factors each.
  assert int(rows['batched products of attention'][3]) == 2 * 3
  shares = [float(cells[2].removesuffix(' %')) for cells in rows.values() if cells[2:] and '%' in cells[2]]
  np.testing.assert_allclose(sum(shares), 100.0, rtol=1e-6, atol=5.0)


def test_the_peak_of_threads_is_that_of_a_processor_of_our_days():
  for num_threads in (1, 2):
    assert 1e9 <= step_profile.peak_flops(num_threads) <= 1e13


def test_the_peak_of_two_threads_counts_what_both_did_in_the_time_of_the_slower():
  # The clock is asked at the begin and the end of each repetition, and a second lies between.
  ticks = iter(float(tick) for tick in range(1000))
  with mock.patch.object(step_profile.time, 'perf_counter', side_effect=ticks):
    assert step_profile.peak_flops(2) == 2 * 2.0 * 1024**3
