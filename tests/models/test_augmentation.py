"""Views are drawn as said, from their seed alone, and stay images."""

import functools

from absl.testing import parameterized
import numpy as np
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


class ViewsTest(tf.test.TestCase, parameterized.TestCase):
  @parameterized.named_parameters(
    dict(testcase_name='crop', changed=dict(min_area=0.2)),
    dict(testcase_name='flip', changed=dict(flip=True)),
    dict(testcase_name='jitter', changed=dict(jitter=0.4)),
    dict(testcase_name='greyscale', changed=dict(greyscale=True)),
  )
  def test_the_seed_says_which_views(self, changed):
    images, augmentation = _images(40, 4, 6, 3), Augmentation(**(_NOTHING | changed))
    first, second = _views(images, augmentation)
    again, _ = _views(images, augmentation)
    other, _ = _views(images, augmentation, (5, 8))
    self.assertAllEqual(first, again)
    self.assertNotAllClose(first, second)
    self.assertNotAllClose(first, other)
    self.assertNotAllClose(first, images)
    # Each image has draws of its own: of 40 that are equal, some are flipped or grey and some are not.
    equal, _ = _views(np.repeat(images[:1], 40, axis=0), augmentation)
    self.assertNotAllClose(equal, np.repeat(equal[:1], 40, axis=0))

  @parameterized.parameters((8, 8, 3), (5, 7, 3), (32, 32, 1))
  def test_nothing_changes_the_identity(self, *shape):
    images = _images(20, *shape)
    for view in _views(images, Augmentation(**_NOTHING)):
      self.assertAllClose(view, images, rtol=0.0, atol=1e-5)

  def test_half_of_the_views_are_reversed(self):
    images = _images(400, 3, 4, 3)
    for view in _views(images, Augmentation(**_NOTHING | dict(flip=True))):
      is_reversed = np.abs(view - images[:, :, ::-1]).max((1, 2, 3)) < 1e-5
      is_same = np.abs(view - images).max((1, 2, 3)) < 1e-5
      self.assertAllEqual(is_reversed, ~is_same)
      self.assertBetween(is_reversed.sum(), 160, 240)  # 200, with a standard deviation of 10.

  def test_a_fifth_of_the_views_is_grey(self):
    images = _images(400, 3, 4, 3)
    images[:, 0, 0] = [1.0, 0.0, -1.0]
    for view in _views(images, Augmentation(**_NOTHING | dict(greyscale=True))):
      is_grey = np.ptp(view, axis=3).max((1, 2)) < 1e-6
      self.assertBetween(is_grey.sum(), 48, 112)  # 80, with a standard deviation of 8.
      # 0.2989 of red, 0.587 of green and 0.114 of blue: 0.2989 - 0.114 = 0.1849.
      self.assertAllClose(view[is_grey, 0, 0], np.full([is_grey.sum(), 3], 0.1849), rtol=0.0, atol=1e-4)
      self.assertAllClose(view[~is_grey], images[~is_grey], rtol=0.0, atol=1e-5)

  @parameterized.parameters(1, 3)
  def test_views_stay_images(self, channels):
    images = np.sign(_images(50, 4, 4, channels))
    for view in _views(images, Augmentation(jitter=1.0)):
      self.assertEqual(view.shape, images.shape)
      self.assertEqual((view.min(), view.max()), (-1.0, 1.0))
      self.assertTrue(np.isfinite(view).all())


class CropTest(tf.test.TestCase):
  def test_rectangles_have_the_areas_and_ratios_that_are_said(self):
    # Pixels say where they are: channel 0 is the row and channel 1 the column, from 0 to 1; 12 rows of 6 pixels.
    rows, columns = np.meshgrid(np.arange(12) / 11, np.arange(6) / 5, indexing='ij')
    images = np.tile(np.stack([rows, columns], axis=-1), [500, 1, 1, 1])
    views = _views(images, Augmentation(**_NOTHING | dict(min_area=0.1)))
    top, left = views[0][:, 0, 0, 0], views[0][:, 0, 0, 1]
    height, width = views[0][:, -1, -1, 0] - top, views[0][:, -1, -1, 1] - left
    area, ratio = height * width, (6 * width) / (12 * height)
    self.assertAllInRange(area, 0.1 - 1e-5, 1.0 + 1e-5)
    self.assertAllInRange(np.stack([top, left]), 0.0, 1.0)
    self.assertBetween(area.mean(), 0.5, 0.6)  # 0.55, with a standard error of 0.9 / sqrt(12 * 500) = 0.012.
    # A crop no wider than the image has a ratio of at most 1 / (2 * area): below 3/8 of the area, all ratios fit.
    fits = area < 0.375
    self.assertGreater(fits.sum(), 100)
    self.assertAllInRange(ratio[fits], 3 / 4 - 1e-4, 4 / 3 + 1e-4)
    self.assertBetween(np.log(ratio[fits]).mean(), -0.05, 0.05)  # 0, with a standard error below 0.017.
    self.assertGreater(np.ptp(ratio[fits]), 0.5)
    # Others come as near as they can: as wide as the image where even 3 : 4 does not fit, above 2/3 of the area.
    self.assertAllClose(width[area > 2 / 3 + 1e-4], np.ones([(area > 2 / 3 + 1e-4).sum()]), rtol=0.0, atol=1e-5)
    # What is between the corners is stretched evenly.
    straight = top[:, np.newaxis] + height[:, np.newaxis] * np.arange(12) / 11
    self.assertAllClose(views[0][:, :, 3, 0], straight, rtol=0.0, atol=1e-5)

  def test_places_are_uniform(self):
    rows, columns = np.meshgrid(np.arange(8) / 7, np.arange(8) / 7, indexing='ij')
    images = np.tile(np.stack([rows, columns], axis=-1), [500, 1, 1, 1])
    view, _ = _views(images, Augmentation(**_NOTHING | dict(min_area=0.2)))
    before, after = view[:, 0, 0], 1.0 - view[:, -1, -1]
    fits = (before + after).min(axis=1) > 0.05
    places = before[fits] / (before + after)[fits]
    self.assertAllInRange(places.mean(axis=0), 0.44, 0.56)  # 0.5, with a standard error below 0.29 / sqrt(400) = 0.015.
    self.assertLess(abs(np.corrcoef(places.T)[0, 1]), 0.2)  # 0, with a standard error of 0.05.

  def test_no_border_is_invented(self):
    # A rectangle that reaches beyond the image, be it by a rounding error, would bring in zeros.
    for min_area in (0.2, 0.9999999):
      for view in _views(np.ones([2000, 7, 10, 1]), Augmentation(**_NOTHING | dict(min_area=min_area))):
        self.assertAllClose(view, np.ones_like(view))


