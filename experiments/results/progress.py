"""Progress of a training for a person: a bar with the time left on a terminal, plain lines anywhere else."""

from collections.abc import Mapping
from collections.abc import Sequence
import sys
import time
from typing import Any

import tqdm

from experiments.results import quality

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
  """Shows how many rounds or steps are done, the time left and what there is to say of them, on stderr."""

  def __init__(self, unit: str, first: int, total: int):
    """Takes the unit, `round` or `step`, how many are done already, and how many there will be."""
    self._unit, self._first, self._total = unit, first, total
    self._started = self._printed = time.monotonic()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(total=total, initial=first, unit=unit, dynamic_ncols=True)

  def show(self, number: int, state: str, just_evaluated: bool) -> None:
    """Reports that round or step `number` is finished, and `state`; a plain line is due after every evaluation."""
    now = time.monotonic()
    if self._bar is not None:
      self._bar.set_postfix_str(state, refresh=False)
      self._bar.update(number - self._bar.n)
    elif just_evaluated or number == self._total or now - self._printed > _SECONDS_BETWEEN_LINES:
      self._printed = now
      minutes = (now - self._started) / (number - self._first) * (self._total - number) / 60
      left = f'{minutes:.1f} min left, ' if number < self._total else ''
      print(f'{self._unit} {number}/{self._total}, {left}{state}', file=sys.stderr, flush=True)

  def close(self) -> None:
    """Leaves the terminal in order."""
    if self._bar is not None:
      self._bar.close()


def of_rounds(rows: Sequence[Mapping[str, Any]]) -> str:
  """Says of rounds, given their rows of metrics, the last quality on held-out clients and what was sent in all."""
  up, down = (rows[-1][name] / 1e6 for name in ('upload_bytes_total', 'download_bytes_total'))
  return f'{quality.last(rows)}, {up:.1f} MB up, {down:.1f} MB down'
