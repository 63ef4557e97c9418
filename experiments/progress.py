"""Progress of a run for a person: a bar with the time left on a terminal, plain lines anywhere else."""

from collections.abc import Mapping
import sys
import time
from typing import Any

import tqdm

from experiments import metrics

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
  """Shows rounds, time left, perplexity on held-out clients and megabytes sent, on stderr."""

  def __init__(self, first_round: int, rounds: int):
    self._rounds = rounds
    self._perplexity = metrics.NOT_MEASURED
    self._started = self._printed = time.monotonic()
    self._first_round = first_round
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(total=rounds, initial=first_round, unit='round', dynamic_ncols=True)

  def show(self, round_number: int, row: Mapping[str, Any]) -> None:
    """Reports a finished round, given its row of metrics."""
    if row['eval/perplexity'] != metrics.NOT_MEASURED:
      self._perplexity = row['eval/perplexity']
    if self._bar is not None:
      self._bar.set_postfix_str(self._state(row), refresh=False)
      self._bar.update(round_number - self._bar.n)
    elif self._is_due(round_number, row):
      print(
        f'round {round_number}/{self._rounds}, {self._left(round_number)}{self._state(row)}',
        file=sys.stderr,
        flush=True,
      )

  def close(self) -> None:
    """Leaves the terminal in order."""
    if self._bar is not None:
      self._bar.close()

  def _state(self, row: Mapping[str, Any]) -> str:
    perplexity = f'perplexity {self._perplexity:.1f}, ' if self._perplexity != metrics.NOT_MEASURED else ''
    up, down = (row[name] / 1e6 for name in ('upload_bytes_total', 'download_bytes_total'))
    return f'{perplexity}{up:.1f} MB up, {down:.1f} MB down'

  def _is_due(self, round_number: int, row: Mapping[str, Any]) -> bool:
    now = time.monotonic()
    due = row['eval/perplexity'] != metrics.NOT_MEASURED or round_number == self._rounds
    if due or now - self._printed > _SECONDS_BETWEEN_LINES:
      self._printed = now
      return True
    return False

  def _left(self, round_number: int) -> str:
    done = round_number - self._first_round
    if not done or round_number >= self._rounds:
      return ''
    seconds = (time.monotonic() - self._started) / done * (self._rounds - round_number)
    return f'{seconds / 60:.1f} min left, '
