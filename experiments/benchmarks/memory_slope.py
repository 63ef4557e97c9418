"""Whether the resident memory of this process and of its workers grows from round to round."""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import psutil

from experiments.workers import local_runtime

_ROUNDS_PER_LINE = 100


def print_slopes(advance: Callable[[], None], workers: Sequence[local_runtime.LocalWorker], rounds: int) -> None:
  """Runs `rounds` rounds; prints the memory of this process and that of the workers together, and then their slopes.

  Args:
    advance: Runs one round.
    workers: Run the clients of the rounds.
    rounds: At least 1.
  """
  main, samples = psutil.Process(), []
  for number in range(1, rounds + 1):
    advance()
    samples.append((main.memory_info().rss / 1e6, sum(worker.rss_bytes() for worker in workers) / 1e6))
    if number % _ROUNDS_PER_LINE == 0 or number == rounds:
      print(f'after {number} rounds: this process {samples[-1][0]:.0f} MB, worker {samples[-1][1]:.0f} MB', flush=True)
  for name, column in zip(('this process', 'worker'), np.transpose(samples), strict=True):
    print(f'memory of {name}: slope {per_hundred_rounds(column):+.2f} MB per 100 rounds', flush=True)


def per_hundred_rounds(samples: Sequence[float]) -> float:
  """Returns by how much memory grows in 100 rounds: the least-squares line through the second half, in units of `samples`.

  The first rounds fill caches. The answer is NaN if the second half holds fewer than two samples.
  """
  settled = samples[len(samples) // 2 :]
  return float(np.polyfit(np.arange(len(settled)), settled, 1)[0] * 100) if len(settled) > 1 else float('nan')
