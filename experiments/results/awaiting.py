"""Waits for what TFF's managers of files do, also where an event loop runs already, as in a notebook."""

import asyncio
from collections.abc import Coroutine
from concurrent import futures
from typing import Any
from typing import TypeVar

_T = TypeVar('_T')


def result(coroutine: Coroutine[Any, Any, _T]) -> _T:
  """Runs a coroutine, which must not compute by TFF, to its end; returns, or raises, what it does."""
  with futures.ThreadPoolExecutor(1) as thread:
    return thread.submit(asyncio.run, coroutine).result()
