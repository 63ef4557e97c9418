"""EDEN, any number of bits per value (Vargaftik et al. 2022, arXiv 2108.08842).

    y = R x;  z = y sqrt(bucket) / ||y||_2;  level = index of the centroid nearest to z
    scale = ||y||_2**2 / <y, centroids[level]>;  decode = R**-1 (scale * centroids[level])

The centroids are those of Lloyd and Max for the standard normal, which z resembles. A share bits - floor(bits) of the
rotated values, the first ones, has 2**(floor(bits) + 1) of them and the others have 2**floor(bits), as in the authors'
code, which draws that share; below one bit, a share `bits` of the values is drawn as by `randk.py` first and gets one bit
each. Each client draws its own positions and R, from one word. Where we differ: R (see `drive.py`) and scale are per
bucket; boundaries between levels are rounded to 1/1024. With this scale <decode, x> = ||x||**2. Biased like `drive.py`, but
for less with every bit.

All levels are numbers of floor(bits) bits: those of the finer values without their lowest bit, those of the others, and
the lowest bits that are left, floor(bits) of them in a number, the first one lowest.
"""

import math
import statistics

import numpy as np
import tensorflow as tf

from compression import stage
from compression.stages import hadamard
from compression.stages import own_seed
from compression.stages import randk
from data import arguments

_CELLS_PER_UNIT = 1024  # A look-up by cell is 3 times as fast as a search among boundaries.
_REACH = 8  # z beyond it counts as the outermost level; with 256 levels that begins at 4.4.
_LLOYD_STEPS = 200  # From a start that is right in the limit of many levels.


