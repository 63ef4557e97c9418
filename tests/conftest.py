"""Shared by all tests: quiet TensorFlow, hypothesis profiles, and one TFF worker for the whole session."""

from collections.abc import Iterator
import os
from typing import Any

import hypothesis
import pytest

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

hypothesis.settings.register_profile('ci', max_examples=25, deadline=None, derandomize=True)
hypothesis.settings.register_profile('stress', max_examples=400, deadline=None)
hypothesis.settings.load_profile(os.environ.get('HYPOTHESIS_PROFILE', 'ci'))


@pytest.fixture(scope='session')
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
  """A TFF worker and execution context; it ends with the session."""
  from experiments import runtime  # Tests that need no worker do not wait for TFF's import.

  with runtime.local_runtime(tmp_path_factory.mktemp('worker') / 'worker.log') as local_worker:
    yield local_worker
