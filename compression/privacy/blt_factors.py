"""Decays and scales of buffered linear Toeplitz noise for a number of rounds (McMahan et al. 2024, arXiv 2408.08868).

    loss = sensitivity sqrt(max over t of the variance of the noise of the first t rounds)

With noise in proportion to the sensitivity, the privacy of all choices is the same, and the loss is the standard deviation
of the noisiest of the sums that a server's optimizer steps by: MaxLoss in the paper. The other one, the root mean square
over t, would favour early rounds.
"""

import math

import numpy as np
from scipy import optimize
from scipy import special

from compression.privacy import blt_noise
from data import arguments

_LOG_SCALES = (-12.0, 8.0)  # Positive, and less than 1 together, by more than is lost in float32.
_LONGEST = 1e6  # Rounds. In float32, a decay of 1 - 1e-6 is still told from 1.


def optimized(rounds: int, min_separation: int, most_participations: int, buffers: int = 3) -> blt_noise.BltNoise:
  """Minimises the loss, from three starts, by L-BFGS-B: the same result on each call, exact in float32.

  Args:
    rounds: How many there are.
    min_separation: Least difference between the numbers of two rounds that a client takes part in.
    most_participations: How often a client takes part at the most.
    buffers: How many at the most; two numbers each are no use beyond the `rounds` - 1 coefficients that they decide.
  """
  arguments.check_whole(1, rounds=rounds, min_separation=min_separation, most_participations=most_participations)
  arguments.check_whole(1, buffers=buffers)
  buffers = min(buffers, rounds // 2)
  if not buffers:
    return blt_noise.BltNoise((), ())

  def log_loss(point):
    blt = _blt(point)
    sensitivity = blt.sensitivity(rounds, min_separation, most_participations)
    return math.log(sensitivity) + math.log(blt.prefix_variance(rounds)) / 2.0

  longest = math.log(min(100.0 * rounds, _LONGEST))
  bounds = [(-3.0, longest)] * buffers + [_LOG_SCALES] * buffers
  # Where clients take part again and again, a buffer that outlasts all rounds pays; else the longest lasts about as long.
  starts = [_start(buffers, float(horizon)) for horizon in (min(min_separation, rounds), rounds, 100 * rounds)]
  found = [optimize.minimize(log_loss, start, jac='3-point', method='L-BFGS-B', bounds=bounds) for start in starts]
  return _blt(min(found, key=lambda result: result.fun).x)


def _start(buffers: int, horizon: float) -> np.ndarray:
  """Returns where to start: buffers of all lengths up to a number of rounds, in shares that make c_i about i^(-1/2) / 2."""
  log_lengths = math.log(horizon) * (np.arange(buffers) + 0.5) / buffers
  return np.append(log_lengths, special.log_softmax(-log_lengths / 2.0))


def _blt(point: np.ndarray) -> blt_noise.BltNoise:
  """Returns noise for float64 [2 buffers]: logits of the decays; and logarithms of the scales over what they leave of 1."""
  log_lengths, log_scales = np.split(point, 2)
  scales = np.exp(log_scales) / (1.0 + np.sum(np.exp(log_scales)))
  decays = special.expit(log_lengths)
  return blt_noise.BltNoise(*(tuple(map(float, factors.astype(np.float32))) for factors in (decays, scales)))
