"""Noise of a buffered linear Toeplitz matrix (Dvijotham et al. 2024, arXiv 2404.16706; McMahan et al. 2024, 2408.08868).

    noise = C^-1 z;  C[t, t - i] = c_i;  c_0 = 1, c_i = sum_j scale_j decay_j^(i-1)
    noise_t = z_t - sum_j scale_j buffer_j;  buffer_j <- decay_j buffer_j + noise_t

z is drawn anew in each round, of variance 1. Later rounds take off again some of the noise of those before, so that what is
left in the sum of the first rounds grows more slowly than their number. A client is hidden by z in C times its
contributions to the rounds: that is what the sensitivity is about.
"""

from collections.abc import Sequence
import dataclasses
import math

import numpy as np
import tensorflow as tf

from compression.privacy import noise as noise_lib
from data import arguments


@dataclasses.dataclass(frozen=True)
class BltNoise(noise_lib.Noise):
  """Noise that takes off a part of itself in later rounds; the state has the size of the noise for each buffer.

  Attributes:
    decays: What stays of each buffer from a round to the next, in (0, 1).
    scales: The part of each buffer that is taken off, positive; at most 1 together, so that no c_i exceeds the one before.
  """

  decays: tuple[float, ...]
  scales: tuple[float, ...]

  def __post_init__(self):
    if len(self.decays) != len(self.scales):
      raise ValueError(f'decays and scales must be as many, not {len(self.decays)} and {len(self.scales)}')
    for decay, scale in zip(self.decays, self.scales, strict=True):
      arguments.check_within('(0, 1)', decays=decay)
      arguments.check_positive(scales=scale)
    if sum(self.scales) > 1.0:
      raise ValueError(f'scales must add up to at most 1, not {sum(self.scales)}')

  def initial_state(self, specs: Sequence[tf.TensorSpec]) -> tuple[tf.Tensor, ...]:
    """Returns float32 [buffers, *shape] for each spec, zeros."""
    return tuple(tf.zeros([len(self.decays), *spec.shape]) for spec in specs)

  def next(
    self, state: tuple[tf.Tensor, ...], seed: tf.Tensor, round_number: tf.Tensor, specs: Sequence[tf.TensorSpec]
  ) -> tuple[tuple[tf.Tensor, ...], tuple[tf.Tensor, ...]]:
    """Draws the noise of a round."""
    drawn = noise_lib.draw(specs, seed, round_number)
    noise, after = [], []
    for z, buffers in zip(drawn, state, strict=True):
      shape = [-1] + [1] * z.shape.rank
      decays, scales = (tf.reshape(tf.constant(factors, tf.float32), shape) for factors in (self.decays, self.scales))
      noise.append(z - tf.reduce_sum(scales * buffers, axis=0))
      after.append(decays * buffers + noise[-1])
    return tuple(noise), tuple(after)

  def prefix_variance(self, round_number: int) -> float:
    """Returns the variance of the noise of the first rounds together; it grows with their number."""
    arguments.check_whole(1, round_number=round_number)
    return float(np.sum(np.square(np.cumsum(self._inverse_coefficients(round_number)))))

  def largest_prefix_variance(self, rounds: int) -> float:
    """Returns that of the last round: it never falls."""
    return self.prefix_variance(rounds)

  def sensitivity(self, rounds: int, min_separation: int, most_participations: int) -> float:
    """Returns how much a client can change C times the sums of rounds, as such a sum is changed by 1: an L2 norm.

    Worst is to take part as early and as often as possible, because c_i are not negative and never increase (Kalinin and
    Lampert 2024, arXiv 2405.13763).

    Args:
      rounds: How many there are.
      min_separation: Least difference between the numbers of two rounds that a client takes part in.
      most_participations: How often a client takes part at the most.
    """
    arguments.check_whole(1, rounds=rounds, min_separation=min_separation, most_participations=most_participations)
    separation = min(min_separation, rounds)
    periods = -(-rounds // separation)
    coefficients = np.pad(self.coefficients(rounds), (0, periods * separation - rounds))
    column = np.cumsum(coefficients.reshape([periods, separation]), axis=0)  # The sum of C's columns from one on.
    column[most_participations:] -= column[:-most_participations].copy()
    return math.sqrt(np.sum(np.square(column.ravel()[:rounds])))

  def coefficients(self, rounds: int) -> np.ndarray:
    """Returns c_i, float64 [rounds]."""
    return np.append(1.0, np.asarray(self.scales) @ np.vander(self.decays, rounds - 1, increasing=True))

  def _inverse_coefficients(self, rounds: int) -> np.ndarray:
    """Returns the first column of C^-1, float64 [rounds].

    A buffer's next value is linear in all of them: by diag(decays) - 1 scales^T, which is similar to a symmetric matrix. Its
    eigenvalues are the decays of C^-1.
    """
    roots = np.sqrt(np.asarray(self.scales))
    decays, vectors = np.linalg.eigh(np.diag(self.decays) - np.outer(roots, roots))
    scales = np.square(roots @ vectors)
    return np.append(1.0, -scales @ np.vander(decays, rounds - 1, increasing=True))
