"""Progress of a central training for a person: a bar with the time left on a terminal, plain lines anywhere else."""

import sys
import time

import tqdm

_SECONDS_BETWEEN_LINES = 10.0


class StepProgress:
  """Shows steps, time left, the loss of the batch and the last measured perplexity, on stderr."""

  def __init__(self, first_step: int, steps: int):
    self._first_step, self._steps = first_step, steps
    self._started = self._printed = time.monotonic()
    self._bar = None
    if sys.stderr.isatty():
      self._bar = tqdm.tqdm(total=steps, initial=first_step, unit='step', dynamic_ncols=True)

  def show(self, step: int, loss: float, perplexity: float, just_evaluated: bool) -> None:
    """Reports a finished step: the mean loss of its batch, and the last perplexity on held-out clients."""
    state = f'loss {loss:.2f}, held-out perplexity {perplexity:.1f}'
    now = time.monotonic()
    if self._bar is not None:
      self._bar.set_postfix_str(state, refresh=False)
      self._bar.update(step - self._bar.n)
    elif just_evaluated or now - self._printed > _SECONDS_BETWEEN_LINES:
      self._printed = now
      minutes = (now - self._started) / (step - self._first_step) * (self._steps - step) / 60
      left = f'{minutes:.1f} min left, ' if step < self._steps else ''
      print(f'step {step}/{self._steps}, {left}{state}', file=sys.stderr, flush=True)

  def close(self) -> None:
    """Leaves the terminal in order."""
    if self._bar is not None:
      self._bar.close()
