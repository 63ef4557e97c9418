"""Shared by all tests: quiet TensorFlow, a terminal of one width, hypothesis profiles, one TFF worker, little memory."""

from collections.abc import Iterator
import contextlib
import gc
import os
import sys
from typing import Any

import hypothesis
import pytest

from experiments.command import process_memory
from experiments.costs import resident_memory

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ['COLUMNS'] = '120'  # Tables are as wide as the terminal, whatever that of the tests is.
_MUCH, _MUCH_OF_A_WORKER = 200_000_000, 400_000_000  # Bytes. A new worker has 80 MB, and starts in half a second.

hypothesis.settings.register_profile('ci', max_examples=15, deadline=None, derandomize=True)
hypothesis.settings.register_profile('stress', max_examples=400, deadline=None)
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'ci'))


def pytest_collection_finish() -> None:
  """Keeps the collector from what imports made, half a million objects, and TensorFlow from rewriting graphs.

  Operations have a thread, as they have in binaries whose rounds have a client for each processor.
  """
  gc.collect()
  gc.freeze()
  gc.set_threshold(20_000)
  if 'tensorflow' in sys.modules:
    from experiments.workers import graph_rewrites  # It imports TensorFlow.
    from experiments.workers import in_process

    in_process.share_operations()
    graph_rewrites.leave_out()  # In workers, graphs are rewritten.


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
  """A stack that ends with the test: contexts are left and callbacks called, the last one first."""
  with contextlib.ExitStack() as opened:
    yield opened


@pytest.fixture(scope='session')
def _settled_bytes() -> list[int]:
  """The memory of this process whenever it had given back what was free."""
  return [0]


@pytest.fixture(scope='module', autouse=True)
def _memory_is_given_back(_settled_bytes: list[int]) -> Iterator[None]:
  """What modules leave behind is free, but the process would keep it: some hundred megabytes."""
  yield
  if process_memory.resident_bytes(os.getpid()) > _settled_bytes[-1] + _MUCH:
    _settled_bytes.append(resident_memory.settled_bytes())


@pytest.fixture(scope='session')
def _session_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
  from experiments.workers import execution
  from experiments.workers import local_runtime

  with local_runtime.local_runtime(tmp_path_factory.mktemp('worker') / 'worker.log') as local_worker:
    yield local_worker, execution.build_execution_context(local_worker.executor_factory)


@pytest.fixture(scope='module')
def _module_worker(_session_worker: tuple[Any, Any]) -> Iterator[tuple[Any, Any]]:
  """That of the session, started again after the module if it keeps much of what was computed."""
  yield _session_worker
  local_worker, _ = _session_worker
  if local_worker.is_alive() and local_worker.rss_bytes() > _MUCH_OF_A_WORKER:
    local_worker.restart()


@pytest.fixture
def optimizing_worker(_module_worker: tuple[Any, Any]) -> Any:
  """A TFF worker that ends with the session, as the default context of this test, whatever others were since."""
  import tensorflow_federated as tff

  local_worker, context = _module_worker
  tff.framework.set_default_context(context)
  return local_worker


@pytest.fixture
def worker(optimizing_worker: Any) -> Any:
  """That of most tests; a folder may have another."""
  return optimizing_worker
