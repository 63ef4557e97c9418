"""Views are drawn as said, from their seed alone, and stay images."""

import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from models import augmentation as augmentation_lib
from models.augmentation import Augmentation

_SEED = (5, 7)
_NOTHING = dict(min_area=1.0, flip=False, jitter=0.0, greyscale=False)


@functools.cache
def _traced(augmentation, shape):
  views = tf.function(lambda images, seed: augmentation_lib.two_views(images, seed, augmentation), autograph=False)
  return views.get_concrete_function(tf.TensorSpec([None, *shape]), tf.TensorSpec([2], tf.int64))


def _views(images, augmentation, seed=_SEED):
  views = _traced(augmentation, images.shape[1:])
  return [view.numpy() for view in views(tf.constant(images, tf.float32), tf.constant(seed, tf.int64))]


def _images(*shape, scale=1.0):
  return np.random.default_rng(2).uniform(-scale, scale, shape).astype(np.float32)


@pytest.mark.parametrize(
  'changed',
  [
    pytest.param(dict(min_area=0.2), id='crop'),
    pytest.param(dict(flip=True), id='flip'),
    pytest.param(dict(jitter=0.4), id='jitter'),
    pytest.param(dict(greyscale=True), id='greyscale'),
  ],
)
def test_the_seed_says_which_views(changed):
  images, augmentation = _images(40, 4, 6, 3), Augmentation(**(_NOTHING | changed))
  first, second = _views(images, augmentation)
  again, _ = _views(images, augmentation)
  other, _ = _views(images, augmentation, (5, 8))
  np.testing.assert_array_equal(first, again)
  assert not np.allclose(first, second, rtol=1e-6, atol=1e-6)
  assert not np.allclose(first, other, rtol=1e-6, atol=1e-6)
  assert not np.allclose(first, images, rtol=1e-6, atol=1e-6)
  # Each image has draws of its own: of 40 that are equal, some are flipped or grey and some are not.
  equal, _ = _views(np.repeat(images[:1], 40, axis=0), augmentation)
  assert not np.allclose(equal, np.repeat(equal[:1], 40, axis=0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('shape', [(8, 8, 3), (5, 7, 3), (32, 32, 1)])
def test_nothing_changes_the_identity(shape):
  images = _images(20, *shape)
  for view in _views(images, Augmentation(**_NOTHING)):
    np.testing.assert_allclose(view, images, rtol=0.0, atol=1e-5)


def test_half_of_the_views_are_reversed():
  images = _images(400, 3, 4, 3)
  for view in _views(images, Augmentation(**_NOTHING | dict(flip=True))):
    is_reversed = np.abs(view - images[:, :, ::-1]).max((1, 2, 3)) < 1e-5
    is_same = np.abs(view - images).max((1, 2, 3)) < 1e-5
    np.testing.assert_array_equal(is_reversed, ~is_same)
    assert 160 <= is_reversed.sum() <= 240  # 200, with a standard deviation of 10.


def test_a_fifth_of_the_views_is_grey():
  images = _images(400, 3, 4, 3)
  images[:, 0, 0] = [1.0, 0.0, -1.0]
  for view in _views(images, Augmentation(**_NOTHING | dict(greyscale=True))):
    is_grey = np.ptp(view, axis=3).max((1, 2)) < 1e-6
    assert 48 <= is_grey.sum() <= 112  # 80, with a standard deviation of 8.
    # 0.2989 of red, 0.587 of green and 0.114 of blue: 0.2989 - 0.114 = 0.1849.
    np.testing.assert_allclose(view[is_grey, 0, 0], np.full([is_grey.sum(), 3], 0.1849), rtol=0.0, atol=1e-4)
    np.testing.assert_allclose(view[~is_grey], images[~is_grey], rtol=0.0, atol=1e-5)


@pytest.mark.parametrize('channels', [1, 3])
def test_views_stay_images(channels):
  images = np.sign(_images(50, 4, 4, channels))
  for view in _views(images, Augmentation(jitter=1.0)):
    assert view.shape == images.shape
    assert (view.min(), view.max()) == (-1.0, 1.0)
    assert np.isfinite(view).all()


def test_rectangles_have_the_areas_and_ratios_that_are_said():
  # Pixels say where they are: channel 0 is the row and channel 1 the column, from 0 to 1; 12 rows of 6 pixels.
  rows, columns = np.meshgrid(np.arange(12) / 11, np.arange(6) / 5, indexing='ij')
  images = np.tile(np.stack([rows, columns], axis=-1), [500, 1, 1, 1])
  views = _views(images, Augmentation(**_NOTHING | dict(min_area=0.1)))
  top, left = views[0][:, 0, 0, 0], views[0][:, 0, 0, 1]
  height, width = views[0][:, -1, -1, 0] - top, views[0][:, -1, -1, 1] - left
  area, ratio = height * width, (6 * width) / (12 * height)
  assert 0.1 - 1e-5 <= np.min(area) <= np.max(area) <= 1.0 + 1e-5
  assert 0.0 <= np.min(np.stack([top, left])) <= np.max(np.stack([top, left])) <= 1.0
  assert 0.5 <= area.mean() <= 0.6  # 0.55, with a standard error of 0.9 / sqrt(12 * 500) = 0.012.
  # A crop no wider than the image has a ratio of at most 1 / (2 * area): below 3/8 of the area, all ratios fit.
  fits = area < 0.375
  assert fits.sum() > 100
  assert 3 / 4 - 1e-4 <= np.min(ratio[fits]) <= np.max(ratio[fits]) <= 4 / 3 + 1e-4
  assert -0.05 <= np.log(ratio[fits]).mean() <= 0.05  # 0, with a standard error below 0.017.
  assert np.ptp(ratio[fits]) > 0.5
  # Others come as near as they can: as wide as the image where even 3 : 4 does not fit, above 2/3 of the area.
  np.testing.assert_allclose(width[area > 2 / 3 + 1e-4], np.ones([(area > 2 / 3 + 1e-4).sum()]), rtol=0.0, atol=1e-5)
  # What is between the corners is stretched evenly.
  straight = top[:, np.newaxis] + height[:, np.newaxis] * np.arange(12) / 11
  np.testing.assert_allclose(views[0][:, :, 3, 0], straight, rtol=0.0, atol=1e-5)


def test_places_are_uniform():
  rows, columns = np.meshgrid(np.arange(8) / 7, np.arange(8) / 7, indexing='ij')
  images = np.tile(np.stack([rows, columns], axis=-1), [500, 1, 1, 1])
  view, _ = _views(images, Augmentation(**_NOTHING | dict(min_area=0.2)))
  before, after = view[:, 0, 0], 1.0 - view[:, -1, -1]
  fits = (before + after).min(axis=1) > 0.05
  places = before[fits] / (before + after)[fits]
  assert (
    0.44 <= np.min(places.mean(axis=0)) <= np.max(places.mean(axis=0)) <= 0.56
  )  # 0.5, with a standard error below 0.29 / sqrt(400) = 0.015.
  assert abs(np.corrcoef(places.T)[0, 1]) < 0.2  # 0, with a standard error of 0.05.


def test_no_border_is_invented():
  # A rectangle that reaches beyond the image, be it by a rounding error, would bring in zeros.
  for min_area in (0.2, 0.9999999):
    for view in _views(np.ones([2000, 7, 10, 1]), Augmentation(**_NOTHING | dict(min_area=min_area))):
      np.testing.assert_allclose(view, np.ones_like(view), rtol=1e-6, atol=1e-6)


def test_one_channel_changes_in_brightness_and_contrast():
  images = _images(400, 3, 4, 1, scale=0.3)
  view, _ = _views(images, Augmentation(**_NOTHING | dict(jitter=0.4)))
  old, new = images.mean((1, 2, 3)), view.mean((1, 2, 3))
  _assert_uniform(1.0 + new - old)
  contrast = view.std((1, 2, 3)) / images.std((1, 2, 3))
  _assert_uniform(contrast)
  expected = new[:, None, None, None] + contrast[:, None, None, None] * (images - old[:, None, None, None])
  np.testing.assert_allclose(view, expected, rtol=0.0, atol=1e-5)
  assert abs(np.corrcoef(new - old, contrast)[0, 1]) < 0.2  # 0, with a standard error of 0.05.


def test_three_channels_change_in_saturation_too():
  images = _images(400, 3, 4, 3, scale=0.2)
  view, _ = _views(images, Augmentation(**_NOTHING | dict(jitter=0.4)))
  grey, new_grey = (x @ [0.2989, 0.587, 0.114] for x in (images, view))
  contrast = np.ptp(new_grey, axis=(1, 2)) / np.ptp(grey, axis=(1, 2))  # Of the grey, which saturation leaves alone.
  _assert_uniform(contrast, 1e-3)
  colour, new_colour = (x[..., 0] - x[..., 2] for x in (images, view))
  saturation = np.ptp(new_colour, axis=(1, 2)) / np.ptp(colour, axis=(1, 2)) / contrast
  _assert_uniform(saturation, 2e-3)
  assert abs(np.corrcoef(saturation, contrast)[0, 1]) < 0.2


def _assert_uniform(factors, tolerance=1e-4):
  assert 0.6 - tolerance <= np.min(factors) <= np.max(factors) <= 1.4 + tolerance
  assert 0.95 <= factors.mean() <= 1.05  # 1, with a standard error of 0.8 / sqrt(12 * 400) = 0.012.
  # Each of the eight tenths from 0.6 to 1.4 holds 50 of 400, with a standard deviation below 7.
  assert 22 <= np.min(np.histogram(factors, 8, (0.6, 1.4))[0]) <= np.max(np.histogram(factors, 8, (0.6, 1.4))[0]) <= 78


@pytest.mark.parametrize(
  ('arguments', 'message'),
  [
    (dict(min_area=0.0), 'min_area must lie in (0, 1], not 0.0'),
    (dict(min_area=1.5), 'min_area must lie in (0, 1], not 1.5'),
    (dict(min_area=float('nan')), 'min_area must lie in (0, 1], not nan'),
    (dict(min_area='all'), "min_area must lie in (0, 1], not 'all'"),
    (dict(jitter=-0.1), 'jitter must lie in [0, 1], not -0.1'),
    (dict(jitter=1.1), 'jitter must lie in [0, 1], not 1.1'),
    (dict(jitter=True), 'jitter must lie in [0, 1], not True'),
    (dict(flip=1), 'flip must be True or False, not 1'),
    (dict(greyscale=None), 'greyscale must be True or False, not None'),
  ],
)
def test_augmentation_refuses_what_cannot_be(arguments, message):
  with pytest.raises(ValueError, match=f'^{re.escape(message)}$'):
    Augmentation(**arguments)


def test_bounds_are_allowed():
  assert Augmentation(min_area=1, jitter=0).jitter == 0
  assert Augmentation(min_area=1e-3, jitter=1).min_area == 1e-3
