"""Shared by all tests: quiet TensorFlow, a terminal of one width, hypothesis profiles, and one TFF worker for the whole session."""

from collections.abc import Iterator
import contextlib
import os
from typing import Any

import hypothesis
import pytest

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
os.environ['COLUMNS'] = '120'  # Tables are as wide as the terminal, whatever that of the tests is.


hypothesis.settings.register_profile('ci', max_examples=15, deadline=None, derandomize=True)
hypothesis.settings.register_profile('stress', max_examples=400, deadline=None)
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'ci'))


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
  """A stack that ends with the test: contexts are left and callbacks called, the last one first."""
  with contextlib.ExitStack() as opened:
    yield opened


@pytest.fixture(scope='session')
def _session_worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
  from experiments.workers import execution
  from experiments.workers import local_runtime

  with local_runtime.local_runtime(tmp_path_factory.mktemp('worker') / 'worker.log') as local_worker:
    yield local_worker, execution.build_execution_context(local_worker.executor_factory)


@pytest.fixture
def optimizing_worker(_session_worker: tuple[Any, Any]) -> Any:
  """A TFF worker that ends with the session, as the default context of this test, whatever others were since."""
  import tensorflow_federated as tff

  local_worker, context = _session_worker
  tff.framework.set_default_context(context)
  return local_worker


@pytest.fixture
def worker(optimizing_worker: Any) -> Any:
  """That of most tests; a folder may have another."""
  return optimizing_worker
