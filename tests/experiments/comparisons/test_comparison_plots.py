"""Numbers along a logarithmic axis can be read: there are some, and none lies on another."""

import itertools

import pytest

from experiments.comparisons import plots
from experiments.results import picture


@pytest.mark.parametrize(('low', 'high'), [(8, 12), (5, 90), (30, 1_500), (4.9, 29_074), (1, 1e9)])
def test_numbers_do_not_overlap(low, high):
  figure = picture.blank(plots.WIDTH, plots.HEIGHT)
  axes = figure.subplots()
  axes.plot([low, high], [0.7, 0.8])
  axes.set_xscale('log')
  picture.write_numbers(axes.xaxis)
  figure.draw_without_rendering()
  shown = [text for text in axes.get_xticklabels(which='both') if text.get_text()]
  left, right = axes.get_window_extent().x0, axes.get_window_extent().x1
  boxes = sorted((text.get_window_extent() for text in shown), key=lambda box: box.x0)
  boxes = [box for box in boxes if left <= (box.x0 + box.x1) / 2 <= right]
  assert len(boxes) >= 2
  for box, following in itertools.pairwise(boxes):
    assert box.x1 < following.x0
