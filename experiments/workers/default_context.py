"""What computes TFF's computations in a thread, for the length of a block."""

from collections.abc import Iterator
import contextlib
import threading
from typing import Any

import tensorflow_federated as tff

_contexts = threading.local()  # Of blocks in this thread, the outermost first.


@contextlib.contextmanager
def as_default(context: Any) -> Iterator[None]:
  """Makes a context TFF's default in this thread; after the block the one of a block around it is that again."""
  around = _contexts.__dict__.setdefault('stack', [])
  around.append(context)
  tff.framework.set_default_context(context)
  try:
    yield
  finally:
    around.pop()
    if around:
      tff.framework.set_default_context(around[-1])
