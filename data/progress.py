"""Progress on standard error: a bar on a terminal, one plain line otherwise."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import sys

import tqdm


@contextlib.contextmanager
def bar(description: str, total: int | None = None, unit: str = 'example') -> Iterator[Callable[[int], object]]:
  """Shows progress while the block runs; yields a function that is told how many more units are done."""
  is_terminal = sys.stderr.isatty()
  if not is_terminal:
    amount = '' if total is None else f': {total:,} {unit}s'
    print(f'{description}{amount}', file=sys.stderr, flush=True)
  with tqdm.tqdm(desc=description, total=total, unit=unit, unit_scale=True, disable=not is_terminal) as shown:
    yield shown.update
