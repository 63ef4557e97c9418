"""Pictures of comparisons: numbers along a logarithmic axis can be read, and seeds that diverged do no harm."""

import itertools
import warnings

import pytest

from experiments.comparisons import plots
from experiments.comparisons import runs
from experiments.results import picture
from tests.experiments.comparisons import test_run_comparison


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


def test_small_numbers_are_written_with_whole_powers_of_ten():
  figure = picture.blank(plots.WIDTH, plots.HEIGHT)
  axes = figure.subplots()
  axes.plot([4e-5, 9e-4], [0.7, 0.8])
  axes.set_xscale('log')
  picture.write_numbers(axes.xaxis)
  figure.draw_without_rendering()
  shown = {text.get_text() for text in axes.get_xticklabels(which='both')}
  assert {'$10^{-4}$', r'$2 \cdot 10^{-4}$', r'$5 \cdot 10^{-5}$'} <= shown


@pytest.mark.parametrize('ends', [(float('inf'), 100.0), (float('nan'), 100.0), (float('inf'), float('inf'))])
def test_a_seed_that_diverged_gives_no_warning(ends, tmp_path):
  found = [
    runs.read(
      test_run_comparison.write_run(tmp_path / f'{upload}{seed}', ((0, 400.0), (2, end)), upload=upload, seed=seed)
    )
    for upload, values in (('identity', ends), ('sign', (110.0, 120.0)))
    for seed, end in enumerate(values)
  ]
  found[0] = found[0]._replace(points=[point._replace(client_rounds=3) for point in found[0].points])
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    paths = plots.draw(runs.groups(found), tmp_path)
  assert {path.name for path in paths.values()} >= {'pareto.png', 'clients.png'}
  assert 'epsilon.png' not in {path.name for path in paths.values()}
