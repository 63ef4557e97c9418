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
    workers: Run the clients of the rounds; none if this process does.
    rounds: At least 1.
  """
  main, samples = psutil.Process(), []
  for number in range(1, rounds + 1):
    advance()
    megabytes = {'this process': main.memory_info().rss / 1e6}
    if workers:
      megabytes['worker'] = sum(worker.rss_bytes() for worker in workers) / 1e6
    samples.append(megabytes)
    if number % _ROUNDS_PER_LINE == 0 or number == rounds:
      shown = ', '.join(f'{name} {value:.0f} MB' for name, value in megabytes.items())
      print(f'after {number} rounds: {shown}', flush=True)
  for name in samples[0]:
    slope = per_hundred_rounds([megabytes[name] for megabytes in samples])
    print(f'memory of {name}: slope {slope:+.2f} MB per 100 rounds', flush=True)


def per_hundred_rounds(samples: Sequence[float]) -> float:
  """Returns by how much memory grows in 100 rounds: the least-squares line through the second half, in units of `samples`.

  The first rounds fill caches. The answer is NaN if the second half holds fewer than two samples.
  """
  settled = samples[len(samples) // 2 :]
  return float(np.polyfit(np.arange(len(settled)), settled, 1)[0] * 100) if len(settled) > 1 else float('nan')
