"""The mean of some seeds lies between the lowest and the highest, to the last bit: pictures draw bars to both."""

import hypothesis
from hypothesis import strategies
import pytest

from experiments.comparisons import plots
from experiments.comparisons import runs
from tests.experiments.comparisons.test_run_comparison import write_run


@pytest.mark.parametrize('value', [0.1, 1 / 3, 0.7, 1e-300])
@pytest.mark.parametrize('count', [1, 3, 6, 7, 10])
def test_the_mean_lies_between_lowest_and_highest(value, count):
  found = runs.spread([value] * count)
  assert (found.mean, found.low, found.high) == (value, value, value)
  assert count == 1 or found.deviation == 0


@hypothesis.given(strategies.lists(strategies.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_no_bar_of_a_picture_has_a_negative_length(values):
  found = runs.spread(values)
  assert found.low <= found.mean <= found.high


def test_seeds_that_agree_are_drawn(tmp_path):
  """0.1 + 0.1 + 0.1 is more than 0.3."""
  folders = [write_run(tmp_path / str(seed), ((0, 0.1), (4, 0.1)), seed=seed) for seed in range(3)]
  assert plots.draw(runs.groups([runs.read(folder) for folder in folders]), tmp_path)
