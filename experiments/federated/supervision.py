"""Runs computations on a worker that may die or hang, and ends a run gently when the system asks for it."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import signal
import threading
from types import FrameType
from typing import TypeVar

from experiments.command import failures
from experiments.workers import local_runtime

_T = TypeVar('_T')
_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PROBE_SECONDS = 5.0
_HANG_SECONDS = 30.0  # While a large model travels on a loaded machine an answer takes a second.


class WorkerLost(RuntimeError):
  """The worker died or hung; a new one is ready, and what was computed must begin again from its start."""


@contextlib.contextmanager
def starting() -> Iterator[None]:
  """Raises `RunEnded` for a worker that cannot be had, or is lost, inside the block."""
  try:
    yield
  except (RuntimeError, OSError) as error:
    raise failures.RunEnded(str(error)) from error


class Supervisor:
  """Makes the calls of one thread on its worker, one at a time."""

  def __init__(
    self, worker: local_runtime.Runtime, probe_seconds: float = _PROBE_SECONDS, hang_seconds: float = _HANG_SECONDS
  ):
    """Takes the worker, the time between two looks at it, and the time it has to answer, both in seconds."""
    self._worker = worker
    self._probe_seconds = probe_seconds
    self._hang_seconds = hang_seconds
    self._signal_number = 0
    self._is_computing = False

  @contextlib.contextmanager
  def handling_signals(self) -> Iterator[None]:
    """Inside the block SIGTERM and SIGINT end what `attempt` does, now or next, by `Stopped`, and nothing else.

    Only the main thread gets signals; in any other thread the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
      yield
      return
    before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
    try:
      yield
    finally:
      for number, handler in before.items():
        signal.signal(number, handler)

  def attempt(self, compute: Callable[[], _T]) -> _T:
    """Returns what `compute`, which calls TFF computations, returns.

    Raises:
      Stopped: If a signal came before or meanwhile.
      WorkerLost: If the worker died or hung meanwhile.
      RunEnded: If moreover no new one could be had.
      Exception: What `compute` raises while the worker is well.
    """
    try:
      self._is_computing = True
      self._check_stopped()
      with self._watched():
        return compute()
    except Exception as error:
      self._check_stopped()
      if self._worker.responds(self._hang_seconds):
        raise
      try:
        self._worker.restart()
      except RuntimeError as reason:
        raise failures.RunEnded(str(reason)) from error
      raise WorkerLost(str(error).partition('\n')[0]) from error
    finally:
      self._is_computing = False

  def _on_signal(self, number: int, frame: FrameType | None) -> None:
    del frame
    self._signal_number = number
    if self._is_computing:
      self._worker.kill()
      raise failures.Stopped(number)

  def _check_stopped(self) -> None:
    if self._signal_number:
      raise failures.Stopped(self._signal_number)

  @contextlib.contextmanager
  def _watched(self) -> Iterator[None]:
    """Kills a worker that does not answer, so that the thread that waits for it goes on."""
    done = threading.Event()

    def watch() -> None:
      while not done.wait(self._probe_seconds):
        if not self._worker.responds(self._hang_seconds):
          self._worker.kill()
          return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
      yield
    finally:
      done.set()
      watcher.join()
