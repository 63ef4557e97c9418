"""Texts beside points lie inside of the picture, and on no other text and no point."""

import itertools

import numpy as np
import pytest

from experiments.results import picture
from experiments.results import point_labels


@pytest.mark.parametrize('seed', range(3))
def test_texts_do_not_overlap(seed):
  figure = picture.blank(8, 6)
  axes = figure.subplots()
  points = [tuple(point) for point in np.random.default_rng(seed).uniform(0.0, 1.0, [25, 2]) ** 2]
  axes.plot(*zip(*points, strict=True), 'o')
  axes.margins(0.1)
  point_labels.write(axes, points, [f'a codec (number={index})' for index in range(25)], ['black'] * 25)
  figure.draw_without_rendering()
  texts = [text for text in axes.texts if text.get_text()]
  assert len(texts) == 25
  boxes = [text.get_window_extent() for text in texts]
  for one, other in itertools.combinations(boxes, 2):
    assert not one.overlaps(other)
  for box in boxes:
    assert axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1)
    assert not any(box.contains(*axes.transData.transform(point)) for point in points)