class Eden(stage.Stage):
  """Rotates and quantizes to the best levels for normal values, with one scale for each bucket of up to 4096."""

  gives = stage.Kind.LEVELS

  def __init__(self, bits: float = 4):
    """Configures the stage.

    Args:
      bits: Bits per value, above 0 and at most 8.

    Raises:
      ValueError: For other values.
    """
    arguments.check_within('(0, 8]', bits=bits)
    self._drawn_share = min(bits, 1)
    self._bits = max(1, math.floor(bits))
    self._fine_share = max(0, bits - self._bits)
    self._coarse = _Quantizer(2**self._bits)
    self._fine = _Quantizer(2 ** (self._bits + 1)) if self._fine_share else None

  def form(self, form: stage.Form) -> stage.Form:
    """Returns a level for each value, or drawn value, for the padding of the rotation, and for the lowest bits."""
    size = self._num_drawn(form)
    num_lowest = math.ceil(self._num_fine(size) / self._bits)
    return stage.Form(stage.Kind.LEVELS, hadamard.padded_size(size) + num_lowest, 2**self._bits)

  def encode(
    self, x: tf.Tensor, form: stage.Form, client_seed: tf.Tensor, shared_seed: tf.Tensor
  ) -> tuple[tf.Tensor, stage.Side]:
    """Returns levels, int32, and (float32 scales of the buckets, int32[1] of the client's own seed)."""
    size, word = self._num_drawn(form), own_seed.draw_word(client_seed)
    seed = own_seed.from_word(word, shared_seed)
    if size < form.size:
      x = randk.sample(x, size, form.size, _positions_seed(seed))
    unit, peaks = hadamard.unit_peaks(hadamard.rotate(x, size, seed), size)
    squares = hadamard.reduce_buckets(tf.reduce_sum, tf.square(unit), size)
    levels = self._levels(hadamard.scale_buckets(unit, _to_cells(squares, size), size), size)
    products = hadamard.reduce_buckets(tf.reduce_sum, unit * self._values(levels, size), size)
    return levels, (peaks * tf.math.divide_no_nan(squares, products), word)

  def decode(self, x: tf.Tensor, side: stage.Side, form: stage.Form, shared_seed: tf.Tensor) -> tf.Tensor:
    """Returns the scaled centroids rotated back; see `Stage.decode`."""
    scales, word = side
    size, seed = self._num_drawn(form), own_seed.from_word(word, shared_seed)
    y = hadamard.scale_buckets(self._values(x, size), scales, size)
    x = hadamard.unrotate(y, size, seed)
    return randk.scatter(x, size, form.size, _positions_seed(seed)) if size < form.size else x

  def _num_drawn(self, form: stage.Form) -> int:
    return randk.num_kept(self._drawn_share, form.size)

  def _fine_runs(self, size: int) -> list[tuple[int, int]]:
    """Returns the numbers of finer and of other values, in turn: of all buckets of one length, those of the first rows."""
    lengths = [bucket * count for bucket, count in hadamard.buckets(size)]
    return [(fine := round(self._fine_share * length), length - fine) for length in lengths]

  def _num_fine(self, size: int) -> int:
    return sum(fine for fine, _ in self._fine_runs(size))

  def _levels(self, cells: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the levels of z times the number of cells per unit."""
    num_fine = self._num_fine(size)
    if not num_fine:
      return self._coarse.levels(cells)
    runs = tf.split(cells, [length for pair in self._fine_runs(size) for length in pair])
    fine = self._fine.levels(tf.concat(runs[0::2], axis=0))
    coarse = self._coarse.levels(tf.concat(runs[1::2], axis=0))
    lowest = tf.reshape(tf.pad(tf.bitwise.bitwise_and(fine, 1), [[0, -num_fine % self._bits]]), [-1, self._bits])
    lowest = tf.reduce_sum(tf.bitwise.left_shift(lowest, tf.range(self._bits)), axis=1)
    return tf.concat([tf.bitwise.right_shift(fine, 1), coarse, lowest], axis=0)

  def _values(self, levels: tf.Tensor, size: int) -> tf.Tensor:
    """Returns the centroids of what `_levels` made of z; the length of `levels` may be unknown to the graph."""
    num_fine, padded = self._num_fine(size), hadamard.padded_size(size)
    if not num_fine:
      return self._coarse.values(levels)
    lowest = tf.bitwise.right_shift(levels[padded:, tf.newaxis], tf.range(self._bits))
    lowest = tf.reshape(tf.bitwise.bitwise_and(lowest, 1), [-1])[:num_fine]
    fine = self._fine.values(2 * levels[:num_fine] + lowest)
    coarse = self._coarse.values(levels[num_fine:padded])
    runs, fine_start, start = [], 0, 0
    for fine_length, length in self._fine_runs(size):
      runs += [fine[fine_start : fine_start + fine_length], coarse[start : start + length]]
      fine_start, start = fine_start + fine_length, start + length
    return tf.concat(runs, axis=0)


class _Quantizer:
  """The levels of `centroids`, and which is nearest."""

  def __init__(self, num_levels: int):
    self._centroids = centroids(num_levels)
    cells = (np.arange(-_REACH * _CELLS_PER_UNIT, _REACH * _CELLS_PER_UNIT) + 0.5) / _CELLS_PER_UNIT
    self._level_of_cell = np.searchsorted(_middles(self._centroids), cells).astype(np.int32)

  def levels(self, cells: tf.Tensor) -> tf.Tensor:
    """Returns the levels, int32, of values times the number of cells per unit."""
    shifted = tf.clip_by_value(cells + _REACH * _CELLS_PER_UNIT, 0.0, len(self._level_of_cell) - 1.0)
    return tf.gather(self._level_of_cell, tf.cast(shifted, tf.int32))

  def values(self, levels: tf.Tensor) -> tf.Tensor:
    """Returns the centroids, float32, of levels."""
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
  """Returns, for each bucket, the factor that makes its mean square that of one unit, in cells."""
  lengths = np.repeat(*np.array(hadamard.buckets(size), np.int64).reshape(-1, 2).T).astype(np.float32)
  return _CELLS_PER_UNIT * tf.sqrt(tf.math.divide_no_nan(lengths, squares))


def _positions_seed(seed: tf.Tensor) -> tf.Tensor:
  """Keeps what positions are drawn from apart from what the rotation is drawn from."""
  return tf.random.experimental.stateless_fold_in(seed, tf.constant(1, tf.int64))