class JitterTest(tf.test.TestCase):
  def test_one_channel_changes_in_brightness_and_contrast(self):
    images = _images(400, 3, 4, 1, scale=0.3)
    view, _ = _views(images, Augmentation(**_NOTHING | dict(jitter=0.4)))
    old, new = images.mean((1, 2, 3)), view.mean((1, 2, 3))
    self._assert_uniform(1.0 + new - old)
    contrast = view.std((1, 2, 3)) / images.std((1, 2, 3))
    self._assert_uniform(contrast)
    expected = new[:, None, None, None] + contrast[:, None, None, None] * (images - old[:, None, None, None])
    self.assertAllClose(view, expected, rtol=0.0, atol=1e-5)
    self.assertLess(abs(np.corrcoef(new - old, contrast)[0, 1]), 0.2)  # 0, with a standard error of 0.05.

  def test_three_channels_change_in_saturation_too(self):
    images = _images(400, 3, 4, 3, scale=0.2)
    view, _ = _views(images, Augmentation(**_NOTHING | dict(jitter=0.4)))
    grey, new_grey = (x @ [0.2989, 0.587, 0.114] for x in (images, view))
    contrast = np.ptp(new_grey, axis=(1, 2)) / np.ptp(grey, axis=(1, 2))  # Of the grey, which saturation leaves alone.
    self._assert_uniform(contrast, 1e-3)
    colour, new_colour = (x[..., 0] - x[..., 2] for x in (images, view))
    saturation = np.ptp(new_colour, axis=(1, 2)) / np.ptp(colour, axis=(1, 2)) / contrast
    self._assert_uniform(saturation, 2e-3)
    self.assertLess(abs(np.corrcoef(saturation, contrast)[0, 1]), 0.2)

  def _assert_uniform(self, factors, tolerance=1e-4):
    self.assertAllInRange(factors, 0.6 - tolerance, 1.4 + tolerance)
    self.assertBetween(factors.mean(), 0.95, 1.05)  # 1, with a standard error of 0.8 / sqrt(12 * 400) = 0.012.
    # Each of the eight tenths from 0.6 to 1.4 holds 50 of 400, with a standard deviation below 7.
    self.assertAllInRange(np.histogram(factors, 8, (0.6, 1.4))[0], 22, 78)


class AugmentationTest(parameterized.TestCase):
  @parameterized.parameters(
    (dict(min_area=0.0), 'min_area must lie in (0, 1], not 0.0'),
    (dict(min_area=1.5), 'min_area must lie in (0, 1], not 1.5'),
    (dict(min_area=float('nan')), 'min_area must lie in (0, 1], not nan'),
    (dict(min_area='all'), "min_area must lie in (0, 1], not 'all'"),
    (dict(jitter=-0.1), 'jitter must lie in [0, 1], not -0.1'),
    (dict(jitter=1.1), 'jitter must lie in [0, 1], not 1.1'),
    (dict(jitter=True), 'jitter must lie in [0, 1], not True'),
    (dict(flip=1), 'flip must be True or False, not 1'),
    (dict(greyscale=None), 'greyscale must be True or False, not None'),
  )
  def test_refuses_what_cannot_be(self, arguments, message):
    with self.assertRaises(ValueError) as caught:
      Augmentation(**arguments)
    self.assertEqual(str(caught.exception), message)

  def test_bounds_are_allowed(self):
    self.assertEqual(Augmentation(min_area=1, jitter=0).jitter, 0)
    self.assertEqual(Augmentation(min_area=1e-3, jitter=1).min_area, 1e-3)
