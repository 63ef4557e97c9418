"""EDEN, any number of bits per value (Vargaftik et al. 2022, arXiv 2108.08842).

    y = R x;  z = y sqrt(block) / ||y||_2;  level = index of the centroid nearest to z
    scale = ||y||_2**2 / <y, centroids[level]>;  decode = R**-1 (scale * centroids[level])

The centroids are those of Lloyd and Max for the standard normal, which z resembles. With k = round(2**bits) of them, any
rate from 1 on is possible (1.585 bits are 3 levels); below, a share `bits` of the values is drawn by `randk.py` first
and gets one bit each. Where we differ: R (see `drive.py`) and scale are per block; boundaries between levels are rounded
to 1/1024. With this scale <decode, x> = ||x||**2. Biased like `drive.py`, but for less with every bit.
"""

import statistics

import numpy as np
import tensorflow as tf

from compression import drive
from compression import hadamard
from compression import randk
from compression import stage

_CELLS_PER_UNIT = 1024  # A look-up by cell is 3 times as fast as a search among boundaries.
_REACH = 8  # z beyond it counts as the outermost level; with 256 levels that begins at 4.4.
_LLOYD_STEPS = 200  # From a start that is right in the limit of many levels.


class Eden(stage.Stage):
  """Rotates and quantizes to the best levels for normal values, with one scale for each block of up to 4096."""

  gives = stage.Kind.LEVELS

  def __init__(self, bits: float = 4):
    """Configures the stage.

    Args:
      bits: Bits per value, above 0 and at most 8; from 1 on, the number of levels is 2**bits, rounded.

    Raises:
      ValueError: For other values.
    """
    stage.check_number('bits', bits, 0, 8)
    self._sampler = randk.Randk(bits) if bits < 1 else None
    self._centroids = centroids(max(2, round(2**bits)))
    cells = (np.arange(-_REACH * _CELLS_PER_UNIT, _REACH * _CELLS_PER_UNIT) + 0.5) / _CELLS_PER_UNIT
    self._level_of_cell = np.searchsorted(_middles(self._centroids), cells).astype(np.int32)

  def form(self, form: stage.Form) -> stage.Form:
    """Returns a level for each value, or drawn value, and for the padding of the rotation."""
    return stage.Form(stage.Kind.LEVELS, hadamard.padded_size(self._kept(form).size), len(self._centroids))

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and (float32 scales of the blocks, int32[1] of the rotation's seed)."""
    if self._sampler:
      x, _ = self._sampler.encode(x, form, client_seed, shared_seed)
    size = self._kept(form).size
    word = drive.draw_word(client_seed)
    unit, peaks = hadamard.unit_peaks(hadamard.rotate(x, size, drive.rotation_seed(word, shared_seed)), size)
    squares = hadamard.reduce_blocks(tf.reduce_sum, tf.square(unit), size)
    levels = self._levels(hadamard.scale_blocks(unit, _to_cells(squares, size), size))
    products = hadamard.reduce_blocks(tf.reduce_sum, unit * self._values(levels), size)
    return levels, (peaks * tf.math.divide_no_nan(squares, products), word)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the scaled centroids rotated back; see `Stage.decode`."""
    scales, word = side
    size = self._kept(form).size
    y = hadamard.scale_blocks(self._values(x), scales, size)
    x = hadamard.unrotate(y, size, drive.rotation_seed(word, shared_seed))
    return self._sampler.decode(x, (), form, shared_seed) if self._sampler else x

  def _kept(self, form: stage.Form) -> stage.Form:
    return self._sampler.form(form) if self._sampler else form

  def _levels(self, cells: tf.Tensor) -> tf.Tensor:
    """Returns the levels of z times the number of cells per unit."""
    shifted = tf.clip_by_value(cells + _REACH * _CELLS_PER_UNIT, 0.0, len(self._level_of_cell) - 1.0)
    return tf.gather(self._level_of_cell, tf.cast(shifted, tf.int32))

  def _values(self, levels: tf.Tensor) -> tf.Tensor:
    return tf.gather(self._centroids.astype(np.float32), levels)


def centroids(num_levels: int) -> np.ndarray:
  """Returns the levels that minimise the mean squared error of a standard normal value: float64, ascending."""
  # Many optimal levels are as dense as the cube root of the density: a normal with three times the variance.
  start = statistics.NormalDist(0.0, 3**0.5)
  levels = np.array([start.inv_cdf((i + 0.5) / num_levels) for i in range(num_levels)])
  normal = statistics.NormalDist()
  for _ in range(_LLOYD_STEPS):
    middles = _middles(levels)
    mass = np.diff([0.0, *map(normal.cdf, middles), 1.0])
    levels = -np.diff([0.0, *map(normal.pdf, middles), 0.0]) / mass
  return 0.5 * (levels - levels[::-1])  # Exactly symmetric.


def _middles(levels: np.ndarray) -> np.ndarray:
  return 0.5 * (levels[1:] + levels[:-1])


def _to_cells(squares: tf.Tensor, size: int) -> tf.Tensor:
  """Returns, for each block, the factor that makes its mean square that of one unit, in cells."""
  lengths = np.repeat(*np.array(hadamard.blocks(size), np.int64).reshape(-1, 2).T).astype(np.float32)
  return _CELLS_PER_UNIT * tf.sqrt(tf.math.divide_no_nan(lengths, squares))
