"""Numbers along a logarithmic axis can be read: there are some, and none lies on another."""

import itertools

from absl.testing import parameterized
import matplotlib
from matplotlib import pyplot

from experiments.comparisons import plots


class LabelTest(parameterized.TestCase):
  @parameterized.parameters((8, 12), (5, 90), (30, 1_500), (4.9, 29_074), (1, 1e9))
  def test_numbers_do_not_overlap(self, low, high):
    matplotlib.use('Agg')
    figure, axes = pyplot.subplots(figsize=(plots._WIDTH, plots._HEIGHT))
    self.addCleanup(pyplot.close, figure)
    axes.plot([low, high], [0.7, 0.8])
    axes.set_xscale('log')
    plots._label(axes.xaxis)
    figure.canvas.draw()
    shown = [text for text in axes.get_xticklabels(which='both') if text.get_text()]
    left, right = axes.get_window_extent().x0, axes.get_window_extent().x1
    boxes = sorted((text.get_window_extent() for text in shown), key=lambda box: box.x0)
    boxes = [box for box in boxes if left <= (box.x0 + box.x1) / 2 <= right]
    self.assertGreaterEqual(len(boxes), 2)
    for box, following in itertools.pairwise(boxes):
      self.assertLess(box.x1, following.x0)
