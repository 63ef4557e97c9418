"""Progress on standard error: a bar with the time left on a terminal, plain lines anywhere else."""

import sys
import time
from types import TracebackType

import tqdm

_SECONDS_BETWEEN_LINES = 10.0
_MANY = 10_000  # From here on a bar counts in thousands.


class Progress:
  """Shows, while a `with` block runs, how much of something is done, the time left and what there is to say of it."""

  def __init__(self, unit: str, total: int | None = None, done: int = 0, task: str = ''):
    """Takes what is counted.

    Args:
      unit: The name of one of it: `round`, `example`.
      total: How many there will be; None if nobody knows.
      done: How many are done already.
      task: What is being done; said at once if it is given.
    """
    self._unit, self._total, self._first, self._done, self._task = unit, total, done, done, task
    self._started = self._printed = time.monotonic()
    self._is_terminal = sys.stderr.isatty()
    if task and not self._is_terminal:
      _print(task if total is None else f'{task}: {total:,} {unit}s')
    self._bar = tqdm.tqdm(
      desc=task or None,
      total=total,
      initial=done,
      unit=unit,
      unit_scale=total is None or total >= _MANY,
      dynamic_ncols=True,
      disable=not self._is_terminal,
    )

  def __enter__(self) -> 'Progress':
    return self

  def __exit__(
    self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
  ) -> None:
    """Leaves the terminal in order."""
    self._bar.close()

  def show(self, state: str) -> None:
    """Says beside the bar of a terminal how it is going; elsewhere nothing."""
    self._bar.set_postfix_str(state)

  def advance(self, count: int = 1, state: str = '', is_news: bool = False) -> None:
    """Counts what has been done.

    Args:
      count: How many more.
      state: What there is to say of it.
      is_news: Whether that deserves a line of its own, above the bar of a terminal. Where there is none, a line is
        printed every ten seconds anyway.
    """
    self._done += count
    if is_news or (not self._is_terminal and time.monotonic() - self._printed > _SECONDS_BETWEEN_LINES):
      self._printed = time.monotonic()
      line = ', '.join(filter(None, [self._counted(), self._left(), state]))
      self._bar.write(line, file=sys.stderr) if self._is_terminal else _print(line)
    self._bar.update(count)

  def _counted(self) -> str:
    task = f'{self._task}: ' if self._task else ''
    return f'{task}{self._unit} {self._done:,}' + ('' if self._total is None else f'/{self._total:,}')

  def _left(self) -> str:
    if self._total is None or self._done in (self._first, self._total):
      return ''
    seconds = time.monotonic() - self._started
    return f'{seconds / (self._done - self._first) * (self._total - self._done) / 60:.1f} min left'


def _print(line: str) -> None:
  print(line, file=sys.stderr, flush=True)
