"""How sure the difference of two settings is that were judged on the same units: a paired bootstrap.

    difference = sum_i x_i / sum_i w_i

x_i is what one setting adds to a sum on unit i beyond what the other one adds, w_i the weight of the unit, which both share.
A resample draws n of the n units with replacement, each with its pair; interval and p-value are those of percentiles of the
resamples (Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 13). Percentiles are too narrow where units
are few: by sqrt((n - 1) / n), and as the normal distribution is narrower than Student's. Both are put right by the
"expanded" percentiles of Hesterberg 2014 (arXiv 1411.5279).
"""

from typing import NamedTuple

import numpy as np
from scipy import special

NUM_RESAMPLES = 10_000
LEVEL = 0.95
_SEED = 0
_DRAWS_AT_ONCE = 1 << 22


class Difference(NamedTuple):
  """A difference, its interval of level `LEVEL`, and the two-sided p-value of there being none, which is 0.05 at its edge."""

  mean: float
  low: float
  high: float
  p_value: float


def differences(extra: np.ndarray, weights: np.ndarray) -> list[Difference]:
  """Compares settings with one other.

  Args:
    extra: float64 [n, settings], finite: see x_i.
    weights: float64 [n], positive.

  Returns:
    The difference of each setting; equal arguments give equal results.

  Raises:
    ValueError: If there are fewer than two units.
  """
  num_units = len(weights)
  if num_units < 2:
    raise ValueError('a single unit says nothing of others')
  drawn = _resampled(np.column_stack([extra, weights]))
  resamples = drawn[:, :-1] / drawn[:, -1:]
  tail = special.ndtr(np.sqrt(num_units / (num_units - 1)) * special.stdtrit(num_units - 1, (1 - LEVEL) / 2))
  low, high = np.quantile(resamples, [tail, 1 - tail], axis=0)
  means = extra.sum(axis=0) / weights.sum()
  return [
    Difference(*map(float, found)) for found in zip(means, low, high, _p_values(resamples, num_units), strict=True)
  ]


def _p_values(resamples: np.ndarray, num_units: int) -> np.ndarray:
  """Returns, for float64 [resamples, settings], at which level an interval would end at 0: float64 [settings]."""
  at_most, at_least = (
    (1 + np.count_nonzero(side, axis=0)) / (len(resamples) + 1) for side in (resamples <= 0, resamples >= 0)
  )
  tail = np.minimum(np.minimum(at_most, at_least), 0.5)
  return 2 * special.stdtr(num_units - 1, np.sqrt((num_units - 1) / num_units) * special.ndtri(tail))


def _resampled(values: np.ndarray) -> np.ndarray:
  """Returns the column sums of `NUM_RESAMPLES` resamples of the rows of float64 [n, columns]: [resamples, columns]."""
  draw, num_units, parts = np.random.default_rng(_SEED), len(values), []
  size = max(1, _DRAWS_AT_ONCE // num_units)
  for start in range(0, NUM_RESAMPLES, size):
    count = min(size, NUM_RESAMPLES - start)
    places = draw.integers(num_units, size=[count, num_units]) + num_units * np.arange(count)[:, np.newaxis]
    times = np.bincount(places.ravel(), minlength=count * num_units).reshape(count, num_units)
    parts.append(times @ values)
  return np.concatenate(parts)
